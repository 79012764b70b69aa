"""From a canonical record to the row of its stream's table, column by column."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeAlias, cast

import msgspec

from cdp.records import (
    STREAMS,
    CustomerRecord,
    OrderRecord,
    Record,
    line_key,
    line_names,
    split_line_key,
)
from cdp.tables import STREAM_TABLES
from cdp.values import SourceId
from cdp.versions import Version

Row: TypeAlias = tuple[Any, ...]

BASE_COLUMNS: Final = (
    "source_id", "key", "digest", "payload", "attributes", "updated_at", "vendor_version",
    "deleted_at",
)  # fmt: skip
"""What every record carries, but for the moment when it was learned: that is the transaction's."""

ORDER_STATUSES: Final = frozenset(
    """pending paid fulfilled completed partially_refunded refunded cancelled failed voided draft
    test""".split()
)
VOID_STATUSES: Final = ("cancelled", "failed", "voided", "draft", "test")
"""Orders of these never count, neither in number nor in money."""

_SPELLINGS: Final = {
    "canceled": "cancelled", "void": "voided", "complete": "completed", "closed": "completed",
    "delivered": "fulfilled", "shipped": "fulfilled", "dispatched": "fulfilled",
    "open": "pending", "unpaid": "pending", "on_hold": "pending", "awaiting_payment": "pending",
    "authorized": "pending", "authorised": "pending", "processing": "paid",
    "partially_paid": "paid", "partially_fulfilled": "paid", "refund": "refunded",
    "partial_refund": "partially_refunded", "declined": "failed", "expired": "failed",
    "error": "failed",
}  # fmt: skip

CHANNEL_SPELLINGS: Final = {
    "e-mail": "email", "e_mail": "email", "e mail": "email", "emails": "email", "e-mails": "email",
    "text": "sms", "txt": "sms", "text message": "sms", "text_message": "sms", "texts": "sms",
    "telephone": "phone", "call": "phone", "calls": "phone", "phone call": "phone",
    "phone_call": "phone", "whats app": "whatsapp", "push notification": "push",
    "push_notification": "push", "push notifications": "push", "push_notifications": "push",
    "postal": "post", "postal mail": "post", "postal_mail": "post", "direct mail": "post",
    "direct_mail": "post",
}  # fmt: skip
"""Other words for a channel of consent, in small letters: a refusal holds under each of them."""

_NOT_COPIED: Final = {"lines", "emails", "phones", "handles", "external_ids"}
"""Fields that live in other tables or as identifiers."""

_RENAMED: Final = {"order_id": {"order_lines": "order_key", "refunds": "order_key"}}


@lru_cache(maxsize=1024)  # a source has a few spellings; whoever makes up more pays for each
def order_status(text: str | None) -> tuple[str, bool]:
    """The canonical status and whether the spelling was known; unknown counts as completed."""
    if text is None:
        return "completed", True
    plain = status_word(text)
    return (plain, True) if plain in ORDER_STATUSES else ("completed", False)


def status_word(text: str) -> str:
    """The canonical status that a spelling stands for; an unknown one in small letters."""
    plain = text.strip().lower().replace("-", "_").replace(" ", "_")
    return _SPELLINGS.get(plain, plain)


def channel_of(text: str) -> str:
    """A channel of consent by its one name, in small letters; one that is unknown as it is."""
    word = text.strip().lower()
    return CHANNEL_SPELLINGS.get(word, word)


def purpose_of(text: str) -> str:
    """A purpose of consent in small letters."""
    return text.strip().lower()


def columns_of(stream: str) -> tuple[str, ...]:
    """The columns that `row_of` fills, in its order; a person's owner is left to the caller."""
    return (*BASE_COLUMNS, *_SHAPES[stream].columns)


def base_row(source_id: SourceId, version: Version) -> tuple[Any, ...]:
    """What every record carries."""
    record = version.record
    return (
        source_id,
        version.key,
        version.digest,
        version.payload.decode(),
        json_text(record.attributes) if record is not None and record.attributes else None,
        getattr(record, "updated_at", None),
        version.vendor_version,
        version.deleted_at,
    )


