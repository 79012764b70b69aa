"""Global ids and cursors: opaque text on the outside, checked when it comes back."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NewType

import msgspec
from sqlalchemy import ColumnElement, Text, cast, func, literal_column

from cdp.errors import BadInput
from schema.objects import constant

MAX_ID: Final = 2_000  # characters; longer than any key of a record that we would store
MAX_ROW: Final = 2**63 - 1  # what a bigint holds

GlobalId = NewType("GlobalId", str)

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=MAX_ROW)]


def exact(value: ColumnElement[Any]) -> ColumnElement[str]:
    """A decimal as text: it crosses JSON without becoming a float."""
    return cast(value, Text)


def encode_text(text: ColumnElement[Any]) -> ColumnElement[str]:
    """Base64 of a text, without the line breaks that PostgreSQL puts in."""
    encoded = func.encode(func.convert_to(text, constant("UTF8")), constant("base64"))
    return func.translate(encoded, func.chr(literal_column("10")), constant(""), type_=Text)


def global_id(type_name: str, *parts: ColumnElement[Any]) -> ColumnElement[str]:
    """The id of a node in SQL: its type and what finds its row, `Order:3:1001`."""
    text: ColumnElement[Any] = constant(f"{type_name}:")
    for number, part in enumerate(parts):
        text = (
            text.concat(cast(part, Text))
            if number == 0
            else text.concat(constant(":")).concat(part)
        )
    return encode_text(text)


def cursor(tag: str, *keys: ColumnElement[Any]) -> ColumnElement[str]:
    """Where a row stands in its list, in SQL. `tag` names the list and its order."""
    return encode_text(cast(func.json_build_array(constant(tag), *keys), Text))


def _decode(text: str, what: str, path: str | None = None) -> str:
    refusal = BadInput(
        f"{text[:80]!r} is not {what}.", todo="Use one that an answer gave.", path=path
    )
    if len(text) > MAX_ID:
        raise refusal
    try:
        return b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise refusal from None


def decode_id(text: str, path: str | None = None) -> tuple[str, str]:
    """The type that a global id names, and the rest. Raises BadInput, for the argument `path`."""
    type_name, colon, rest = _decode(text, "an id", path).partition(":")
    if not colon or "\0" in rest:
        raise BadInput(
            f"{text[:80]!r} is not an id.", todo="Use one that an answer gave.", path=path
        )
    return type_name, rest


def row_id(text: str, type_name: str, path: str | None = None) -> int:
    """The number of the row that an id of this type names. Raises BadInput, for `path`."""
    found, rest = decode_id(text, path)
    if found != type_name:
        raise BadInput(
            f"{text[:80]!r} is the id of another type.", todo=f"Give a {type_name}'s.", path=path
        )
    return whole(rest, path)


def whole(text: str, path: str | None = None) -> int:
    """A row's number. Raises BadInput."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_ROW):
        raise BadInput(
            f"{text[:80]!r} names no row.", todo="Use an id that an answer gave.", path=path
        )
    return int(text)


def source_and_key(rest: str) -> tuple[int, str]:
    """What finds a record: the number of its source, and its key there. Raises BadInput."""
    source, _, key = rest.partition(":")
    return whole(source), key


def decode_cursor(text: str, tag: str, types: Sequence[Any]) -> tuple[Any, ...]:
    """The keys in a cursor of the list that `tag` names. Raises BadInput for any other."""
    plain = _decode(text, "a cursor")
    shape: Any = tuple.__class_getitem__((str, *types))
    try:
        found, *keys = msgspec.json.decode(plain, type=shape)
    except (msgspec.DecodeError, ValueError):
        raise BadInput("The cursor is not one of this list.", todo="Start without it.") from None
    if found != tag or any(isinstance(key, str) and "\0" in key for key in keys):
        raise BadInput("The cursor is not one of this list.", todo="Start without it.")
    return tuple(keys)
