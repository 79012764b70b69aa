"""Parquet as plain Python rows, batch by batch, with the types that canonical columns expect."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cdp.errors import BadInput
from cdp.payloads import payload_of
from connectors.generic.targets import Target, targets_of

BATCH_ROWS: Final = 5_000  # keeps memory flat; more does not read faster
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row with a value that cannot be read, and what of the row can be."""

    reason: str
    values: Mapping[str, object]


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


_FITTING: Final = {
    Target.TEXT: (_is_text, _is_number, pa.types.is_boolean),
    Target.NUMBER: (_is_text, _is_number),
    Target.MOMENT: (_is_text, pa.types.is_timestamp),
    Target.DATE: (_is_text, pa.types.is_timestamp, pa.types.is_date),
    Target.STRUCTURE: (_is_text, pa.types.is_nested),
}


def header(path: Path) -> Sequence[str]:
    """The names of a file's columns."""
    with _opened(path, path.name) as file:
        return [str(name) for name in file.schema_arrow.names]


def require_types(path: Path, name: str, stream: str) -> None:
    """Raise BadInput where a column is of a type that no value of the stream's column can have."""
    with _opened(path, name) as file:
        schema = file.schema_arrow
    targets = targets_of(stream)
    for field in schema:
        target = targets.get(field.name)
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if target is not None and not any(fits(kind) for fits in _FITTING[target]):
            raise BadInput(
                f"{name}: the column {field.name!r} is {kind}, where {stream} takes a"
                f" {target.value}.",
                todo="Convert the column, or read it through --map.",
            )


def batches(
    path: Path, name: str, stream: str | None
) -> Iterator[tuple[Iterator[dict[str, object] | Unreadable], float]]:
    """Rows of each batch, and the share of the file that has been read with it.

    A NaN is null. A whole number is text, and a moment at midnight a date, where the stream's
    column is so. A moment without a zone is UTC; what is finer than a microsecond is cut off.
    """
    targets = targets_of(stream) if stream else {}
    file = _opened(path, name)
    with file:
        names = [str(column) for column in file.schema_arrow.names]
        read = 0
        for batch in _batches_of(file, name):
            read += batch.num_rows
            faults: dict[int, str] = {}
            columns = [
                _values(column, targets.get(column_name), faults)
                for column_name, column in zip(names, batch.columns, strict=True)
            ]
            rows = (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))
            told = (
                Unreadable(faults[number], row) if number in faults else row
                for number, row in enumerate(rows)
            )
            yield told if faults else rows, read / max(file.metadata.num_rows, 1)


def _opened(path: Path, name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from None


def _batches_of(file: pq.ParquetFile, name: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(batch_size=BATCH_ROWS)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> BadInput:
    """What the library says on several lines, as one sentence."""
    reason = " ".join(str(error).split()).rstrip(".")
    return BadInput(f"{name} cannot be read as Parquet: {reason}.", todo="Fetch it again.")


def _values(column: "pa.Array[Any]", target: Target | None, faults: dict[int, str]) -> list[object]:
    """The values in their order; of one that cannot be read null, and its fault by its place."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.cast(kind.value_type), target, faults)
    if pa.types.is_timestamp(kind):
        return _moments(column, target)
    if pa.types.is_date(kind):
        return _dates(column)
    if pa.types.is_floating(kind):
        return _numbers(column, target)
    if target is Target.TEXT and pa.types.is_integer(kind):
        return list(column.cast(pa.string()).to_pylist())
    return _plain(column, faults)


def _plain(column: "pa.Array[Any]", faults: dict[int, str]) -> list[object]:
    """As Python has them; one by one where that fails for all together."""
    try:
        column = column.cast(_coarse(column.type), safe=False)
        return list(column.to_pylist(maps_as_pydicts="lossy"))
    except (ValueError, OverflowError, pa.ArrowException):
        return [_alone(value, number, faults) for number, value in enumerate(column)]


def _alone(value: "pa.Scalar[Any]", number: int, faults: dict[int, str]) -> object:
    try:
        plain: object = value.as_py(maps_as_pydicts="lossy")
        payload_of(plain)
    except (ValueError, OverflowError, TypeError, pa.ArrowException) as error:
        faults[number] = f"A value of the type {value.type} cannot be read: {error}."
        return None
    return plain


def _coarse(kind: pa.DataType) -> pa.DataType:
    """The type with times that Python has, and texts as keys of objects, however deep."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz) if kind.unit == "ns" else kind
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind):
        return pa.duration("us") if kind.unit == "ns" else kind
    if pa.types.is_struct(kind):
        return pa.struct(
            [kind.field(n).with_type(_coarse(kind.field(n).type)) for n in range(kind.num_fields)]
        )
    if pa.types.is_map(kind):
        return pa.map_(pa.string(), _coarse(kind.item_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_coarse(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_coarse(kind.value_type))
    found: pa.DataType = kind
    if pa.types.is_fixed_size_list(kind):
        found = pa.list_(_coarse(kind.value_type), kind.list_size)
    return found


def _numbers(column: "pa.Array[Any]", target: Target | None) -> list[object]:
    values = column.to_pylist()
    # Tools that have no null for whole numbers write 13085.0 for a key.
    is_key = target is Target.TEXT
    return [
        None
        if value is None or math.isnan(value)
        else str(int(value))
        if is_key and value.is_integer()
        else value
        for value in values
    ]


def _moments(column: "pa.Array[Any]", target: Target | None) -> list[object]:
    unit = column.type.unit
    if unit == "ns":
        column, unit = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False), "us"
    each = MICROSECONDS[unit]
    counts = column.cast(pa.int64()).to_pylist()
    moments = [None if value is None else _moment(value * each) for value in counts]
    if target is not Target.DATE:
        return moments
    # Dates that a data frame wrote are moments at midnight.
    return [value.date() if isinstance(value, datetime) else value for value in moments]


def _dates(column: "pa.Array[Any]") -> list[object]:
    """The days; where no calendar has one, the bare number, for validation to refuse."""
    days = column.cast(pa.date32(), safe=False).cast(pa.int32()).to_pylist()
    return [None if value is None else _date(value) for value in days]


def _date(days: int) -> object:
    try:
        return EPOCH.date() + timedelta(days=days)
    except OverflowError:
        return f"{days} days since 1970"


def _moment(micros: int) -> object:
    """The moment; where no calendar has it, the bare number, for validation to refuse."""
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} microseconds since 1970"
