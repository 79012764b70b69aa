"""JSON in PostgreSQL: objects that it builds of columns, and lists that it reads as rows."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    Text,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.types import TypeEngine

MAX_ALIAS: Final = 63  # bytes of a name in PostgreSQL; a longer one would be cut
MAX_PAIRS: Final = 50  # of one call: PostgreSQL passes at most 100 arguments

EMPTY_LIST: Final = literal_column("'[]'::json", JSON)
EMPTY_OBJECT: Final = literal_column("'{}'::json", JSON)

Columns: TypeAlias = dict[str, ColumnElement[Any]]
"""What an object is made of, by the key of the answer."""


def constant(text: str) -> ColumnElement[str]:
    """A text of our own in SQL, such as the name of a type; never one that a request brings."""
    return literal_column(f"'{text}'", Text)


def is_row(columns: Columns) -> bool:
    """Whether the keys can be names of columns: the row form, cheapest of all."""
    return bool(columns) and all(len(key) <= MAX_ALIAS for key in columns)


def labelled(columns: Columns) -> list[ColumnElement[Any]]:
    """The columns under their keys."""
    return [value.label(key) for key, value in columns.items()]


def whole_row(rows: Subquery) -> ColumnElement[Any]:
    """The row itself, as an argument of json_agg or row_to_json."""
    return rows.table_valued()


def row_object(columns: Columns) -> ColumnElement[Any]:
    """An object of expressions over the rows around it."""
    if not is_row(columns):
        return pairs_object(columns)
    row = select(*labelled(columns)).correlate_except().subquery()
    return select(func.row_to_json(whole_row(row), type_=JSON)).scalar_subquery()


def pairs_object(columns: Columns) -> ColumnElement[Any]:
    """An object with keys of any length and number, whose values may be aggregates."""
    pairs = [(constant(key), value) for key, value in columns.items()]
    chunks: list[ColumnElement[Any]] = [
        func.json_build_object(*(part for pair in pairs[at : at + MAX_PAIRS] for part in pair))
        for at in range(0, len(pairs), MAX_PAIRS)
    ]
    if len(chunks) < 2:
        return chunks[0] if chunks else EMPTY_OBJECT
    # Only jsonb can be concatenated, and it reorders keys: join the texts within the braces.
    inner = [func.left(func.right(cast(chunk, Text), -1), -1) for chunk in chunks]
    return cast(func.concat("{", func.concat_ws(", ", *inner), "}"), JSON)


def items(values: ColumnElement[Any], columns: Mapping[str, TypeEngine[Any]]) -> Subquery:
    """The objects of a JSONB list as rows, with their `position` in it; none where it is null."""
    elements = func.jsonb_array_elements(values)
    listed = elements.table_valued("item", with_ordinality="position").render_derived(name="listed")
    item = cast(listed.c.item, JSONB)
    members = (
        (item[name] if isinstance(type_, JSONB) else cast(item[name].astext, type_)).label(name)
        for name, type_ in columns.items()
    )
    return select(listed.c.position, *members).correlate_except(listed).subquery()


def numbers(values: ColumnElement[Any]) -> Select[int]:
    """The whole numbers of a JSONB list, which may be written as text."""
    listed = func.jsonb_array_elements_text(values).table_valued("number").render_derived()
    return select(cast(listed.c.number, BigInteger)).correlate_except(listed)
