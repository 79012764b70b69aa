"""Rows of a file, one by one, whatever it is: CSV, JSON lines or Parquet, gzip or not."""

import csv
import gzip
import io
import shutil
import tempfile
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, TypeAlias

import msgspec

from cdp.errors import BadInput
from cdp.payloads import MAX_PAYLOAD_BYTES, payload_of

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

GZIP_MAGIC: Final = b"\x1f\x8b"
PARQUET_MAGIC: Final = b"PAR1"
BYTE_ORDER_MARK: Final = "\ufeff".encode()
ZIP_MAGIC: Final = b"PK\x03\x04"
BINARY_MAGICS: Final = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF-"),
    *(b"7z\xbc\xaf", b"\xfd7zXZ", b"BZh91AY&SY", b"\x28\xb5\x2f\xfd", b"Rar!"),
    *(b"\xd0\xcf\x11\xe0", b"SQLite format 3", b"\x7fELF"),
)
"""How pictures and PDF begin, what is packed otherwise, old workbooks, databases, programs."""

CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
FEW_CONTROLS: Final = 16  # text may hold one here and there, and costs its row alone
CONTROLS_SHARE: Final = 0.05  # of bytes drawn at random an eighth are such
DELIMITERS: Final = (",", ";", "\t", "|")
HEAD_BYTES: Final = 64 * 1024  # enough to tell what a file is
BUFFER_BYTES: Final = 1024 * 1024
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


def format_of(path: Path) -> Format:
    """Tell by its content what a file holds. Raises BadInput where it is none of the formats."""
    with _opened(path) as (_, content):
        head = content.read(HEAD_BYTES)
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    _require_text(head, path.name)
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if text.startswith(b"["):
        raise BadInput(
            f"{path.name} holds one JSON array.", todo="Write one object per line instead."
        )
    return "jsonl" if text.startswith(b"{") else "csv"


def _require_text(head: bytes, name: str) -> None:
    """Raise BadInput for what nobody wrote as text, whatever its name ends in."""
    if head.startswith(ZIP_MAGIC):
        raise BadInput(
            f"{name} is a ZIP archive or a workbook.", todo="Unpack it, or save the sheet as CSV."
        )
    controls = len(head) - len(head.translate(None, CONTROLS))
    is_utf16 = head.startswith((BOM_UTF16_LE, BOM_UTF16_BE))  # told with its remedy
    is_strange = controls > max(FEW_CONTROLS, CONTROLS_SHARE * len(head)) and not is_utf16
    if is_strange or head.startswith(BINARY_MAGICS):
        raise BadInput(
            f"{name} is no text.", todo="Export it as CSV, JSON lines or Parquet, gzip or not."
        )


def header_of(path: Path) -> Sequence[str] | None:
    """The names of a file's columns; None for JSON lines, and for a file that is empty."""
    match format_of(path):
        case "jsonl":
            return None
        case "parquet":
            from connectors.generic import columnar  # half a second to load: only where needed

            with _on_disk(path) as plain:
                return columnar.header(plain)
        case "csv":
            with _opened(path) as (_, content):
                lines = _TextLines(path.name, content)
                return _csv_header(path.name, lines)[1]


def read_rows(path: Path, meter: Meter, stream: str | None = None) -> Generator[Item, None, None]:
    """Every row of a file, as `read_items` tells them, with every line opened."""
    for item in read_items(path, meter, stream):
        yield opened(item) if isinstance(item, Line) else item


