"""The only place where a connection opens: transactions for writers, a pool for readers."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cdp.database_url import read_address
from cdp.errors import BadInput, DatabaseUnavailable

READ_TIMEOUT_MILLISECONDS: Final = 8_000  # one statement of a reader; a longer one is refused
WRITER_WORK_MEM: Final = "64MB"  # a batch is sorted and grouped in memory, not on disk
READ_POOL_SIZE: Final = 16
READERS_FOR_A_WRITER: Final = 2  # processes side by side: as many as the goals have processors
REFUSED: Final = "CD404"  # the state by which functions of ours refuse what is asked
SERVER_AT_FAULT: Final = ("08", "53", "57P", "58")
"""Classes of SQLSTATE: the connection, resources such as the disk, an operator, the system."""

STATEMENT_CACHE_BYTES: Final = 256 * 1024  # a compiled statement can be far longer than 15 kB


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
    async def transaction(self, *, has_one_view: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end, rolled back if anything is raised.

        `has_one_view`: all its statements see the data as it was at the first of them. Raises
        DatabaseUnavailable where the server fails on the way, as by a full disk.
        """
        with _told():
            async with self.engine.connect() as connection:
                if has_one_view:
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that cannot write, with one view of the data from start to end.

        Raises DatabaseUnavailable where the server fails on the way.
        """
        with _told():
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
    address = read_address(url)
    timeout = cast("float", address.timeout_seconds)  # the driver takes None for without end

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        """By the driver itself, which reads the parameters of a URL as the pool below does."""
        return await asyncpg.connect(
            address.url,
            timeout=timeout,
            max_cacheable_statement_size=STATEMENT_CACHE_BYTES,
            server_settings={"jit": "off", "work_mem": WRITER_WORK_MEM},
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        hide_parameters=True,  # they are people's data, and secrets
        async_creator=connect,
    )
    try:
        async with asyncpg.create_pool(
            address.url,
            min_size=0,
            max_size=read_pool_size,
            timeout=timeout,
            connection_class=ReaderConnection,
            max_cacheable_statement_size=STATEMENT_CACHE_BYTES,
            server_settings={
                "default_transaction_read_only": "on",
                "statement_timeout": str(READ_TIMEOUT_MILLISECONDS),
                "jit": "off",
                "TimeZone": "UTC",
            },
        ) as reader:
            await _greet(reader)
            yield Database(address.url, engine, reader)
    finally:
        await engine.dispose()


async def driver(connection: AsyncConnection) -> "asyncpg.Connection[asyncpg.Record]":
    """The asyncpg connection below, in the same transaction: for COPY and arrays.

    SQLAlchemy sends BEGIN with its own first statement, and not for what is sent past it: without
    one of its own, every statement of the driver would commit by itself.
    """
    raw = await connection.get_raw_connection()
    below = cast("asyncpg.Connection[asyncpg.Record]", raw.driver_connection)
    if not below.is_in_transaction():
        await connection.exec_driver_sql("SELECT 1")
    return below


@asynccontextmanager
async def by_index(
    driver: "asyncpg.Connection[asyncpg.Record]", first: str = "", last: str = ""
) -> AsyncIterator[None]:
    """Have the planner go from the given keys by index alone, join by join, while this is open.

    A young table has no statistics, and a plan that reads it whole, for every key or for every
    batch, is a thousand times slower than the index walk that is right for a batch at any size.
    What leaves no choice is planned once as well. `first` and `last` are statements that go along
    with those that begin and end it, each in one message.
    """
    async with _set(driver, {**_BY_INDEX, **_PLANNED_ONCE}, first, last):
        yield


@asynccontextmanager
async def planned_once(driver: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Have the server keep the first plan of each statement while this is open.

    For statements that go from a few keys: whatever the keys are, the plan is the same, and to make
    it anew for the first five times, or for ever, as the server does, costs more than to run it.
    """
    async with _set(driver, _PLANNED_ONCE):
        yield


