"""The rows of a CSV file, whatever delimits them: damage costs the row that bears it, no more."""

import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import IO, Final

from cdp.errors import BadInput
from cdp.payloads import MAX_PAYLOAD_BYTES
from connectors.generic.items import (
    BYTE_ORDER_MARK,
    METER_EVERY_LINES,
    Broken,
    Item,
    Meter,
    Row,
    shown,
)

DELIMITERS: Final = (",", ";", "\t", "|")


class TextLines:
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


def csv_rows(name: str, lines: TextLines) -> Iterator[Item]:
    """Every row under the header, and what is none; `name` is the file's."""
    delimiter, header = csv_header(name, lines)
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
            yield Broken(number, damage, shown(_raw("".join(lines.row).rstrip("\r\n"))))
            continue
        if not reason and len(cells) == width:
            yield Row(number, dict(zip(header, cells, strict=True)))
            continue
        if not reason and any(cells):
            reason = f"The line has {len(cells)} cells, the header has {width}."
        if reason:
            # A quote that is never closed swallows the lines after it: they are read once more.
            yield Broken(number, reason, shown(_raw(lines.row[0].rstrip("\r\n"))))
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


def csv_header(name: str, lines: TextLines) -> tuple[str, list[str] | None]:
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
