"""A filter while it is read: what it is read against, and what there has been of it so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, true

from cdp.clauses import Clause
from cdp.clock import Clock, clock_of
from cdp.errors import BadInput, Forbidden
from cdp.fields import Field
from cdp.operands import duration_seconds, read_members
from cdp.operators import FieldType, Operation
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

MAX_CLAUSES: Final = 100  # conditions in all; each costs PostgreSQL a look at every customer


@dataclass(slots=True)
class Reading:
    """One filter being read.

    `conditions` counts them all, `personal` those on personal data; `within` is how many lists of
    records stand around: only outside of all of them is a clause about the customer.
    """

    scope: Scope
    workspace: Workspace
    may_see_personal: bool
    clock: Clock = field(default_factory=Clock)
    clauses: list[Clause] = field(default_factory=list)
    segments: set[str] = field(default_factory=set)
    asks_consent: bool = False
    conditions: int = 0
    personal: int = 0
    within: int = 0

    def count(self, path: str) -> None:
        """One more condition. Raises BadInput where they are too many."""
        self.conditions += 1
        if self.conditions > MAX_CLAUSES:
            raise BadInput(f"The filter has more than {MAX_CLAUSES} conditions.", path=path)

    def see_personal(self, name: str) -> None:
        """One more condition on personal data. Raises Forbidden for who may not see any."""
        if not self.may_see_personal:
            raise Forbidden(f"{name} may hold personal data, which your role does not see.")
        self.personal += 1

    def note(
        self,
        path: str,
        asked: object,
        holds: ColumnElement[bool],
        value: ColumnElement[Any] | None = None,
        *,
        is_personal: bool,
        position: int | None = None,
    ) -> None:
        """A clause about the customer; the last one, unless it has a `position`."""
        if not self.within:
            clause = Clause(path, asked, holds, value, is_personal)
            self.clauses.insert(len(self.clauses) if position is None else position, clause)

    def compare(
        self, compared: Field[Any], row: object, given: object, path: str
    ) -> ColumnElement[bool]:
        """One field of a row, by all operators that are given."""
        if compared.is_personal:
            self.see_personal(compared.name)
        condition = self.operators(
            compared.expression(row),
            compared.type,
            given,
            path,
            is_personal=compared.is_personal,
            spell=compared.spell,
            words=compared.words,
        )
        if not compared.follows_facts:
            self.clock |= clock_of(condition, self.scope, _window(given, path))
        return condition

    def operators(
        self,
        expression: ColumnElement[Any],
        type_: FieldType,
        given: object,
        path: str,
        *,
        is_personal: bool = False,
        spell: Callable[[str], str] | None = None,
        words: Sequence[str] = (),
    ) -> ColumnElement[bool]:
        """A value for which all operators hold that are given."""
        operation = Operation(expression, type_, self.scope, self.workspace, spell, words)
        conditions = []
        for name, value, place in read_members(given, path):
            self.count(place)
            condition = operation.apply(name, value, place)
            self.note(place, value, condition, expression, is_personal=is_personal)
            conditions.append(condition)
        return and_(true(), *conditions)


def _window(given: object, path: str) -> int | None:
    """The shortest window, in seconds, that the operators of a field look back through."""
    if not isinstance(given, Mapping):
        return None
    durations = [given[name] for name in ("withinLast", "olderThan") if name in given]
    return min((duration_seconds(each, path) for each in durations), default=None)
