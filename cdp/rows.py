"""From a canonical record to the row of its stream's table, column by column."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from cdp.records import STREAMS, OrderLine, Record, line_key, split_line_key
from cdp.tables import STREAM_TABLES
from cdp.values import SourceId
from cdp.versions import Version

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

_NOT_COPIED: Final = {"lines", "emails", "phones", "handles", "external_ids"}
"""Fields that live in other tables or as identifiers."""

_RENAMED: Final = {"order_id": {"order_lines": "order_key", "refunds": "order_key"}}


def order_status(text: str | None) -> tuple[str, bool]:
    """The canonical status and whether the spelling was known; unknown counts as completed."""
    if text is None:
        return "completed", True
    plain = text.strip().lower().replace("-", "_").replace(" ", "_")
    plain = _SPELLINGS.get(plain, plain)
    return (plain, True) if plain in ORDER_STATUSES else ("completed", False)


def columns_of(stream: str) -> tuple[str, ...]:
    """The columns that `row_of` fills, in its order; a person's owner is left to the caller."""
    return (*BASE_COLUMNS, *(column for column, _ in _getters(stream)))


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


def row_of(source_id: SourceId, stream: str, version: Version) -> tuple[Any, ...]:
    """A row of the stream's table; a tombstone's own columns are null, save what its key tells."""
    record = version.record
    if record is None:
        own: list[object] = [None for _ in _getters(stream)]
        if stream == "order_lines":
            names = [name for name, _ in _getters(stream)]
            at_order, at_line = names.index("order_key"), names.index("line")
            own[at_order], own[at_line] = split_line_key(version.key)
        return (*base_row(source_id, version), *own)
    return (
        *base_row(source_id, version),
        *(getter(record) for _, getter in _getters(stream)),
    )


def json_text(value: object) -> str:
    """JSON as text, for a JSON column."""
    return msgspec.json.encode(value).decode()


def embedded_line_row(
    source_id: SourceId, order_key: str, name: str, line: OrderLine
) -> tuple[Any, ...]:
    """A line that stands inside its order; its digest is empty, for the order's speaks for it."""
    return (
        source_id, line_key(order_key, name), b"", "null", order_key, name,
        line.product_id, line.sku, line.title, line.category, line.quantity, line.unit_price,
        line.discount,
    )  # fmt: skip


EMBEDDED_LINE_COLUMNS: Final = (
    "source_id", "key", "digest", "payload", "order_key", "line",
    "product_id", "sku", "title", "category", "quantity", "unit_price", "discount",
)  # fmt: skip


def _upper(name: str) -> Callable[[Record], object]:
    def get(record: Record) -> object:
        value = getattr(record, name)
        return value.upper() if value is not None else None

    return get


def _word(name: str) -> Callable[[Record], object]:
    return lambda record: getattr(record, name).strip().lower()


def _json(name: str) -> Callable[[Record], object]:
    def get(record: Record) -> object:
        value = getattr(record, name)
        return json_text(value) if value else None

    return get


def _make_getters(
    stream: str, record_type: type[Record]
) -> Sequence[tuple[str, Callable[[Record], Any]]]:
    special: Mapping[str, Callable[[Record], object]] = {
        "currency": _upper("currency"), "base": _upper("base"), "country": _upper("country"),
        "tags": _json("tags"), "properties": _json("properties"),
    }  # fmt: skip
    if stream == "orders":
        special = {**special, "status": lambda o: order_status(getattr(o, "status"))[0]}  # noqa: B009
    if stream == "consents":
        special = {**special, "channel": _word("channel"), "purpose": _word("purpose")}
    table = STREAM_TABLES[stream]
    getters = []
    for name in record_type.__struct_fields__:
        column = _RENAMED.get(name, {}).get(stream, name)
        if column in table.c and column not in BASE_COLUMNS and name not in _NOT_COPIED:
            getters.append((column, special.get(name, attrgetter(name))))
    return getters


def _getters(stream: str) -> Sequence[tuple[str, Callable[[Record], Any]]]:
    return _GETTERS[stream]


_GETTERS: Final = {
    stream: _make_getters(stream, record_type) for stream, record_type in STREAMS.items()
}