def read_items(
    path: Path, meter: Meter, stream: str | None = None
) -> Generator[Item | Line, None, None]:
    """Every row of a file in its order, those of JSON lines as lines; memory does not grow with it.

    `stream` names the canonical stream that the columns are meant for, if they are canonical: it
    decides how a Parquet column of a neighbouring type is read. Raises BadInput where nothing
    after some point can be read.
    """
    match format_of(path):
        case "parquet":
            yield from _parquet_rows(path, meter, stream)
        case "jsonl":
            with _opened(path) as (raw, content):
                yield from _jsonl_lines(_metered(content, raw, meter))
        case "csv":
            with _opened(path) as (raw, content):
                yield from _csv_rows(path.name, _TextLines(path.name, content, raw, meter))
    meter.bytes_read = path.stat().st_size


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file on the disk, and its content: unpacked where it is packed."""
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb", buffering=BUFFER_BYTES))
            is_packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if not is_packed:
                yield raw, raw
                return
            unpacked = stack.enter_context(gzip.GzipFile(fileobj=raw))
            yield raw, stack.enter_context(io.BufferedReader(unpacked, BUFFER_BYTES))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(
            f"{path.name} is damaged or cut short: {error}.", todo="Fetch it again."
        ) from error
    except OSError as error:
        reason = " ".join(str(error.strerror or error).split()).rstrip(".")
        raise BadInput(f"{path} cannot be read: {reason}.") from error


@contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """A Parquet file that can be sought in: itself, or its unpacked copy while it is needed."""
    with _opened(path) as (raw, content):
        if raw is content:
            yield path
            return
        with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
            shutil.copyfileobj(content, copy, BUFFER_BYTES)
            copy.flush()
            yield Path(copy.name)


# JSON lines -----------------------------------------------------------------------------------


def _metered(content: IO[bytes], raw: IO[bytes], meter: Meter) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; of one that is longer than any record, only its beginning."""
    number = 0
    while line := content.readline(MAX_PAYLOAD_BYTES + 2):
        number += 1
        if len(line) > MAX_PAYLOAD_BYTES and not line.endswith(b"\n"):
            _skip_line(content)
        if number % METER_EVERY_LINES == 0:
            meter.bytes_read = raw.tell()
        yield number, line


def _skip_line(content: IO[bytes]) -> None:
    while (rest := content.readline(BUFFER_BYTES)) and not rest.endswith(b"\n"):
        pass


def _jsonl_lines(lines: Iterator[tuple[int, bytes]]) -> Iterator[Line | Broken]:
    for number, raw_line in lines:
        line = raw_line.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw_line
        line = line.strip()
        if not line:
            continue
        if len(line) > MAX_PAYLOAD_BYTES:
            yield Broken(number, f"The line is over {MAX_PAYLOAD_BYTES} bytes.", _shown(line))
        else:
            yield Line(number, line)


