"""Segments evaluated together, for everybody or for who was touched: statements compiled once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    any_,
    case,
    cast,
    column,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql.elements import Grouping

from cdp.clauses import Filter
from cdp.query import AS_OF, whenever
from cdp.related import memberships
from cdp.segments.attempt import Driver, Found, attempt, run
from cdp.segments.difference import Moves, Reason, place_of, settled, within
from cdp.segments.segment import Defined, Segment, define
from cdp.statements import Statement, compiled, given
from cdp.tables import scored_customer, segment_membership
from cdp.traits.lookups import LookUps
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

MOST_TOGETHER: Final = 50  # segments in one statement: bounds its text and the time to plan it

TOLD: Final = ("ids", "causes", "others")
"""What is given of whom: three lists, of customers, of why, in words, of whom that speaks of."""

MOST_PARAMETERS: Final = 32_767  # of one statement, as its driver counts them

CAUSED, CAUSES = "caused", "causes"
"""What is given where everybody is looked at: the numbers of segments, and why, of each, in words.
"""

_AT: Final = "at"

Conditions: TypeAlias = Mapping[int, ColumnElement[bool]]
"""Of segments, by number."""

touched_now = Table(
    "touched_now",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("cause", Text, nullable=False),
    Column("other_id", BigInteger),
    prefixes=["TEMPORARY"],
)
"""While they are followed: whom the outbox told, and why, in words."""

_Written: TypeAlias = tuple[int, str, bytes]
"""What of a segment says whom it holds for: number, slug, filter as JSON."""


@dataclass(frozen=True, slots=True)
class Known:
    """All segments there are; those are the same that are written alike."""

    written: tuple[_Written, ...]
    segments: Sequence[Segment] = field(compare=False)


def known(segments: Sequence[Segment]) -> Known:
    """As they were read."""
    written = ((one.id, one.slug, msgspec.json.encode(one.filter)) for one in segments)
    return Known(tuple(written), segments)


def sound(segments: Iterable[Segment]) -> Sequence[Segment]:
    """Those that could be evaluated last; the others wait until they are due as a whole."""
    return [one for one in segments if one.error is None]


@lru_cache(maxsize=8)  # the segments there are, and those before them
def levels_of(there: Known, workspace: Workspace) -> Sequence[Sequence[Defined]]:
    """All segments with their definitions: those that name others in a level after these.

    For everybody. Of the segments themselves only the number and the slug are as they are now.
    """
    return _levels(there, whenever(workspace), workspace)


def _levels(there: Known, scope: Scope, workspace: Workspace) -> Sequence[Sequence[Defined]]:
    level_of: dict[str, int] = {}
    levels: dict[int, list[Defined]] = {}
    for one in define(there.segments, scope, workspace):
        names = frozenset[str]() if one.filter is None else one.filter.segments
        level = max((level_of[name] + 1 for name in names if name in level_of), default=0)
        level_of[one.segment.slug] = level
        levels.setdefault(level, []).append(one)
    return [levels[level] for level in sorted(levels)]


@dataclass(frozen=True, slots=True)
class Steps:
    """What brings all segments up to date for some customers, statement after statement.

    `alone` makes the statement of one segment, by its number; they stand in the order of levels.
    """

    statements: Sequence[Statement]
    alone: Mapping[int, Callable[[], Statement]]
    asks_consent: bool

    async def follow(self, driver: Driver, as_of: datetime, at: datetime, **told: object) -> Found:
        """Evaluate all segments for those told, and tell the feed of the difference.

        They are looked at as of `as_of`; who enters or leaves does so `at`. `told` has the
        lists of TOLD, where the steps are not of `touched_now`.
        """
        values = {**told, AS_OF: as_of, _AT: at}
        together = await attempt(driver, self.statements, values)
        if isinstance(together, Moves):
            return Found(together)
        found = Found(Moves(0, 0))
        for number, alone in self.alone.items():
            found = found.with_one(number, await attempt(driver, [alone()], values))
        return found


@lru_cache(maxsize=8)  # the segments there are, and those before them
def steps_of(there: Known, workspace: Workspace, *, of_touched_now: bool) -> Steps:
    """Each level in statements of its own: they read what those before them have stored.

    For whom `touched_now` holds, or for those who are given.
    """
    told = touched_now if of_touched_now else _given()
    lookups = LookUps(told)
    statements: list[Statement] = []
    asks_consent = False
    alone: dict[int, Callable[[], Statement]] = {}

    def together(some: Conditions) -> Statement:
        return compiled(_statement_of(told, some, lookups))

    for level in _levels(there, whenever(workspace, lookups), workspace):
        filters = {one.segment.id: one.filter for one in level if one.filter is not None}
        asks_consent |= any(one.asks_consent for one in filters.values())
        numbers = list(filters)
        for start in range(0, len(numbers), MOST_TOGETHER):
            some = {one: filters[one].condition for one in numbers[start : start + MOST_TOGETHER]}
            statements += _cut(some, together)
            alone |= {one: partial(together, {one: holds}) for one, holds in some.items()}
    return Steps(statements, alone, asks_consent)


async def evaluate(
    driver: Driver,
    there: Known,
    workspace: Workspace,
    causes: Mapping[int, str],
    as_of: datetime,
) -> Found:
    """Look at everybody by some segments of one level, at most MOST_TOGETHER, as of a moment.

    `causes`: by number, what the feed is told.
    """
    values = {**_told(causes), AS_OF: as_of, _AT: as_of}

    async def look(numbers: Sequence[int]) -> Moves | str:
        return await attempt(driver, _of_everybody(there, workspace, numbers), values)

    together = await look(tuple(causes))
    if isinstance(together, Moves):
        return Found(together)
    found = Found(Moves(0, 0))
    for number in causes:
        found = found.with_one(number, await look((number,)))
    return found


@lru_cache(maxsize=32)  # what is due together: by the clock some, after an import all
def _of_everybody(
    there: Known, workspace: Workspace, numbers: Sequence[int]
) -> Sequence[Statement]:
    lookups = LookUps(None)
    segments = [one for one in there.segments if one.id in numbers]
    defined = define(segments, whenever(workspace, lookups), workspace)
    filters = {one.segment.id: one.filter for one in defined}
    some = {one: _condition(filters[one]) for one in numbers}
    return _cut(some, lambda some: compiled(_statement(some, lookups)))


def _cut(some: Conditions, together: Callable[[Conditions], Statement]) -> Sequence[Statement]:
    """One statement for all, or more where that had more parameters than one can have.

    A single segment never has: no trait takes more than some hundred, no filter asks for more than
    MAX_CLAUSES.
    """
    whole = together(some)
    if len(whole.names) <= MOST_PARAMETERS or len(some) == 1:
        return [whole]
    pairs = list(some.items())
    half = len(pairs) // 2
    return [part for each in (pairs[:half], pairs[half:]) for part in _cut(dict(each), together)]


def _told(causes: Mapping[int, str]) -> Mapping[str, object]:
    return {CAUSED: list(causes), CAUSES: list(causes.values())}


async def empty(driver: Driver, causes: Mapping[int, str], at: datetime) -> Moves:
    """Have everybody leave segments, at most MOST_TOGETHER; `causes` as for `evaluate`."""
    statement = compiled(_statement(dict.fromkeys(causes, false()), LookUps(None)))
    return await run(driver, [statement], {**_told(causes), _AT: at})


def _condition(filter_: Filter | None) -> ColumnElement[bool]:
    assert filter_ is not None, "what cannot be read holds for nobody we know of"
    return filter_.condition


def _statement(conditions: Conditions, lookups: LookUps) -> Select[Any]:
    """Evaluates segments by number for everybody, with a cause that is given for each of them.

    None of the conditions asks who is in another one of them. Each customer's row is read once, and
    each table that they ask of, whatever the number of segments. What was found of whom is compared
    with what they are members of customer by customer, and not pair by pair.
    """
    numbers: ColumnElement[Any] = literal(list(conditions), ARRAY(Integer))
    nothing: ColumnElement[Any] = literal([], ARRAY(Integer))
    # Fenced off, for the planner to decide nothing about both at once.
    found = (
        select(scored_customer.c.id, _answers(conditions).label("answers"))
        .select_from(lookups.joined_to(scored_customer, scored_customer.c.id, conditions.values()))
        .offset(literal_column("0"))
        .subquery("found")
    )
    held = _held(numbers)
    looked_at = (
        select(
            func.coalesce(found.c.id, held.c.id).label("id"),
            func.coalesce(found.c.answers, nothing, type_=ARRAY(Integer)).label("answers"),
            func.coalesce(held.c.held, nothing, type_=ARRAY(Integer)).label("held"),
            held.c.places,
            found.c.id.is_(None).label("is_nobody"),
        )
        .select_from(found.join(held, held.c.id == found.c.id, full=True))
        .offset(literal_column("0"))
        .subquery("looked_at")
    )
    at = given(_AT, DateTime(timezone=True))
    return settled(within(looked_at), _by_segment(), at)


def _statement_of(told: FromClause, conditions: Conditions, lookups: LookUps) -> Select[Any]:
    """The same for the customers that are told (`id`, `cause`, `other_id`).

    What the conditions ask of their records, and what they are members of, is looked up once for
    each. They come first, and are joined as written: the planner, who looks at eight tables
    together, might else begin with everybody. Who is nobody any more is in nothing.
    """
    numbers: ColumnElement[Any] = literal(list(conditions), ARRAY(Integer))
    member = lookups.rows(memberships(told))
    is_held = and_(member.rows.c.segment_id == any_(numbers), member.rows.c.exited_at.is_(None))
    held = lookups.ask(member, _listed(member.rows.c.segment_id, is_held))
    places = lookups.ask(member, _listed(place_of("member"), is_held))
    rows: FromClause = told.outerjoin(scored_customer, scored_customer.c.id == told.c.id)
    rows = lookups.joined_to(rows, told.c.id, [*conditions.values(), held, places])
    nothing: ColumnElement[Any] = literal([], ARRAY(Integer))
    is_nobody = scored_customer.c.id.is_(None)
    answers = case((is_nobody, nothing), else_=_answers(conditions))
    looked_at = (
        select(
            told.c.id,
            answers.label("answers"),
            func.coalesce(held, nothing, type_=ARRAY(Integer)).label("held"),
            places.label("places"),
            is_nobody.label("is_nobody"),
        )
        .select_from(rows)
        .offset(literal_column("0"))
        .subquery("looked_at")
    )
    at = given(_AT, DateTime(timezone=True))
    return settled(within(looked_at), _by_customer(told), at)


def _answers(conditions: Conditions) -> ColumnElement[Any]:
    """The numbers of the segments whose conditions hold for the customer."""
    answers = [case((holds, literal(one, Integer))) for one, holds in conditions.items()]
    return func.array_remove(array(answers), null(), type_=ARRAY(Integer))


def _listed(value: ColumnElement[Any], is_wanted: ColumnElement[bool]) -> ColumnElement[Any]:
    """The values of some rows, in one order; null for none."""
    return func.array_agg(value, type_=ARRAY(value.type)).filter(is_wanted)


def _held(numbers: ColumnElement[Any]) -> FromClause:
    """`id`, `held`, and `places` in the same order: what each is a member of."""
    member = segment_membership.alias("member")
    return (
        select(
            member.c.customer_id.label("id"),
            func.array_agg(member.c.segment_id, type_=ARRAY(Integer)).label("held"),
            func.array_agg(place_of("member")).label("places"),
        )
        .where(member.c.segment_id == any_(numbers), member.c.exited_at.is_(None))
        .group_by(member.c.customer_id)
        .subquery("held")
    )


def _by_customer(told: FromClause) -> Reason:
    return lambda rows: (
        rows.join(told, told.c.id == rows.c.customer_id),
        told.c.cause,
        told.c.other_id,
    )


def _by_segment() -> Reason:
    numbers = given(CAUSED, ARRAY(Integer))
    causes: ColumnElement[Any] = Grouping(given(CAUSES, ARRAY(Text)))
    return lambda rows: (
        rows,
        causes[func.array_position(numbers, rows.c.segment_id)],
        cast(null(), BigInteger),
    )


def _given() -> FromClause:
    rows = func.unnest(
        given("ids", ARRAY(BigInteger)),
        given("causes", ARRAY(Text)),
        given("others", ARRAY(BigInteger)),
    ).table_valued(column("id", BigInteger), column("cause", Text), column("other_id", BigInteger))
    return select(rows.render_derived("row")).cte("told")
