"""What a file is read as, item by item: rows, lines not opened yet, and what is neither."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from cdp.payloads import payload_of

BYTE_ORDER_MARK: Final = "\ufeff".encode()
METER_EVERY_LINES: Final = 1000  # asking a file for its position costs as much as reading a line
MAX_SHOWN_BYTES: Final = 4000  # of a line that cannot be taken, kept to look at


@dataclass(frozen=True, slots=True)
class Row:
    """One row by column name; `number` is its line (Parquet: its row), counted from 1.

    `payload` is the row as it came, where it came as JSON.
    """

    number: int
    values: Mapping[str, object]
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """Something at line `number` that is no row; `payload` is JSON text that shows it."""

    number: int
    reason: str
    payload: bytes


Item: TypeAlias = Row | Broken


class Line(msgspec.Struct, frozen=True):
    """Line `number` of a file of JSON lines, not opened yet; `payload` is what stands there."""

    number: int
    payload: bytes


@dataclass(slots=True)
class Meter:
    """How many bytes of a file have been read, as they lie on the disk."""

    bytes_read: int = 0


def shown(line: bytes | str) -> bytes:
    """A line that is no JSON, as a JSON text."""
    text = line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")
    return payload_of(text[:MAX_SHOWN_BYTES])