@asynccontextmanager
async def from_memory(driver: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Have the planner reckon that pages lie in memory, in whatever order, while this is open.

    What has just changed is in memory, with its indexes. By its own reckoning, of disks that turn,
    the planner reads all orders there are for the sake of some thousand customers.
    """
    async with _set(driver, _FROM_MEMORY):
        yield


@asynccontextmanager
async def side_by_side(driver: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Have processes of the server read for the one that writes, while this is open.

    That one takes what the others made. For statements that read whole tables; those that write
    into a table that is there, the server works at with one process, whatever is set.
    """
    async with _set(driver, _SIDE_BY_SIDE):
        yield


@asynccontextmanager
async def part_by_part(
    driver: "asyncpg.Connection[asyncpg.Record]", rows: int
) -> AsyncIterator[None]:
    """Have each of those processes work out whole parts of a union, while this is open.

    Left to itself the planner has them read for each part in turn, and one process do the rest: so
    to begin them is made dear, by how many `rows` are read, for all parts once to be worth it.
    """
    async with _set(driver, {"parallel_setup_cost": str(rows * _SETUP_COST_PER_ROW)}):
        yield


@asynccontextmanager
async def as_a_whole(driver: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Have the planner join whole tables, and not row by row, while this is open.

    A young table has no statistics: what the planner takes for a few rows, and are all there are,
    would take quadratic time. Nor is kept what is worked out of a row, for no row comes twice.
    """
    async with _set(driver, _AS_A_WHOLE):
        yield


@asynccontextmanager
async def _set(
    driver: "asyncpg.Connection[asyncpg.Record]",
    settings: Mapping[str, str],
    first: str = "",
    last: str = "",
) -> AsyncIterator[None]:
    """Settings of the planner, until this ends; those that stand already are left alone.

    Where anything is raised, whoever rolls back takes them back too.
    """
    standing = _STANDING.setdefault(id(driver), set())
    added = [name for name in settings if name not in standing]
    standing.update(added)
    try:
        await _send(driver, first, *(f"SET LOCAL {one} = {settings[one]}" for one in added))
        yield
        await _send(driver, *(f"SET LOCAL {one} = DEFAULT" for one in added), last)
    finally:
        standing.difference_update(added)
        if not standing:
            _STANDING.pop(id(driver), None)


async def _send(driver: "asyncpg.Connection[asyncpg.Record]", *statements: str) -> None:
    """Several statements in one message; none for none."""
    text = ";".join(filter(None, statements))
    if text:
        await driver.execute(text)


_STANDING: Final[dict[int, set[str]]] = {}
"""By connection: the settings that somebody who is at work there has made."""

_BY_INDEX: Final[Mapping[str, str]] = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "join_collapse_limit": "1",
}
_FROM_MEMORY: Final = {"random_page_cost": "1.1"}
_SIDE_BY_SIDE: Final[Mapping[str, str]] = {
    "max_parallel_workers_per_gather": str(READERS_FOR_A_WRITER),
    "parallel_leader_participation": "off",
    "parallel_tuple_cost": "0.001",
}
_SETUP_COST_PER_ROW: Final = 0.1  # a sort shared for one part of four saves .05; all parts, .25
_AS_A_WHOLE: Final = {"enable_nestloop": "off", "enable_memoize": "off"}
_PLANNED_ONCE: Final[Mapping[str, str]] = {"plan_cache_mode": "force_generic_plan"}


@contextmanager
def _told() -> Iterator[None]:
    """Tell a failure of the server itself, whatever was asked of it, in one sentence."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads our output has left: no fault of the server
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        refusal = refusal_in(error)
        if refusal is not None:
            raise refusal from None
        reason = _reason(error)
        if reason is None:
            raise
        raise DatabaseUnavailable(
            f"The database failed: {reason}.",
            todo="Is its disk full? What was committed before is kept; once the server is well, the"
            " same command goes on there.",
        ) from error


def refusal_in(error: BaseException | None) -> BadInput | None:
    """What a statement of ours refuses by itself, in words of our own; None for other errors."""
    while error is not None:
        if getattr(error, "sqlstate", None) == REFUSED:
            message = getattr(error, "message", None)
            return BadInput(str(message or error), todo="Read the list of segments.")
        error = error.__cause__ or getattr(error, "orig", None)
    return None


def _reason(error: BaseException) -> str | None:
    """What the server, or the way to it, is at fault for; None where it is not at fault.

    The first failure says why; those that follow, such as that of the rollback, only that.
    """
    reason, seen, step = None, set[int](), error
    while id(step) not in seen:
        seen.add(id(step))
        state = getattr(step, "sqlstate", None) or ""
        is_lost = isinstance(step, ConnectionError) or (
            isinstance(step, DBAPIError) and step.connection_invalidated
        )
        if is_lost or state.startswith(SERVER_AT_FAULT):
            reason = str(getattr(step, "orig", step)) or type(step).__name__
        step = step.__cause__ or step.__context__ or step
    return reason and " ".join(reason.split()).rstrip(".")


def _flat(error: Exception) -> str:
    """The words of an error on one line, without the point that ends them."""
    return " ".join(str(error).split()).rstrip(".")


async def _greet(reader: "asyncpg.Pool[Any]") -> None:
    """Fail at once and in one sentence where nothing answers, or something too old."""
    try:
        version = await reader.fetchval("SELECT current_setting('server_version_num')::int")
    except (asyncpg.ClientConfigurationError, ValueError, IndexError) as error:
        # How the driver tells a parameter that it knows and cannot read, such as an empty host.
        raise BadInput(
            f"The database URL cannot be used: {_flat(error)}.", todo="Check CDP_DATABASE_URL."
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        raise DatabaseUnavailable(
            f"The database does not answer: {_flat(error) or type(error).__name__}.",
            todo="Check CDP_DATABASE_URL and that PostgreSQL runs there.",
        ) from error
    if version < 150000:
        raise DatabaseUnavailable(
            f"PostgreSQL {version // 10000} is too old.", todo="Use PostgreSQL 15 or newer."
        )
