"""A JSON line becomes a record in one step, where nothing in it needs a second look."""

import re
from functools import cache
from typing import Final

import msgspec

from cdp.payloads import MAX_PAYLOAD_BYTES
from cdp.records import STREAMS, Record
from cdp.validation import check, decimal_columns

_LOOKED_AT: Final = ('""', '" ', '"\\', '"attributes"')
"""How a text that may be blank begins, and a column of a file that is none of a record."""

_WIDE_BLANK: Final = re.compile(r'"\s')
"""The same beginning where blanks may be wider than ASCII knows."""

_EXACT: Final = frozenset(
    stream for stream, record in STREAMS.items() if not decimal_columns(record)
)
"""Streams without amounts, whose digits would have to be taken as the row's reader takes them."""


def read_line(stream: str, line: bytes) -> Record | None:
    """The record that `read_record` makes of a JSON line; None where only that can tell.

    It tells nothing of why a line is bad, nor does it read what is not plainly in canonical form:
    blank text, keys as numbers, amounts, columns of the source's own.

    Raises Unacceptable for moments and keys that do not fit; `stream` is one of STREAMS.
    """
    if stream not in _EXACT or len(line) > MAX_PAYLOAD_BYTES:
        return None
    try:
        text = line.decode()
        if any(piece in text for piece in _LOOKED_AT):
            return None
        if not line.isascii() and _WIDE_BLANK.search(text):
            return None
        record = _decoder(stream).decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    check(record)
    return record


@cache
def _decoder(stream: str) -> msgspec.json.Decoder[Record]:
    return msgspec.json.Decoder(STREAMS[stream])
