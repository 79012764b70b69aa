"""Who asks: API keys, and the one exception for a machine of one's own that has none yet."""

import hashlib
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from time import monotonic
from typing import Final, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Scope

from cdp.database import Database
from cdp.keys import VIEWERS, Role, Viewer, any_key_exists, authenticate
from schema.errors import Unauthenticated
from schema.operation import Remembered

SECONDS_REMEMBERED: Final = 5  # a revoked key, a first key and a changed setting take that long
MAX_KEYS: Final = 10_000  # remembered digests, wrong ones too

_FORWARDED: Final = frozenset({b"x-forwarded-for", b"x-real-ip", b"forwarded", b"via"})
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})

T = TypeVar("T")
Read = Callable[[AsyncConnection], Awaitable[T]]


class Fresh(Generic[T]):
    """A value that the database holds, read again when it is some seconds old."""

    def __init__(self, database: Callable[[], Database], read: Read[T]) -> None:
        self._database = database
        self._read = read
        self._known: tuple[float, T] | None = None

    async def get(self) -> T:
        """The value, at most SECONDS_REMEMBERED old."""
        if self._known is None or monotonic() > self._known[0]:
            async with self._database().read_only() as connection:
                value = await self._read(connection)
            self._known = (monotonic() + SECONDS_REMEMBERED, value)
        return self._known[1]


class Access:
    """Finds the viewer of a request. Raises Unauthenticated."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._has_keys = Fresh(database, any_key_exists)
        self._viewers: Remembered[bytes, tuple[float, Viewer | None]] = Remembered(MAX_KEYS)

    async def viewer_of(self, scope: Scope) -> Viewer:
        """Who asks: the bearer of the key; without any key in the database, the machine itself.

        Raises Unauthenticated.
        """
        key = _bearer(scope)
        if key is not None:
            viewer = await self._bearer_of(key)
            if viewer is None:
                raise Unauthenticated("The key opens nothing.", todo="Run cdp key create.")
            return viewer
        if await self._has_keys.get():
            raise Unauthenticated(
                "A key is needed.", todo="Send it as Authorization: Bearer cdp_..."
            )
        if not is_local(scope):
            raise Unauthenticated(
                "This server has no keys yet, and so answers only its own machine.",
                todo="Run cdp key create there, and send the key as Authorization: Bearer cdp_...",
            )
        return VIEWERS[Role.ADMIN]

    async def _bearer_of(self, key: str) -> Viewer | None:
        digest = hashlib.sha256(key.encode()).digest()
        known = self._viewers.get(digest)
        if known is None or monotonic() > known[0]:
            async with self._database().read_only() as connection:
                viewer = await authenticate(connection, key)
            known = (monotonic() + SECONDS_REMEMBERED, viewer)
            self._viewers.put(digest, known)
        return known[1]


def is_local(scope: Scope) -> bool:
    """Whether a request comes from this very machine, and not through a proxy on it.

    The name that was asked for must be local too: a page of another site can let its own name
    point at this machine. And so must the page that asks, where a browser tells which it is:
    WebSockets are open to the pages of all sites.
    """
    client, headers = scope.get("client"), dict(scope["headers"])
    if client is None or _FORWARDED & headers.keys():
        return False
    try:
        is_loopback = ip_address(client[0]).is_loopback
    except ValueError:
        return False
    names = [_host(headers.get(b"host", b"").decode("latin-1"))]
    if b"origin" in headers:
        names.append(_host(headers[b"origin"].decode("latin-1").partition("://")[2]))
    return is_loopback and _LOCAL_NAMES.issuperset(names)


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _bearer(scope: Scope) -> str | None:
    """The key that a request carries; None where it carries none."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    header = headers.get(b"authorization")
    if header is None:
        return None
    scheme, _, key = header.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("The Authorization header is not a key.", todo="Send Bearer cdp_...")
    return key.strip()
