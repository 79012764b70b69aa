"""Reads the TOML files that people write and hand over, none of which can hold up the reader."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cdp.errors import BadInput

MAX_TOML_BYTES: Final = 64 * 1024  # twenty times what the longest of the examples takes
MAX_DOTS: Final = 1_000  # of a line: the time for a key grows with the square of its parts


def toml_in(path: Path) -> bytes:
    """What a file holds, up to where it is too long. Raises OSError."""
    with path.open("rb") as file:
        return file.read(MAX_TOML_BYTES + 1)


def read_toml(
    text: str | bytes, name: str, *, parse_float: Callable[[str], Any] = float
) -> dict[str, Any]:
    """The tables of a document. Raises BadInput that calls it by `name`."""
    raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    if len(raw) > MAX_TOML_BYTES:
        raise BadInput(f"{name} is longer than {MAX_TOML_BYTES} bytes.", todo="Is it another file?")
    if any(line.count(b".") > MAX_DOTS for line in raw.splitlines()):
        raise BadInput(f"{name}: a line holds more than {MAX_DOTS} dots.")
    try:
        return tomllib.loads(raw.decode(), parse_float=parse_float)
    except RecursionError:
        raise BadInput(f"{name}: it is nested too deep.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{name} is not text in UTF-8.") from None
    except ValueError as error:  # of the syntax, or of a number of thousands of digits
        raise BadInput(f"{name} is not TOML: {error}.") from None
