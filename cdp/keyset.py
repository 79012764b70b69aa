"""Keyset paging: sort fields, cursors, and the condition that continues where a page ended.

Nulls stand last in both directions, and the customer's id decides between equals, in the direction
of the last sort field. A field that may be null is sorted by whether it is, then by itself, so that
one row comparison continues it and one index serves it: on (x IS NULL, x, id) where x rises, on
(x IS NOT NULL, x, id) where it falls.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import groupby
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Numeric,
    Text,
    and_,
    extract,
    func,
    literal,
    or_,
    tuple_,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.types import TypeEngine

from cdp import tables
from cdp.attributes import ATTRIBUTES
from cdp.errors import BadInput, Forbidden
from cdp.operands import bounded_decimal
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import Scope, Trait

MAX_ORDERS: Final = 5  # sort fields of one query; nobody sees the effect of a sixth
MAX_CURSOR: Final = 20_000  # characters; the longest text that is sorted by has 10,000
DEFAULT_SIZE: Final = 25

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ENDS: Final = 2**63


class Direction(Enum):
    """Which way a sort goes."""

    ASC = "ASC"
    DESC = "DESC"


@dataclass(frozen=True, slots=True)
class SortField:
    """Something to sort by: its SQL, ascending, and whether that falls as the field rises.

    `at_the_end` sorts in its stead where no other field comes after it: an index serves that one,
    and it tells apart who has the same value, which would leave nothing to a further field.
    """

    name: str
    doc: str
    type: type
    expression: Callable[[Scope], ColumnElement[Any]]
    is_nullable: bool
    is_reversed: bool = False
    is_personal: bool = False
    at_the_end: "SortField | None" = None


@dataclass(frozen=True, slots=True)
class Order:
    """One sort field, named as in SORT_FIELDS, and its direction."""

    field: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Ordering:
    """A total order of customers. `fingerprint` binds a cursor to it and to what was asked for."""

    orders: tuple[Order, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in an ordering: a customer's sort values, null where it has none, and its id."""

    values: tuple[object, ...]
    id: int


@dataclass(frozen=True, slots=True)
class Page:
    """At most `size` customers after the cursor, or before it where `is_backward`."""

    size: int
    cursor: Cursor | None = None
    is_backward: bool = False


def _own(name: str, type_: type, doc: str, *, is_personal: bool = False) -> SortField:
    return SortField(
        name.upper(),
        doc,
        type_,
        lambda scope: scope.customer.c[name],
        bool(tables.scored_customer.c[name].nullable),
        is_personal=is_personal,
    )


def _of_trait(group: str, trait: Trait) -> SortField:
    name = f"{group}_{trait.name}".upper()
    if trait.order_column is None:
        return SortField(name, trait.doc, trait.type, trait, is_nullable=True)
    field = _by_column(name, trait, trait.order_column)
    if trait.finer_column is None:
        return field
    return replace(field, at_the_end=_by_column(name, trait, trait.finer_column))


def _by_column(name: str, trait: Trait, order_column: str) -> SortField:
    fact = order_column.removeprefix("-")
    column = tables.scored_customer.c[fact]
    return SortField(
        name,
        trait.doc,
        column.type.python_type,
        lambda scope: scope.fact.c[fact],
        bool(column.nullable),
        is_reversed=fact != order_column,
    )


SORT_FIELDS: Mapping[str, SortField] = {
    field.name: field
    for field in (
        _own("created_at", datetime, "When any source first knew the customer."),
        _own("updated_at", datetime, "When the customer last changed."),
        *(
            _own(each.name, each.type, each.doc, is_personal=each.is_personal)
            for each in ATTRIBUTES
        ),
        *(_of_trait(group.name, trait) for group in CATALOG for trait in group.traits),
    )
}
"""Everything to sort by: CREATED_AT, LAST_NAME, PURCHASES_NET_SPEND, RFM_RECENCY_DAYS, ..."""


