"""Files of rows, written as they come: CSV, JSON lines, Parquet.

A file takes its name only when it is whole: until then it lies beside it under another.

In CSV a text that a spreadsheet would run as a formula (it begins with = + - @, a tab or a line
break, and is no number, such as a phone number) comes after an apostrophe, as OWASP advises against
CSV injection, unless it must be read back unchanged. JSON lines and Parquet carry every text as is.
"""

import csv
import errno
import io
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Final, Protocol, runtime_checkable

import msgspec
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from cdp.errors import BadInput

FORMATS: Final = ("csv", "jsonl", "parquet")
DECIMAL_DIGITS: Final = 38  # what Parquet readers agree on
DECIMAL_PLACES: Final = 9  # beyond any currency's; leaves 29 digits before the point

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EISDIR)

_FORMULA: Final = re.compile(r"[=+\-@\t\r\n]")
_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9 .,]*")
_PLACE: Final = Decimal(1).scaleb(-DECIMAL_PLACES)


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of a file: str, int, float, Decimal, date or datetime, and null in each of them.

    `is_exact`: the text is read back by machines, so that CSV leaves it unchanged.
    """

    name: str
    type: type
    doc: str
    unit: str | None = None
    is_exact: bool = False


class Writer(Protocol):
    """Takes rows, in the order of the columns; `close` writes what a file needs at its end."""

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish; the stream below stays open."""


@runtime_checkable
class CopyWriter(Writer, Protocol):
    """A writer that also takes rows as PostgreSQL copies them out, which is far quicker."""

    def write_copied(self, text: bytes) -> int:
        """Append whole rows of CSV, moments in UTC; an unquoted nothing is null. Returns how many.

        Decimals have at most DECIMAL_PLACES.
        """


@contextmanager
def open_output(
    path: Path | None, form: str, columns: Sequence[OutputColumn], about: Mapping[str, str]
) -> Iterator[Writer]:
    """A writer to a file, or to standard output where `path` is None.

    `about` is said in Parquet's metadata. Raises BadInput where the file cannot be made; a file
    that was there before stays until the new one is whole.
    """
    if path is None:
        if form == "parquet":
            raise BadInput("Parquet does not go to standard output.", todo="Give --output PATH.")
        with _writer(sys.stdout.buffer, form, columns, about) as writer:
            yield writer
        return
    if path.exists() and not path.is_file():
        # It would be replaced: a pipe or a device by a file.
        raise BadInput(f"{path} is not a file.", todo="Without --output the rows can be piped.")
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        stream = part.open("xb")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with stream:
            with _writer(stream, form, columns, about) as writer:
                yield writer
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno not in _NO_ROOM:  # also a lost connection to the database is an OSError
            raise
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _writer(
    stream: BinaryIO, form: str, columns: Sequence[OutputColumn], about: Mapping[str, str]
) -> Iterator[Writer]:
    writer: Writer
    match form:
        case "csv":
            writer = _Csv(stream, columns)
        case "jsonl":
            writer = _JsonLines(stream, columns)
        case "parquet":
            writer = _Parquet(stream, columns, about)
        case _:
            raise BadInput(
                f"There is no format {form!r}.", todo=f"There are: {', '.join(FORMATS)}."
            )
    try:
        yield writer
    finally:
        writer.close()


class _Csv:
    """RFC 4180 with a header; null is an empty cell; moments in ISO 8601."""

    def __init__(self, stream: BinaryIO, columns: Sequence[OutputColumn]) -> None:
        self._stream = stream
        self._exact = [column.is_exact for column in columns]
        self._append([[column.name for column in columns]])

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        self._append(map(_cell, row, self._exact) for row in rows)

    def close(self) -> None:
        self._stream.flush()

    def _append(self, rows: Iterable[Iterable[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._stream.write(text.getvalue().encode())


class _JsonLines:
    """One object a line; decimals as text, so that no reader makes floats of money."""

    def __init__(self, stream: BinaryIO, columns: Sequence[OutputColumn]) -> None:
        self._stream = stream
        self._names = [column.name for column in columns]

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        objects = [dict(zip(self._names, map(_plain, row), strict=True)) for row in rows]
        self._stream.write(_encoder.encode_lines(objects))

    def close(self) -> None:
        self._stream.flush()


class _Parquet:
    """A row group per write; name, unit and documentation of a column in its metadata."""

    def __init__(
        self, stream: BinaryIO, columns: Sequence[OutputColumn], about: Mapping[str, str]
    ) -> None:
        said: dict[bytes | str, bytes | str] = {name: text for name, text in about.items()}  # noqa: C416  # typed wider
        self._schema = pa.schema([_field(column) for column in columns], metadata=said)
        self._decimals = [column.type is Decimal for column in columns]
        self._file = parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        if not rows:
            return
        columns = [
            [_rounded(value) for value in values] if is_decimal else values
            for values, is_decimal in zip(zip(*rows, strict=True), self._decimals, strict=True)
        ]
        arrays = [
            pa.array(values, type=field.type)
            for values, field in zip(columns, self._schema, strict=True)
        ]
        self._file.write_batch(pa.record_batch(arrays, schema=self._schema))

    def write_copied(self, text: bytes) -> int:
        table = arrow_csv.read_csv(
            io.BytesIO(text),
            read_options=arrow_csv.ReadOptions(
                column_names=self._schema.names, block_size=len(text) + 1
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=self._schema,
                null_values=[""],
                true_values=["t"],  # as PostgreSQL writes them
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        self._file.write_table(table.cast(self._schema))
        return int(table.num_rows)

    def close(self) -> None:
        self._file.close()


_encoder: Final = msgspec.json.Encoder()

_ARROW_TYPES: Final[Mapping[type, pa.DataType]] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    Decimal: pa.decimal128(DECIMAL_DIGITS, DECIMAL_PLACES),
    date: pa.date32(),
    datetime: pa.timestamp("us", tz="UTC"),
}


def _field(column: OutputColumn) -> "pa.Field[pa.DataType]":
    said = {"doc": column.doc, "type": column.type.__name__, "unit": column.unit}
    return pa.field(
        column.name,
        _ARROW_TYPES[column.type],
        metadata={name: text for name, text in said.items() if text},
    )


def _rounded(value: object) -> object:
    return value.quantize(_PLACE) if isinstance(value, Decimal) else value


def _plain(value: object) -> object:
    """Decimals as text without exponent; all else as it is."""
    return f"{value:f}" if isinstance(value, Decimal) else value


def _cell(value: object, is_exact: bool) -> object:  # noqa: FBT001  # mapped over two lists
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _plain(value)
    if isinstance(value, str) and not is_exact and _FORMULA.match(value):
        return value if _NUMBER.fullmatch(value) else f"'{value}"
    return value
