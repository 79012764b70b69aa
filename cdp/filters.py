"""A customer filter (the JSON of GraphQL's CustomerFilter, and of a stored segment) as SQL.

A filter is an object; all its members must hold, and the empty one holds for everybody. `and` and
`or` take a list of filters, `not` takes one. Every condition is either true or false of a customer,
never unknown: `not` is the exact opposite of what it wraps, also where values are null.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    false,
    func,
    or_,
    true,
)

from cdp.clauses import Filter
from cdp.conditions import CONDITIONS
from cdp.errors import BadInput, UnknownName
from cdp.fields import (
    COUNT,
    FIELDS,
    GROUPS,
    QUANTIFIERS,
    RELATIONS,
    Entry,
    Field,
    Relation,
)
from cdp.operands import read_list, read_members
from cdp.operators import FieldType
from cdp.reading import Reading
from cdp.related import count_of, records_of, segments_exist, some_of
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

MAX_DEPTH: Final = 10  # filters within filters; no person reads a deeper one

_NESTING: Final = ("and", "or", "not")


def read_filter(
    given: object, scope: Scope, *, workspace: Workspace, may_see_personal: bool
) -> Filter:
    """A filter (JSON; None: no filter) over `scope.customer`.

    Raises BadInput, whose `path` names the place in the filter, and Forbidden where a reader who
    may not see personal data names it.
    """
    reading = Reading(scope, workspace, may_see_personal)
    condition = true() if given is None else _Grammar(reading).filter(given, "", 1)
    return Filter(
        condition,
        reading.clauses,
        reading.clock,
        frozenset(reading.segments),
        reading.asks_consent,
    )


def predicate(
    given: object, scope: Scope, *, workspace: Workspace, may_see_personal: bool
) -> ColumnElement[bool]:
    """The filter as a condition on `scope.customer`; put it into WHERE. Raises as `read_filter`.

    The statement itself fails where the filter names a segment that there is not: a slug with a
    typing error would leave out nobody. `cdp.database` and the graph tell it as BadInput.
    """
    read = read_filter(given, scope, workspace=workspace, may_see_personal=may_see_personal)
    return and_(*segments_exist(read.segments), read.condition)


def parse_filter(text: str | None) -> object:
    """A filter written as text; None for no text. Raises BadInput for what is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The filter is not JSON: {error}.", todo="Write {...} in quotes.") from None