def read_ordering(orders: Sequence[Order], *, about: object, may_see_personal: bool) -> Ordering:
    """Check an order; an empty one sorts by id.

    `about` is the JSON of what else decides which customers there are (filter, search): a cursor is
    good only for the same. Raises BadInput, and Forbidden where a masked reader sorts by what is
    personal.
    """
    if len(orders) > MAX_ORDERS:
        raise BadInput(f"{len(orders)} sort fields; {MAX_ORDERS} are the most.", path="orderBy")
    for order in orders:
        if order.field not in SORT_FIELDS:
            raise BadInput(
                f"There is no sort field {order.field[:80]!r}.",
                todo=f"There are: {', '.join(SORT_FIELDS)}.",
                path="orderBy",
            )
        if SORT_FIELDS[order.field].is_personal and not may_see_personal:
            raise Forbidden(f"{order.field} is personal data, which your role does not see.")
    names = [(order.field, order.direction.value) for order in orders]
    content = msgspec.json.encode([names, about], order="sorted")
    return Ordering(tuple(orders), hashlib.sha256(content).hexdigest()[:12])


def read_page(
    ordering: Ordering,
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    most: int,
) -> Page:
    """The page that `first` and `after`, or `last` and `before`, ask for. Raises BadInput."""
    is_backward = last is not None or before is not None
    if is_backward and (first is not None or after is not None):
        raise BadInput("A page goes one way.", todo="Give first and after, or last and before.")
    size, name = (last, "last") if is_backward else (first, "first")
    size = min(DEFAULT_SIZE, most) if size is None else size
    if not 0 <= size <= most:
        raise BadInput(f"{name} is {size}.", todo=f"Ask for 0 to {most}.", path=name)
    cursor = before if is_backward else after
    return Page(size, None if cursor is None else read_cursor(cursor, ordering), is_backward)


def write_cursor(ordering: Ordering, scope: Scope) -> ColumnElement[str]:
    """The cursor of each row, as SQL: base64url of a JSON array."""
    values = [_as_text(field, scope) for field in _fields(ordering)]
    row_id = sql_cast(scope.customer.c.id, Text)
    content = func.json_build_array(literal(ordering.fingerprint, Text), *values, row_id)
    encoded = func.encode(func.convert_to(sql_cast(content, Text), "UTF8"), "base64")
    return func.translate(encoded, "+/\n=", "-_", type_=Text)


def read_cursor(text: str, ordering: Ordering) -> Cursor:
    """What `write_cursor` wrote. Raises BadInput for anything else, or another ordering's."""
    if len(text) > MAX_CURSOR:
        raise _bad_cursor()
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        content = base64.b64decode(padded, altchars=b"-_", validate=True)
        fingerprint, *values, row_id = msgspec.json.decode(content, type=list[str | None])
        if fingerprint != ordering.fingerprint or len(values) != len(ordering.orders):
            raise BadInput(
                "The cursor belongs to another filter, search or order.",
                todo="Start again without a cursor.",
            )
        return Cursor(
            tuple(
                None if value is None else _PARSERS.get(field.type, field.type)(_clean(value))
                for field, value in zip(_fields(ordering), values, strict=True)
            ),
            _whole(row_id or ""),
        )
    except (ValueError, ArithmeticError, binascii.Error, msgspec.MsgspecError):
        raise _bad_cursor() from None


def order_by(ordering: Ordering, page: Page, scope: Scope) -> list[ColumnElement[Any]]:
    """The ORDER BY of a page; a backward page comes last to first."""
    return [
        part.expression.desc() if part.is_descending else part.expression.asc()
        for part in _parts(ordering, page, scope)[1]
    ]


def continue_after(ordering: Ordering, page: Page, scope: Scope) -> ColumnElement[bool] | None:
    """The condition that holds for what lies beyond the page's cursor; None without one."""
    if page.cursor is None:
        return None
    conditions, parts = _parts(ordering, page, scope)
    return and_(*conditions, _beyond([part for part in parts if part.value is not None]))


