"""What records of every stream share in SQL: whose they are, whose source, what is alive."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    Table,
    Text,
    and_,
    func,
    select,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from cdp import tables
from schema.edges import Arguments, Branch, Leaf, Row, Scene, Slice, row_of
from schema.ids import Instant, Whole, cursor, decode_cursor, exact
from schema.masking import is_open, veil


def money(name: str) -> Leaf:
    """A decimal column, as text."""
    return Leaf(lambda row: exact(row[name]))


def customer_of_profile(profile_id: ColumnElement[int], scene: Scene) -> Branch:
    """The customer whose a source profile is; so any id that was ever reserved leads to one."""
    customer, profile = tables.scored_customer.alias(), tables.source_profile.alias()
    whose = (
        select(profile.c.customer_id)
        .where(profile.c.id == profile_id)
        .correlate_except(profile)
        .scalar_subquery()
    )
    query = select().select_from(customer).where(customer.c.id == whose)
    return Branch("Customer", row_of(customer, scene), query)


def profiles_of(customer: Row) -> Select[Any]:
    """The ids of a customer's source profiles."""
    profile = tables.source_profile.alias()
    query = select(profile.c.id).where(profile.c.customer_id == customer.table.c.id)
    return query.correlate_except(profile)


def profile_array(customer: Row) -> ColumnElement[Any]:
    """The same as an array that is made once, so that either side of an OR can use an index."""
    return func.array(profiles_of(customer).scalar_subquery(), type_=ARRAY(BigInteger))


def is_alive(record: FromClause, occurred: str, as_of: ColumnElement[Any]) -> ColumnElement[bool]:
    """The source still has the record, and it has happened."""
    return and_(record.c.deleted_at.is_(None), record.c[occurred] <= as_of)


def source_name(row: Row) -> ColumnElement[Any]:
    """The name of the source that a row's `source_id` points at."""
    source = tables.source.alias()
    query = select(source.c.name).where(source.c.id == row.table.c.source_id)
    return query.correlate_except(source).scalar_subquery()


def shown_key(row: Row) -> ColumnElement[str]:
    """What tells a record from others of its source; says nothing to who is masked."""
    source_id, key = row.table.c.source_id, row.table.c.key
    if row.scene.viewer.is_masked and not is_open(row.name, "key"):
        return veil(row.name, source_id, key)
    return key


def upper(name: str, default: str | None = None) -> Leaf:
    """A column of lower-case words as the value of an enum."""

    def value(row: Row) -> ColumnElement[Any]:
        word = row[name] if default is None else func.coalesce(row[name], default)
        return func.upper(word, type_=Text)

    return Leaf(value)


def beyond(
    arguments: Arguments,
    tag: str,
    types: Sequence[Any],
    keys: Sequence[ColumnElement[Any]],
) -> tuple[Sequence[ColumnElement[bool]], bool]:
    """The condition of a list whose keys all fall: after the cursor, if there is one."""

    def key(at: int) -> Callable[[str], object]:
        return lambda text: decode_cursor(text, tag, types)[at]

    values = [
        arguments.later("after", _SQL_TYPES[type_], key(at)) for at, type_ in enumerate(types)
    ]
    if any(value is None for value in values):
        return (), False
    return (tuple_(*keys) < tuple_(*values),), True


def newest_first(
    customer: Row, arguments: Arguments, table: Table, *, type_name: str, tag: str, occurred: str
) -> Slice:
    """A customer's records of one stream, the latest first; `tag` names the list in its cursors."""
    record = table.alias()
    row = row_of(record, customer.scene)
    whole = (
        select()
        .select_from(record)
        .where(
            record.c.source_profile_id.in_(profiles_of(customer)),
            is_alive(record, occurred, customer.scene.as_of),
        )
    )
    keys = (record.c[occurred], record.c.source_id, shown_key(row))
    rest, is_inner = beyond(arguments, tag, _NEWEST_FIRST, keys)
    page = whole.where(*rest).order_by(*(key.desc() for key in keys))
    return Slice(
        branches=[Branch(type_name, row, page)],
        size=arguments.page_size(),
        order=lambda _: keys,
        cursor=lambda _: cursor(tag, *keys),
        total=lambda: whole.add_columns(func.count()).correlate_except(record).scalar_subquery(),
        is_inner=is_inner,
    )


_NEWEST_FIRST: Final = (Instant, Whole, str)

_SQL_TYPES: Final[Mapping[Any, TypeEngine[Any]]] = {
    Instant: DateTime(timezone=True),
    Whole: BigInteger(),
    str: Text(),
}
