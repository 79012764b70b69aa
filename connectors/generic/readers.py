"""Rows of a file, one by one, whatever it is: CSV, JSON lines or Parquet, gzip or not."""

import gzip
import io
import shutil
import tempfile
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, Literal, TypeAlias

import msgspec

from cdp.errors import BadInput
from cdp.payloads import MAX_PAYLOAD_BYTES, payload_of
from connectors.generic.csv_rows import TextLines, csv_header, csv_rows
from connectors.generic.items import (
    BYTE_ORDER_MARK,
    METER_EVERY_LINES,
    Broken,
    Item,
    Line,
    Meter,
    Row,
    shown,
)

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

GZIP_MAGIC: Final = b"\x1f\x8b"
PARQUET_MAGIC: Final = b"PAR1"
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
HEAD_BYTES: Final = 64 * 1024  # enough to tell what a file is
BUFFER_BYTES: Final = 1024 * 1024


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
                lines = TextLines(path.name, content)
                return csv_header(path.name, lines)[1]


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
                yield from csv_rows(path.name, TextLines(path.name, content, raw, meter))
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
            yield Broken(number, f"The line is over {MAX_PAYLOAD_BYTES} bytes.", shown(line))
        else:
            yield Line(number, line)


def opened(line: Line) -> Item:
    """The row that a line holds, if it is a JSON object."""
    try:
        value = _decode(line.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Broken(line.number, f"The line is not JSON: {error}.", shown(line.payload))
    if isinstance(value, dict):
        return Row(line.number, value, line.payload)
    return Broken(line.number, "The line is JSON, but not an object.", shown(line.payload))


_decode: Final = msgspec.json.Decoder().decode


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