def _fields(ordering: Ordering) -> list[SortField]:
    """What sorts, in order."""
    fields = [SORT_FIELDS[order.field] for order in ordering.orders]
    if fields:
        fields[-1] = fields[-1].at_the_end or fields[-1]
    return fields


@dataclass(frozen=True, slots=True)
class _Part:
    """One item of ORDER BY; `value` is the cursor's, or null where it has none."""

    expression: ColumnElement[Any]
    value: ColumnElement[Any] | None
    is_descending: bool


def _parts(
    ordering: Ordering, page: Page, scope: Scope
) -> tuple[list[ColumnElement[bool]], list[_Part]]:
    """Conditions that hold for the whole rest of the order, and the items that sort it.

    Beyond a cursor without a value in the first sort field are only others without: it need not be
    sorted by any more.
    """
    conditions: list[ColumnElement[bool]] = []
    parts: list[_Part] = []
    cursor = page.cursor
    falls = False
    for position, field in enumerate(_fields(ordering)):
        order = ordering.orders[position]
        falls = (order.direction is Direction.DESC) != field.is_reversed
        is_descending = falls != page.is_backward
        expression = field.expression(scope)
        value = cursor.values[position] if cursor else None
        if cursor and value is None and not parts and not page.is_backward:
            conditions.append(expression.is_(None))
            continue
        if field.is_nullable:
            flag = expression.is_not(None) if falls else expression.is_(None)
            at_cursor = literal((value is not None) == falls) if cursor else None
            parts.append(_Part(flag, at_cursor, is_descending))
        bound = None if value is None else literal(value, _sql_type(field, expression))
        parts.append(_Part(expression, bound, is_descending))
    row_id = literal(cursor.id, BigInteger) if cursor else None
    parts.append(_Part(scope.customer.c.id, row_id, falls != page.is_backward))
    return conditions, parts


def _beyond(parts: Sequence[_Part]) -> ColumnElement[bool]:
    """Lexicographically beyond the values: one row comparison for each run of one direction."""
    is_descending, run = next(
        (direction, list(group))
        for direction, group in groupby(parts, key=lambda part: part.is_descending)
    )
    here = tuple_(*(part.expression for part in run))
    there = tuple_(*(part.value for part in run))
    strictly = here < there if is_descending else here > there
    rest = parts[len(run) :]
    if not rest:
        return strictly
    # The first condition adds nothing, but it is one that an index can take.
    bound = here <= there if is_descending else here >= there
    return and_(bound, or_(strictly, and_(here == there, _beyond(rest))))


def _as_text(field: SortField, scope: Scope) -> ColumnElement[str]:
    expression = field.expression(scope)
    if field.type is datetime:  # to the microsecond, in no time zone and no session's date style
        microseconds = extract("epoch", expression) * 1_000_000
        expression = sql_cast(microseconds, BigInteger)
    return sql_cast(expression, Text)


def _sql_type(field: SortField, expression: ColumnElement[Any]) -> TypeEngine[Any]:
    return _SQL_TYPES.get(field.type, expression.type)


_SQL_TYPES: Final[Mapping[type, TypeEngine[Any]]] = {
    str: Text(),
    int: BigInteger(),
    float: Numeric(),
    Decimal: Numeric(),
    date: Date(),
    datetime: DateTime(timezone=True),
}


def _clean(text: str) -> str:
    if "\0" in text:
        raise ValueError("no text holds NUL")
    return text


def _whole(text: str) -> int:
    number = int(text)
    if not -_ENDS <= number < _ENDS:
        raise ValueError("beyond a bigint")
    return number


_PARSERS: Final[Mapping[type, Callable[[str], object]]] = {
    int: _whole,
    float: bounded_decimal,
    Decimal: bounded_decimal,
    date: date.fromisoformat,
    datetime: lambda text: _EPOCH + timedelta(microseconds=_whole(text)),
}


def _bad_cursor() -> BadInput:
    return BadInput("That is not a cursor.", todo="Give one that a page has told.")