def opened(line: Line) -> Item:
    """The row that a line holds, if it is a JSON object."""
    try:
        value = _decode(line.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Broken(line.number, f"The line is not JSON: {error}.", _shown(line.payload))
    if isinstance(value, dict):
        return Row(line.number, value, line.payload)
    return Broken(line.number, "The line is JSON, but not an object.", _shown(line.payload))


_decode: Final = msgspec.json.Decoder().decode


def _shown(line: bytes | str) -> bytes:
    """A line that is no JSON, as a JSON text."""
    text = line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")
    return payload_of(text[:MAX_SHOWN_BYTES])


# CSV ------------------------------------------------------------------------------------------


class _TextLines:
    """The lines of a file as text; `number` is how many were given.

    `row` holds the lines of the row that is being read: more than one where a quoted cell goes on,
    or where its quote was never closed; then all but the first can be given once more. Of the
    header every byte must be UTF-8 (`is_header`); of a later line a byte that is not is given
    escaped, and noted (`is_damaged`).
    """

    def __init__(
        self,
        name: str,
        content: IO[bytes],
        raw: IO[bytes] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.name = name
        self.row: list[str] = []
        self.number = 0
        self.is_header = True
        self.is_damaged = False
        self._again: deque[str] = deque()
        self._content = content
        self._raw = raw
        self._meter = meter
        self._offset = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def give_again(self) -> None:
        """Read the lines after the first of this row once more, as rows of their own."""
        self._again.extendleft(reversed(self.row[1:]))
        self.number -= len(self.row) - 1

    def __next__(self) -> str:
        if self._again:
            self.row.append(self._again.popleft())
            self.number += 1
            return self.row[-1]
        line = self._content.readline(MAX_PAYLOAD_BYTES)
        if not line:
            raise StopIteration
        if self._offset == 0 and line.startswith(BYTE_ORDER_MARK):
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._offset = len(BYTE_ORDER_MARK)
        self.number += 1
        try:
            self.row.append(line.decode())
        except UnicodeDecodeError as error:
            if self.is_header:
                raise BadInput(
                    f"{self.name}, line {self.number}: byte 0x{line[error.start]:02X} at offset"
                    f" {self._offset + error.start} is not UTF-8.",
                    todo=f"Convert the file, for instance: iconv -f {_encoding(line)} -t UTF-8.",
                ) from None
            self.is_damaged = True
            self.row.append(line.decode(errors=_ESCAPE))
        self._offset += len(line)
        if self._meter and self._raw and self.number % METER_EVERY_LINES == 0:
            self._meter.bytes_read = self._raw.tell()
        return self.row[-1]


def _encoding(line: bytes) -> str:
    """What a line that is not UTF-8 most likely is, by the mark that it begins with."""
    return "UTF-16" if line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "WINDOWS-1252"


def _csv_rows(name: str, lines: _TextLines) -> Iterator[Item]:
    delimiter, header = _csv_header(name, lines)
    if header is None:
        return
    width, lines.is_header = len(header), False
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = lines.number + 1
        lines.row.clear()
        reason, cells = "", list[str]()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"The line is not CSV: {error}."
        if lines.is_damaged and not reason and (damage := _damage(lines.row)):
            yield Broken(number, damage, _shown(_raw("".join(lines.row).rstrip("\r\n"))))
            continue
        if not reason and len(cells) == width:
            yield Row(number, dict(zip(header, cells, strict=True)))
            continue
        if not reason and any(cells):
            reason = f"The line has {len(cells)} cells, the header has {width}."
        if reason:
            # A quote that is never closed swallows the lines after it: they are read once more.
            yield Broken(number, reason, _shown(_raw(lines.row[0].rstrip("\r\n"))))
            lines.give_again()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)


_ESCAPE: Final = "surrogateescape"
"""How bytes that are not UTF-8 travel in text, to be told and shown."""


def _raw(text: str) -> bytes:
    return text.encode(errors=_ESCAPE)


def _damage(row: Sequence[str]) -> str:
    """Which byte of a row is not UTF-8, and what to do; empty where all are."""
    try:
        _raw("".join(row)).decode()
    except UnicodeDecodeError as error:
        return (
            f"The line is not UTF-8: byte 0x{error.object[error.start]:02X}."
            " Convert the file, for instance: iconv -f WINDOWS-1252 -t UTF-8."
        )
    return ""


def _csv_header(name: str, lines: _TextLines) -> tuple[str, list[str] | None]:
    """The delimiter that cuts the first line that is not blank into most names, and the names."""
    line = next((line for line in lines if line.strip()), None)
    if line is None:
        return ",", None
    csv.field_size_limit(MAX_PAYLOAD_BYTES)  # of this process; the default of 128 KiB is too low
    try:
        cuts = {mark: next(csv.reader([line], delimiter=mark)) for mark in DELIMITERS}
    except csv.Error as error:
        raise BadInput(f"{name}, line {lines.number}: the header is not CSV: {error}.") from None
    delimiter = max(DELIMITERS, key=lambda mark: len(cuts[mark]))
    cells = (cell.strip() for cell in cuts[delimiter])
    header = [cell or f"column_{index}" for index, cell in enumerate(cells, 1)]
    twice = next((column for column, count in Counter(header).items() if count > 1), None)
    if twice is not None:
        raise BadInput(
            f"{name}, line {lines.number}: the column {twice!r} is there twice.",
            todo="Give each column a name of its own.",
        )
    return delimiter, header


# Parquet --------------------------------------------------------------------------------------


def _parquet_rows(path: Path, meter: Meter, stream: str | None) -> Iterator[Item]:
    from connectors.generic import columnar  # half a second to load: only where needed

    size = path.stat().st_size
    with _on_disk(path) as plain:
        number = 0
        for rows, share in columnar.batches(plain, path.name, stream):
            for values in rows:
                number += 1
                if isinstance(values, columnar.Unreadable):
                    yield Broken(number, values.reason, payload_of(values.values))
                else:
                    yield Row(number, values)
            meter.bytes_read = int(size * share)
