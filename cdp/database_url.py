"""What a database URL says, checked before anything connects: parameters are those of libpq."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from cdp.errors import BadInput

CONNECT_TIMEOUT_SECONDS: Final = 5.0
MOST_TIMEOUT_SECONDS: Final = 3_600  # whoever waits longer has mistaken the unit

HONOURED: Final = frozenset(
    {
        *("host", "port", "dbname", "database", "user", "password", "passfile", "service"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
        *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
        "target_session_attrs",
    }
)
"""Parameters that the driver reads itself."""

OURS: Final = "connect_timeout"
SENT: Final = frozenset({"application_name", "options"})
"""Parameters that the driver hands to the server as they are."""

EXAMPLE: Final = "Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE."


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: `url` as asyncpg takes it, and how long to wait for a connection.

    `timeout_seconds` is None where the URL says 0: without end, as libpq has it.
    """

    url: str
    timeout_seconds: float | None


def read_address(text: str) -> Address:
    """Read a URL. `postgres://` and `postgresql+driver://` are as good as `postgresql://`.

    Raises BadInput, which does not show a password, for what is no URL and for a parameter that
    would not be honoured.
    """
    parsed = _parsed(text)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise BadInput(f"{parsed.get_backend_name()} is not PostgreSQL.", todo=EXAMPLE)
    unknown = sorted(parsed.query.keys() - HONOURED - SENT - {OURS})
    if unknown:
        raise BadInput(
            f"The database URL has the parameter {unknown[0]!r}, which is not honoured.",
            todo="Leave it out, and see that nothing depends on it. Those that are:"
            f" {', '.join(sorted({*HONOURED, *SENT, OURS}))}.",
        )
    plain = parsed.set(drivername="postgresql").difference_update_query([OURS])
    return Address(plain.render_as_string(hide_password=False), _timeout(parsed.query))


def _parsed(text: str) -> URL:
    try:
        text.encode()
        if b"\0" in unquote_to_bytes(text):
            raise ValueError
        return make_url(text)
    except (ArgumentError, ValueError):
        raise BadInput("The database URL cannot be read.", todo=EXAMPLE) from None


def _timeout(query: Mapping[str, str | tuple[str, ...]]) -> float | None:
    given = query.get(OURS)
    if given is None:
        return CONNECT_TIMEOUT_SECONDS
    text = given if isinstance(given, str) else given[-1]
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_TIMEOUT_SECONDS):
        raise BadInput(
            f"The database URL's {OURS} is {text!r}.",
            todo=f"Write whole seconds, {MOST_TIMEOUT_SECONDS} at most; 0 waits without end.",
        )
    return float(text) or None
