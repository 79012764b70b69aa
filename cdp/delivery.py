"""What a caller hands to ingest: a batch of deliveries, each a record, a delete or a refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from cdp.lines import read_line
from cdp.payloads import (
    MAX_PAYLOAD_BYTES,
    MAX_SHOWN_BYTES,
    escaped_text,
    is_json,
    payload_of,
    shown,
)
from cdp.records import Record
from cdp.validation import Unacceptable, digest, encode, read_record
from cdp.values import Json, SourceId

MAX_VENDOR_VERSION: Final = 2**63 - 1  # what a bigint holds


class Received(msgspec.Struct, frozen=True):
    """A record, with its payload as it came (JSON) and where it stood in its page or file.

    `digest` stands for the content of the mapped record. Made by `receive`, which checks it. A
    struct, like the record: there is one of each, and a frozen dataclass takes ten times as long
    to make.
    """

    record: Record
    payload: bytes
    digest: bytes
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
    """Something that cannot be taken: goes to the dead letters with its reason and its place.

    Whatever it is made of, PostgreSQL can hold it: what text or JSON cannot carry is escaped.
    """

    stream: str
    key: str | None
    reason: str
    path: str
    payload: bytes
    place: str = ""

    def __post_init__(self) -> None:
        """Escape what cannot be stored: a refusal that fails would stop its page for ever."""
        for name in ("stream", "key", "reason", "path", "place"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, escaped_text(text).replace("\0", "\\x00"))
        if not is_json(self.payload):
            object.__setattr__(self, "payload", shown(self.payload))


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


def receive(
    stream: str,
    row: Mapping[str, object],
    *,
    payload: bytes | None = None,
    vendor_version: int | None = None,
    place: str = "",
) -> Received | Refused:
    """Validate a row into a delivery; one that cannot be taken comes back refused, never raised.

    `payload`: the row as it came, as JSON; None: the row itself. `vendor_version` orders versions
    of one `updated_at`. `place`: where it stood in its page or file, for people. Raises BadInput
    for a stream that there is not.
    """
    raw = b"null"
    try:
        raw = payload_of(row) if payload is None else payload
        if len(raw) > MAX_PAYLOAD_BYTES:
            raise Unacceptable(f"The record is {len(raw)} bytes; {MAX_PAYLOAD_BYTES} is the most.")
        if payload is not None and not is_json(raw):
            raise Unacceptable("The payload is not JSON in UTF-8.")
        if vendor_version is not None and abs(vendor_version) > MAX_VENDOR_VERSION:
            raise Unacceptable("The version's number is beyond 64 bits.")
        record = read_record(stream, row)
        return Received(record, raw, digest(encode(record)), vendor_version, place)
    except Unacceptable as refusal:
        reason, path = refusal.reason, refusal.path
    except RecursionError:
        reason, path = "The record is nested too deeply.", ""
    key = row.get("id")
    kept = raw if len(raw) <= MAX_PAYLOAD_BYTES else shown(raw[:MAX_SHOWN_BYTES])
    return Refused(stream, key if isinstance(key, str) else None, reason, path, kept, place)


def receive_line(stream: str, line: bytes, place: str) -> Received | None:
    """A JSON line as `receive` would take it; None where only `receive` can tell.

    Most lines of a file are read so, in half the time.
    """
    try:
        record = read_line(stream, line)
        if record is None:
            return None
        return Received(record, line, digest(encode(record)), None, place)
    except Unacceptable:
        return None
