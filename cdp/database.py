"""The only place where a connection opens: transactions for writers, a pool for readers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cdp.errors import BadInput, DatabaseUnavailable

CONNECT_TIMEOUT_SECONDS: Final = 5
READ_TIMEOUT_MILLISECONDS: Final = 8_000  # one statement of a reader; a longer one is refused
READ_POOL_SIZE: Final = 16
STATEMENT_CACHE_BYTES: Final = 256 * 1024  # a compiled read can be far longer than asyncpg's 15 kB


class ReaderConnection(asyncpg.Connection):
    """A connection that only ever reads, so that nothing is left behind to be reset."""

    def get_reset_query(self) -> str:
        """No statement: the default one costs a third of the requests."""
        return ""


@dataclass(frozen=True, slots=True)
class Database:
    """One PostgreSQL database: an engine for writers and a pool that can only read."""

    url: str
    engine: AsyncEngine
    reader: "asyncpg.Pool[asyncpg.Record]"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end, rolled back if anything is raised."""
        async with self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that cannot write, with one view of the data from start to end."""
        async with self.engine.connect() as connection:
            await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            yield connection


@asynccontextmanager
async def open_database(
    url: str, *, read_pool_size: int = READ_POOL_SIZE
) -> AsyncIterator[Database]:
    """Connect. Raises DatabaseUnavailable where nothing answers, BadInput for a malformed URL."""
    plain_url = _plain(url)
    engine = create_async_engine(
        plain_url.replace("postgresql://", "postgresql+asyncpg://", 1),
        connect_args={"timeout": CONNECT_TIMEOUT_SECONDS, "server_settings": {"jit": "off"}},
    )
    try:
        async with asyncpg.create_pool(
            plain_url,
            min_size=0,
            max_size=read_pool_size,
            timeout=CONNECT_TIMEOUT_SECONDS,
            connection_class=ReaderConnection,
            max_cacheable_statement_size=STATEMENT_CACHE_BYTES,
            server_settings={
                "default_transaction_read_only": "on",
                "statement_timeout": str(READ_TIMEOUT_MILLISECONDS),
                "jit": "off",
            },
        ) as reader:
            await _greet(reader)
            yield Database(plain_url, engine, reader)
    finally:
        await engine.dispose()


async def driver(connection: AsyncConnection) -> "asyncpg.Connection[asyncpg.Record]":
    """The asyncpg connection below, in the same transaction: for COPY and arrays."""
    raw = await connection.get_raw_connection()
    return cast("asyncpg.Connection[asyncpg.Record]", raw.driver_connection)


def _plain(url: str) -> str:
    """`postgres://` and `postgresql+driver://` are as good as `postgresql://`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadInput(
            "The database URL cannot be read.",
            todo="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise BadInput(
            f"{parsed.get_backend_name()} is not PostgreSQL.",
            todo="Write the database URL as postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        )
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)


async def _greet(reader: "asyncpg.Pool[Any]") -> None:
    """Fail at once and in one sentence where nothing answers, or something too old."""
    try:
        version = await reader.fetchval("SELECT current_setting('server_version_num')::int")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise DatabaseUnavailable(
            f"The database does not answer: {str(error) or type(error).__name__}.",
            todo="Check CDP_DATABASE_URL and that PostgreSQL runs there.",
        ) from error
    if version < 150000:
        raise DatabaseUnavailable(
            f"PostgreSQL {version // 10000} is too old.", todo="Use PostgreSQL 15 or newer."
        )
