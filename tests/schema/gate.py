"""A way to a database that can be closed: what a server sees of one that is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.engine import make_url

CHUNK_BYTES = 65_536


class Gate:
    """A port of this machine that leads to the database's, while it is open."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """The database as it is reached through here."""
        through = self._target.set(host="127.0.0.1", port=self._port)
        return through.render_as_string(hide_password=False)

    async def open(self) -> None:
        """Let everybody through; the port stays the same."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Let nobody through any more, and cut off whoever is."""
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.host, self._target.port)
        self._ends |= {writer, back}
        await asyncio.gather(_carry(reader, back), _carry(there, writer))
        self._ends -= {writer, back}


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, until one side has ended."""
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def gated(url: str) -> AsyncIterator[Gate]:
    """An open gate before a database."""
    gate = Gate(url)
    await gate.open()
    try:
        yield gate
    finally:
        gate.close()
