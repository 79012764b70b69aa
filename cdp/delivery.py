"""What a caller hands to ingest: a batch of deliveries, each a record, a delete or a refusal."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Annotated, Final, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec

from cdp.errors import BadInput
from cdp.records import MAX_MONEY, STREAMS, Record
from cdp.values import Json, RunId, SourceId

EARLIEST_YEAR: Final = 1850  # nobody alive was born before; nothing was sold to them either
LATEST_YEAR: Final = 2199
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024  # one record; a larger one is a fault of its source

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Unacceptable(Exception):
    """A row that cannot be taken: why, and at which column."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


@dataclass(frozen=True, slots=True)
class Received:
    """A record, with its payload as it came (JSON) and where it stood in its page or file."""

    record: Record
    payload: bytes
    vendor_version: int | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A record that its source no longer has. `deleted_at` orders it among the versions."""

    stream: str
    key: str
    deleted_at: datetime
    payload: bytes = b"{}"
    vendor_version: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that cannot be taken: goes to the dead letters with its reason and its place."""

    stream: str
    key: str | None
    reason: str
    path: str
    payload: bytes
    place: str = ""


Delivery: TypeAlias = Received | Deleted | Refused


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where to resume `stream` after this batch; `epoch` is the one that the runner was given."""

    stream: str
    cursor: Json
    epoch: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries of one source, in the order of their arrival, and what to commit with them."""

    source_id: SourceId
    deliveries: Sequence[Delivery]
    checkpoint: Checkpoint | None = None
    run_id: RunId | None = None


def read_record(stream: str, row: Mapping[str, object]) -> Record:
    """Validate a row of canonical columns; null and empty text mean not said.

    An unknown column becomes an attribute. Raises Unacceptable for a row that breaks its stream's
    rules and BadInput for an unknown stream.
    """
    record_type = _record_type(stream)
    known, attributes = _split(record_type, row)
    if attributes:
        known["attributes"] = attributes
    try:
        record = msgspec.convert(known, record_type, strict=False)
    except msgspec.ValidationError:
        record = _convert_with_text_keys(known, record_type)
    _check(record)
    return record


def encode(record: Record) -> bytes:
    """The record as JSON, the same bytes for the same content; null where nothing was said.

    Raises Unacceptable for text that PostgreSQL cannot hold.
    """
    try:
        encoded = msgspec.json.encode(record, order="deterministic")
    except UnicodeEncodeError as error:
        raise Unacceptable(f"Text holds half of a surrogate pair: {error.object!r:.80}.") from None
    if b"\\u0000" in encoded and _has_nul(msgspec.to_builtins(record)):
        raise Unacceptable("Text holds a NUL character.")
    return encoded


def digest(encoded: bytes) -> bytes:
    """16 bytes that stand for the content of a mapped record."""
    return hashlib.blake2b(encoded, digest_size=16).digest()


def payload_of(row: object) -> bytes:
    """A row as JSON, as it came; characters that JSON text cannot carry are shown escaped."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escaped(row))


def receive(
    stream: str,
    row: Mapping[str, object],
    *,
    payload: bytes | None = None,
    vendor_version: int | None = None,
    place: str = "",
) -> Received | Refused:
    """Validate a row into a delivery; one that cannot be taken comes back refused, never raised."""
    raw = payload_of(row) if payload is None else payload
    try:
        if len(raw) > MAX_PAYLOAD_BYTES:
            raise Unacceptable(f"The record is {len(raw)} bytes; {MAX_PAYLOAD_BYTES} is the most.")
        return Received(read_record(stream, row), raw, vendor_version, place)
    except Unacceptable as refusal:
        key = row.get("id")
        return Refused(
            stream,
            key if isinstance(key, str) else None,
            refusal.reason,
            refusal.path,
            raw[:MAX_PAYLOAD_BYTES]
            if len(raw) <= MAX_PAYLOAD_BYTES
            else payload_of(str(raw[:1000])),
            place,
        )


def _record_type(stream: str) -> type[Record]:
    try:
        return STREAMS[stream]
    except KeyError:
        raise BadInput(
            f"There is no stream {stream!r}.", todo=f"Name one of: {', '.join(STREAMS)}."
        ) from None


def _split(
    record_type: type[Record], row: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    columns = _columns(record_type)
    known: dict[str, object] = {}
    attributes: dict[str, object] = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        (known if name in columns else attributes)[name] = value
    return known, attributes


def _convert_with_text_keys(known: dict[str, object], record_type: type[AnyRecord]) -> AnyRecord:
    """Once more with whole numbers as text where text is wanted: many sources number their keys."""
    text_columns = _text_columns(record_type)
    for name, value in known.items():
        if name in text_columns and isinstance(value, int) and not isinstance(value, bool):
            known[name] = str(value)
    try:
        return msgspec.convert(known, record_type, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise Unacceptable(reason, path.strip("`").removeprefix("$.")) from None


def _check(record: Record) -> None:
    """What types alone cannot say: money is finite and bounded, moments are of this age."""
    for name in _decimal_columns(type(record)):
        amount = getattr(record, name)
        if amount is not None and not (amount.is_finite() and abs(amount) < MAX_MONEY):
            raise Unacceptable(f"{amount} is not an amount.", name)
    for name in _dated_columns(type(record)):
        moment = getattr(record, name)
        if moment is not None and not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            raise Unacceptable(f"The year {moment.year} is not one of this age.", name)
    for number, line in enumerate(getattr(record, "lines", None) or ()):
        for name in _decimal_columns(type(line)):
            amount = getattr(line, name)
            if amount is not None and not (amount.is_finite() and abs(amount) < MAX_MONEY):
                raise Unacceptable(f"{amount} is not an amount.", f"lines[{number}].{name}")


@cache
def _columns(record_type: type[Record]) -> frozenset[str]:
    return frozenset(record_type.__struct_fields__) - {"attributes"}


@cache
def _of_type(struct: type[msgspec.Struct], *wanted: type) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in msgspec.structs.fields(struct)
        if not _plain_types(field.type).isdisjoint(wanted)
    )


def _plain_types(annotation: object) -> frozenset[object]:
    """The plain types that an annotation admits, through Annotated and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain_types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return frozenset().union(*(_plain_types(member) for member in get_args(annotation)))
    return frozenset({origin or annotation})


def _text_columns(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return _of_type(struct, str)


def _decimal_columns(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return _of_type(struct, Decimal)


def _dated_columns(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return _of_type(struct, datetime, date)


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(_has_nul, value))


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(_escaped(key)): _escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escaped(item) for item in value]
    return value
