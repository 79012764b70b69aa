"""Arrays as the rows of PostgreSQL's binary COPY, so that no object is made of any value."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cdp.scoring.histories import Booleans, Floats, Integers

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, no flags, no extension
TRAILER: Final = b"\xff\xff"
PIECE: Final = 16_384  # rows made at once: bounds memory

MOST_MONEY: Final = 9e18
"""Of one value, in smallest units of the currency: what is more does not fit into 63 bits, and is
stored as this. An order is below a ninth of it even in thousandths."""

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BASE: Final = 10_000  # of the digits of a numeric
_WHOLE_DIGITS: Final = 5  # before the point: 63 bits of whole units have as many
_NEGATIVE: Final = 0x4000
_NULL: Final = -1
_NUMERIC: Final = np.dtype(
    [
        ("count", ">i2"), ("weight", ">i2"), ("sign", ">u2"), ("scale", ">i2"),
        ("digits", ">i2", (_WHOLE_DIGITS + 1,)),
    ]
)  # fmt: skip
"""A numeric on the wire; zeros before and after its digits are taken off on arrival."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Some rows of one column: values as they are sent, and which are known. The others: null."""

    values: "NDArray[Any]"
    is_known: Booleans


@dataclass(frozen=True, slots=True)
class Column:
    """One element per row, and how some of them are written."""

    elements: Floats | Integers
    written: Callable[[Any], Cells]


def nulls(count: int) -> Column:
    """Nothing known, of any type."""
    return whole(np.broadcast_to(np.float64(np.nan), count), ">i4")


def whole(values: Floats | Integers, wire: str) -> Column:
    """Whole numbers of some bytes, `>i4` or `>i8`; what is not a number is null."""

    def written(some: Floats | Integers) -> Cells:
        is_known = np.isfinite(some)
        return Cells(np.where(is_known, some, 0).astype(wire), is_known)

    return Column(values, written)


def double(values: Floats | Integers, digits: int) -> Column:
    """Double precision, rounded; what is not a number is null."""

    def written(some: Floats) -> Cells:
        rounded = np.round(some, digits)
        return Cells(rounded.astype(">f8"), np.isfinite(rounded))

    return Column(values, written)


def days(ordinals: Floats | Integers) -> Column:
    """Dates, given as days of `date.toordinal`; what is not a number is null."""
    return whole(ordinals - _EPOCH.date().toordinal(), ">i4")


def moment(at: datetime, count: int) -> Column:
    """The same moment in each row."""
    return whole(np.broadcast_to(np.int64((at - _EPOCH) // _MICROSECOND), count), ">i8")


def money(values: Floats | Integers, digits: int) -> Column:
    """Numerics of at most so many decimals, of which none is zero in vain; not a number: null."""
    return Column(values, lambda some: _numerics(some, digits))


def total_money(values: Floats | Integers, digits: int) -> float:
    """The sum of them as they are stored: each to so many decimals first."""
    return float(smallest_units(values, digits).sum(dtype=np.float64)) / 10.0**digits


def smallest_units(values: Floats | Integers, digits: int) -> Integers:
    """Money as it is stored, in units of the last of so many decimals; not a number: 0."""
    known = np.where(np.isfinite(values), values, 0.0) * 10.0**digits
    units: Integers = np.rint(np.clip(known, -MOST_MONEY, MOST_MONEY)).astype(np.int64)
    return units


def _numerics(values: Floats, digits: int) -> Cells:
    is_known, rest = np.isfinite(values), smallest_units(values, digits)
    unit = 10**digits
    cells = np.zeros(len(values), _NUMERIC)
    cells["count"], cells["weight"] = _WHOLE_DIGITS + 1, _WHOLE_DIGITS - 1
    cells["sign"] = np.where(rest < 0, _NEGATIVE, 0)
    for places in range(1, digits + 1):
        cells["scale"] += rest % 10**places != 0
    rest, fraction = np.divmod(np.abs(rest), unit)
    cells["digits"][:, _WHOLE_DIGITS] = fraction * (_BASE // unit)
    for place in reversed(range(_WHOLE_DIGITS)):
        rest, cells["digits"][:, place] = np.divmod(rest, _BASE)
    return Cells(cells, is_known)


def copied(columns: Sequence[Column]) -> Iterator[bytes]:
    """The whole of a binary COPY, piece by piece; all columns are of the same length."""
    yield HEADER
    for start in range(0, len(columns[0].elements), PIECE):
        some = slice(start, start + PIECE)
        yield _rows([column.written(column.elements[some]) for column in columns])
    yield TRAILER


def _rows(columns: Sequence[Cells]) -> bytes:
    """Each row with room for every value; then the room of nulls is left out."""
    fields: list[Any] = [("fields", ">i2")]
    for place, cells in enumerate(columns):
        fields += [(f"size_{place}", ">i4"), (f"value_{place}", cells.values.dtype)]
    wire = np.dtype(fields)
    rows = np.zeros(len(columns[0].values), wire)
    rows["fields"] = len(columns)
    is_sent = np.ones((len(rows), wire.itemsize), np.bool_)
    for place, (cells, start) in enumerate(zip(columns, _starts(wire), strict=True)):
        size = cells.values.dtype.itemsize
        rows[f"size_{place}"] = np.where(cells.is_known, size, _NULL)
        rows[f"value_{place}"] = cells.values
        is_sent[:, start : start + size] = cells.is_known[:, np.newaxis]
    sent: bytes = rows.view(np.uint8).reshape(is_sent.shape)[is_sent].tobytes()
    return sent


def _starts(wire: "np.dtype[np.void]") -> list[int]:
    """Where the values of a row begin."""
    assert wire.fields is not None
    return [at for name, (_, at, *_) in wire.fields.items() if name.startswith("value_")]
