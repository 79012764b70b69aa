"""What conditions ask of a customer's records elsewhere, read once for all of them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnClause, Grouping
from sqlalchemy.sql.selectable import SelectBase
from sqlalchemy.sql.visitors import iterate

MOST_ANSWERS: Final = 1_000  # in one row: PostgreSQL takes 1,664 columns
PLAIN_PARTS: Final = 30  # of an expression: the more there are, the longer it takes to work it out
_LOWER_BOUNDS: Final = (operators.gt, operators.ge)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table that belong to a customer, for every condition that asks of them.

    `rows` is its alias; `mine` selects them, correlated to whose they are; `moment` is the column
    by which an index finds those that are not older than some moment, None without one.
    `everyones` selects `customer_id`, grouped by it, of everybody's; None of rows within rows.
    """

    name: str
    rows: FromClause
    mine: Select[Any]
    moment: ColumnElement[Any] | None = None
    everyones: Select[Any] | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    of: Rows
    value: ColumnElement[Any]
    since: ColumnElement[Any] | None


@dataclass(eq=False, slots=True)
class LookUps:
    """Collects what the conditions of a statement ask of customers, to be found once for all.

    `told` (`id`) are the customers, one row each; None: they are everybody. Each answer is an
    aggregate over the rows of one of them, and the condition names it as a column. So these rows
    are read once, by what `joined_to` joins, whatever the number of conditions.
    """

    told: FromClause | None
    _rows: dict[str, Rows] = field(default_factory=dict)
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _worked_out: dict[str, ColumnElement[Any]] = field(default_factory=dict)

    @property
    def are_everybodys(self) -> bool:
        """Whether tables are read as a whole, and not by key for each of some customers."""
        return self.told is None

    def rows(self, given: Rows) -> Rows:
        """The rows of that name, the same for all who ask of them."""
        return self._rows.setdefault(given.name, given)

    def ask(
        self, of: Rows, value: ColumnElement[Any], since: ColumnElement[Any] | None = None
    ) -> ColumnClause[Any]:
        """The column by which a condition names an aggregate over rows not older than `since`."""
        name = f"{of.name}_{len(self._asked) + 1}"
        self._asked[name] = _Asked(of, value, since)
        return column(name, value.type)

    def once(self, name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """What a condition names in the stead of a value of the customer's own row.

        A stage of life has more to it than all that it is compared with, and ten segments may ask
        for it: it is worked out once for each customer. What is plain stays as it is.
        """
        if sum(1 for _ in iterate(value)) <= PLAIN_PARTS:
            return value
        self._worked_out.setdefault(name, value)
        return column(name, value.type)

    def joined_to(
        self,
        customers: FromClause,
        id_: ColumnElement[int],
        conditions: Iterable[ColumnElement[Any]],
    ) -> FromClause:
        """The customers with what the conditions name; null where nothing is found of everybody's.

        For each table one row beside that of the customer; two or more, where so many answers are
        asked that PostgreSQL would not take them in one.
        """
        named = _names_in(conditions)
        own = [value.label(name) for name, value in self._worked_out.items() if name in named]
        if own:
            # Of the row beside, with no table of its own. Fenced off, or else the planner would put
            # each value back wherever it is named.
            worked_out = select(*own).correlate_except(None).offset(literal_column("0")).lateral()
            customers = customers.join(worked_out, true())
        for part in self._parts(named):
            if self.are_everybodys:
                theirs = part.subquery()
                customers = customers.outerjoin(theirs, theirs.c.customer_id == id_)
            else:
                customers = customers.join(part.lateral(), true())
        return customers

    def _parts(self, named: Collection[str]) -> Sequence[Select[Any]]:
        of: dict[str, list[str]] = {}
        for name in self._asked:  # in the order in which they were asked: the same text each time
            if name in named:
                of.setdefault(self._asked[name].of.name, []).append(name)
        return [
            self._part(self._rows[table], names[start : start + MOST_ANSWERS])
            for table, names in of.items()
            for start in range(0, len(names), MOST_ANSWERS)
        ]

    def _part(self, rows: Rows, names: Sequence[str]) -> Select[Any]:
        asked = {name: self._asked[name] for name in names}
        answers = [one.value.label(name) for name, one in asked.items()]
        found = (
            rows.mine.with_only_columns(*answers)
            if rows.everyones is None or not self.are_everybodys
            else rows.everyones.add_columns(*answers)
        )
        since = [one.since for one in asked.values() if one.since is not None]
        if rows.moment is not None and len(since) == len(asked):
            found = found.where(rows.moment >= func.least(*since))
        return found


def _names_in(conditions: Iterable[ColumnElement[Any]]) -> Collection[str]:
    parts = (part for condition in conditions for part in iterate(condition))
    return {part.name for part in parts if isinstance(part, ColumnClause)}


def since_of(holds: object, moment: ColumnElement[Any]) -> ColumnElement[Any] | None:
    """A moment before which no row answers, read from the condition; None where any may."""
    match holds:
        case Grouping():
            return since_of(holds.element, moment)
        case BooleanClauseList() if holds.operator is operators.and_:
            bounds = (since_of(clause, moment) for clause in holds.clauses)
            return next((bound for bound in bounds if bound is not None), None)
        case BinaryExpression() if holds.left is moment and holds.operator in _LOWER_BOUNDS:
            return holds.right
        case _:
            return None


def cheap_first(holds: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same condition, with what looks into further tables at its end.

    In a WHERE the planner would see to that; the operands of an aggregate are taken as written.
    """
    if isinstance(holds, BooleanClauseList) and holds.operator is operators.and_:
        return and_(*sorted(holds.clauses, key=_looks_further))
    return holds


def _looks_further(condition: ColumnElement[Any]) -> bool:
    return any(isinstance(part, SelectBase) for part in iterate(condition))