@dataclass(frozen=True, slots=True)
class _Grammar:
    """How the parts of a filter stand in each other; of each the reading takes note."""

    reading: Reading

    def filter(self, given: object, path: str, depth: int) -> ColumnElement[bool]:
        """All members of an object hold for the customer."""

        def member(name: str, value: object, place: str) -> ColumnElement[bool]:
            if name in FIELDS:
                return self.reading.compare(FIELDS[name], self.reading.scope, value, place)
            if name in GROUPS:
                return self._group(GROUPS[name], value, place)
            if name in RELATIONS:
                return self._relation(RELATIONS[name], value, place, depth + 1)
            if name in CONDITIONS:
                return CONDITIONS[name](self.reading, value, place)
            raise UnknownName(name, (*_NESTING, *FIELDS, *GROUPS, *RELATIONS, *CONDITIONS), place)

        return self._all(given, path, depth, member)

    def _all(
        self,
        given: object,
        path: str,
        depth: int,
        member: Callable[[str, object, str], ColumnElement[bool]],
    ) -> ColumnElement[bool]:
        """All members of an object hold; `and`, `or`, `not` nest it, the rest is `member`'s."""
        if depth > MAX_DEPTH:
            raise BadInput(f"The filter is nested more than {MAX_DEPTH} deep.", path=path)
        conditions: list[ColumnElement[bool]] = []
        for name, value, place in read_members(given, path):
            if name in _NESTING:
                conditions.append(self._nested(name, value, place, depth + 1, member))
            else:
                conditions.append(member(name, value, place))
        return and_(true(), *conditions)

    def _nested(
        self,
        name: str,
        given: object,
        path: str,
        depth: int,
        member: Callable[[str, object, str], ColumnElement[bool]],
    ) -> ColumnElement[bool]:
        """`and`, `or`, `not`: a clause that stands before those it is made of."""
        position, personal = len(self.reading.clauses), self.reading.personal
        condition: ColumnElement[bool]
        if name == "not":
            condition = self._all(given, path, depth, member).is_not(True)
        else:
            filters = [
                self._all(item, f"{path}[{index}]", depth, member)
                for index, item in enumerate(read_list(given, path))
            ]
            condition = and_(true(), *filters) if name == "and" else or_(false(), *filters)
        is_personal = self.reading.personal > personal
        self.reading.note(path, given, condition, is_personal=is_personal, position=position)
        return condition

    def _group(
        self, fields: Mapping[str, Field[Scope]], given: object, path: str
    ) -> ColumnElement[bool]:
        conditions = []
        for name, value, place in read_members(given, path):
            if name not in fields:
                raise UnknownName(name, fields, place)
            conditions.append(self.reading.compare(fields[name], self.reading.scope, value, place))
        return and_(true(), *conditions)

    def _relation(
        self,
        relation: Relation,
        given: object,
        path: str,
        depth: int,
        around: FromClause | None = None,
    ) -> ColumnElement[bool]:
        """Of the records of a customer, or of the record `around`."""
        conditions = []
        for name, value, place in read_members(given, path):
            if name == COUNT:
                conditions.append(self._counted(relation, value, place, depth, around))
            elif name in QUANTIFIERS:
                conditions.append(self._quantified(relation, name, value, place, depth, around))
            else:
                raise UnknownName(name, (*QUANTIFIERS, COUNT), place)
        return and_(true(), *conditions)

    def _counted(
        self, relation: Relation, given: object, path: str, depth: int, around: FromClause | None
    ) -> ColumnElement[bool]:
        """How many records there are, or how many answer to `where`."""
        reading, scope, personal = self.reading, self.reading.scope, self.reading.personal
        rows = records_of(relation, scope, around)
        operators = {name: value for name, value, _ in read_members(given, path)}
        holds: ColumnElement[bool] = true()
        if "where" in operators:
            where = operators.pop("where")
            entry = Entry(rows.rows, around, scope, reading.workspace)
            holds = self._holds(relation, entry, where, f"{path}.where", depth)
        count = count_of(rows, holds, scope, around)
        reading.within += 1
        condition = reading.operators(count, FieldType.INTEGER, operators, path)
        reading.within -= 1
        if any(_excludes_zero(name, value) for name, value in operators.items()):
            # Who has none is ruled out for all at once, before anybody's are counted.
            condition = and_(some_of(rows, holds, scope, around), condition)
        reading.note(path, given, condition, count, is_personal=reading.personal > personal)
        return condition

    def _quantified(
        self,
        relation: Relation,
        quantifier: str,
        given: object,
        path: str,
        depth: int,
        around: FromClause | None,
    ) -> ColumnElement[bool]:
        reading, scope, personal = self.reading, self.reading.scope, self.reading.personal
        rows = records_of(relation, scope, around)
        entry = Entry(rows.rows, around, scope, reading.workspace)
        holds = self._holds(relation, entry, given, path, depth)
        asked = holds.is_not(True) if quantifier == "every" else holds
        some = some_of(rows, asked, scope, around)
        condition = some if quantifier == "some" else ~some
        count = rows.mine.where(asked).with_only_columns(func.count()).scalar_subquery()
        reading.note(path, given, condition, count, is_personal=reading.personal > personal)
        return condition

    def _holds(
        self, relation: Relation, entry: Entry, given: object, path: str, depth: int
    ) -> ColumnElement[bool]:
        """A filter of records, for one of them."""

        def member(name: str, value: object, place: str) -> ColumnElement[bool]:
            if name in relation.fields:
                return self.reading.compare(relation.fields[name], entry, value, place)
            if name in relation.relations:
                inner = relation.relations[name]
                return self._relation(inner, value, place, depth + 1, entry.row)
            raise UnknownName(name, (*_NESTING, *relation.fields, *relation.relations), place)

        self.reading.within += 1
        condition = self._all(given, path, depth, member)
        self.reading.within -= 1
        return condition


def _excludes_zero(operator: str, operand: object) -> bool:
    """Whether a count of none surely fails; the operand has been read already."""
    match operator, operand:
        case ("gt", int(least)):
            return least >= 0
        case ("gte", int(least)):
            return least > 0
        case ("eq", int(wanted)):
            return wanted != 0
        case ("between", [int(least), _]):
            return least > 0
        case _:
            return False
