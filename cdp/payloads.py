"""Text and JSON that PostgreSQL can hold: told apart, and shown escaped where it cannot."""

from collections.abc import Mapping
from typing import Final

import msgspec

MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024  # one record; a larger one is a fault of its source
MAX_SHOWN_BYTES: Final = 1000  # of a payload that is larger


def payload_of(row: object) -> bytes:
    """A row as JSON, as it came; characters that JSON text cannot carry are shown escaped."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escaped(row))


def is_json(raw: bytes) -> bool:
    """Whether PostgreSQL takes it as JSON: well formed, and UTF-8 (which the decoder skips)."""
    try:
        _decode_raw(raw)
        return raw.isascii() or bool(raw.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


_decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Checks the form alone: a third of the cost of reading the content."""


def shown(raw: bytes) -> bytes:
    """What is no JSON, as a JSON text that shows it."""
    return payload_of(raw.decode("utf-8", "backslashreplace"))


def holds(value: object, piece: str) -> bool:
    """Whether any text within plain values holds a piece of text, however deep."""
    if isinstance(value, str):
        return piece in value
    if isinstance(value, dict):
        return any(holds(item, piece) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(holds(item, piece) for item in value)


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return escaped_text(value)
    if isinstance(value, Mapping):
        return {str(_escaped(key)): _escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escaped(item) for item in value]
    return value


def escaped_text(text: str) -> str:
    """Text with halves of surrogate pairs shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