def row_of(source_id: SourceId, stream: str, version: Version) -> Row:
    """A row of the stream's table; a tombstone's own columns are null, save what its key tells."""
    record, shape = version.record, _SHAPES[stream]
    if record is None:
        own: list[object] = [None for _ in shape.columns]
        if stream == "order_lines":
            at_order, at_line = shape.columns.index("order_key"), shape.columns.index("line")
            own[at_order], own[at_line] = split_line_key(version.key)
    else:
        own = list(shape.values(record))
        for place, read in shape.readings:
            own[place] = read(own[place])
    return (*base_row(source_id, version), *own)


_ATTRIBUTES: Final = (
    "first_name", "last_name", "full_name", "birth_date", "gender", "street", "city", "region",
    "postal_code", "language", "loyalty_card", "email_verified", "phone_verified", "created_at",
)  # fmt: skip
_attributes: Final[Callable[[CustomerRecord], Row]] = attrgetter(*_ATTRIBUTES)
_NO_ATTRIBUTES: Final = (None,) * (len(_ATTRIBUTES) + 2)

PROFILE_COLUMNS: Final = ("country", "tags", *_ATTRIBUTES, *BASE_COLUMNS)
"""The columns of a source profile that `profile_row` fills; who it is, is left to the caller."""


def profile_row(source_id: SourceId, version: Version) -> Row:
    """What a customer's record says of its source profile; a contact or a tombstone says nothing.

    Its identifiers and what it is compared by are read by `cdp.identity.people`.
    """
    record = cast("CustomerRecord | None", version.record)
    if record is None:
        return (*_NO_ATTRIBUTES, *base_row(source_id, version))
    return (
        record.country.upper() if record.country else None,
        json_text(record.tags) if record.tags else None,
        *_attributes(record),
        *base_row(source_id, version),
    )


def json_text(value: object) -> str:
    """JSON as text, for a JSON column."""
    return msgspec.json.encode(value).decode()


def line_rows(source_id: SourceId, order: OrderRecord) -> list[Row]:
    """The lines that stand inside an order; their digest is empty, for the order's speaks for them.

    None where the order says nothing of its lines.
    """
    lines = order.lines or ()
    return [
        (
            source_id, line_key(order.id, name), b"", "null", order.id, name,
            line.product_id, line.sku, line.title, line.category, line.quantity, line.unit_price,
            line.discount,
        )
        for name, line in zip(line_names(lines), lines, strict=True)
    ]  # fmt: skip


EMBEDDED_LINE_COLUMNS: Final = (
    "source_id", "key", "digest", "payload", "order_key", "line",
    "product_id", "sku", "title", "category", "quantity", "unit_price", "discount",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Shape:
    """The columns of a stream that are its own; all are read at once, then those read otherwise."""

    columns: tuple[str, ...]
    values: Callable[[Record], Row]
    readings: tuple[tuple[int, Callable[[Any], object]], ...]


def _upper(value: str | None) -> str | None:
    return value.upper() if value is not None else None


def _json(value: object) -> str | None:
    return json_text(value) if value else None


_READINGS: Final[Mapping[str, Callable[[Any], object]]] = {
    "currency": _upper, "base": _upper, "country": _upper, "tags": _json, "properties": _json,
}  # fmt: skip
_READINGS_OF: Final[Mapping[str, Mapping[str, Callable[[Any], object]]]] = {
    "orders": {"status": lambda text: order_status(text)[0]},
    "consents": {"channel": channel_of, "purpose": purpose_of},
}
"""Fields that are not stored as they are; the second, in one stream alone."""


def _shape_of(stream: str, record_type: type[Record]) -> _Shape:
    table = STREAM_TABLES[stream]
    readings = {**_READINGS, **_READINGS_OF.get(stream, {})}
    column_of = {
        name: column
        for name in record_type.__struct_fields__
        if name not in _NOT_COPIED
        and (column := _RENAMED.get(name, {}).get(stream, name)) in table.c
        and column not in BASE_COLUMNS
    }
    return _Shape(
        tuple(column_of.values()),
        attrgetter(*column_of),
        tuple((place, readings[name]) for place, name in enumerate(column_of) if name in readings),
    )


_SHAPES: Final = {stream: _shape_of(stream, kind) for stream, kind in STREAMS.items()}
