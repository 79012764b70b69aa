"""Parquet as plain Python rows, batch by batch, with the types that canonical columns expect."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cdp.errors import BadInput
from connectors.generic.targets import Target, targets_of

BATCH_ROWS: Final = 5_000  # keeps memory flat; more does not read faster
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
) -> Iterator[tuple[Iterator[dict[str, object]], float]]:
    """Rows of each batch, and the share of the file that has been read with it.

    A NaN is null. A whole number is text, and a moment at midnight a date, where the stream's
    column is so. A moment without a zone is UTC.
    """
    targets = targets_of(stream) if stream else {}
    file = _opened(path, name)
    with file:
        names = [str(column) for column in file.schema_arrow.names]
        read = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            read += batch.num_rows
            columns = [
                _values(column, targets.get(column_name))
                for column_name, column in zip(names, batch.columns, strict=True)
            ]
            rows = (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))
            yield rows, read / max(file.metadata.num_rows, 1)


def _opened(path: Path, name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{name} cannot be read as Parquet: {error}.") from None


def _values(column: "pa.Array[Any]", target: Target | None) -> list[object]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.cast(kind.value_type), target)
    if pa.types.is_timestamp(kind):
        return _moments(column, target)
    if pa.types.is_floating(kind):
        return _numbers(column, target)
    if target is Target.TEXT and pa.types.is_integer(kind):
        return list(column.cast(pa.string()).to_pylist())
    return column.to_pylist(maps_as_pydicts="lossy")


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
    micros = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    moments = [None if value is None else _moment(value) for value in micros.to_pylist()]
    if target is not Target.DATE:
        return moments
    # Dates that a data frame wrote are moments at midnight.
    return [value.date() if isinstance(value, datetime) else value for value in moments]


def _moment(micros: int) -> object:
    """The moment; where no calendar has it, the bare number, for validation to refuse."""
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} microseconds since 1970"
