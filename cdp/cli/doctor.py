"""`cdp doctor`: whether everything is well, and what to do where it is not; changes nothing."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import click
from sqlalchemy import Interval, Text, cast, column, exists, func, select, table
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.cli.session import Session, runs
from cdp.database import open_database
from cdp.errors import CdpError
from cdp.keys import list_keys
from cdp.postgres import embedded
from cdp.segments.segment import list_segments
from cdp.sources import PUSHED, Run, SourceState, get_source, source_states
from cdp.tables import (
    PERSON_TABLES,
    blocked_value,
    customer,
    dead_letter,
    match_review,
    metadata,
    purchase_day,
    resolution_due,
    score_basis,
    score_model,
    source,
    touched_customer,
)
from cdp.workspace import read_workspace
from connectors.base import read_values
from connectors.generic.file import is_imported
from connectors.registry import find_connector
from connectors.sandbox.business.logins import is_emulated
from migrations import current_revision, newest_revision, require_known

State: TypeAlias = Literal["ok", "warning", "problem"]

STALE_AFTER: Final = timedelta(days=1)  # a system that is read at least nightly
SCORES_LAST: Final = timedelta(days=31)  # who buys changes with the month
LONG_RUN: Final = timedelta(hours=6)  # no run of ours takes that long: it was killed
BEHIND: Final = timedelta(minutes=5)  # a server looks every few seconds, and a load takes minutes
FILES: Final = "file"
"""The connector whose sources are read when somebody imports, so that they never are late."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: how it stands, in a sentence, and what to do next."""

    name: str
    state: State
    finding: str
    todo: str = ""


@click.command("doctor")
@runs
async def doctor(session: Session) -> None:
    """Look whether everything is well; ends with 1 where there is a problem."""
    checks = [check async for check in _examine(session)]
    worst = _worst(checks)
    session.show({"state": worst, "checks": checks}, "\n".join(_lines(checks, worst)))
    if worst == "problem":
        raise click.exceptions.Exit(1)


def _worst(checks: Sequence[Check]) -> State:
    states = {check.state for check in checks}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


def _lines(checks: Sequence[Check], worst: State) -> Iterator[str]:
    for check in checks:
        todo = f" {check.todo}" if check.todo else ""
        yield f"{check.state:<9}{check.name}: {check.finding}{todo}"
    counts = Counter(check.state for check in checks)
    yield (
        "All is well."
        if worst == "ok"
        else f"Problems: {counts['problem']}, warnings: {counts['warning']}."
    )


async def _examine(session: Session) -> AsyncIterator[Check]:
    """Every check that can be made; where the database cannot be read, that alone."""
    async with AsyncExitStack() as stack:
        try:
            url = session.settings.database_url or stack.enter_context(
                embedded(session.settings.home)
            )
            database = await stack.enter_async_context(open_database(url))
            connection = await stack.enter_async_context(database.read_only())
        except CdpError as error:
            yield Check("database", "problem", error.message, error.todo)
            return
        yield await _database(connection, session, url)
        migrations = await _migrations(connection, session)
        yield migrations
        if migrations.state == "ok":
            async for check in _content(connection, session):
                yield check


async def _content(connection: AsyncConnection, session: Session) -> AsyncIterator[Check]:
    """What is asked of a database that holds this release's schema."""
    yield await _workspace(connection, session)
    yield await _indexes(connection)
    async for check in _sources(connection):
        yield check
    for count in (
        _dead_letters, _waiting, _identity, _unpriced, _due, _segments, _keys,
    ):  # fmt: skip
        yield await count(connection)
    yield await _scores(connection, session)


async def _database(connection: AsyncConnection, session: Session, url: str) -> Check:
    version = await connection.scalar(select(func.current_setting("server_version")))
    size = await connection.scalar(
        select(func.pg_size_pretty(func.pg_database_size(func.current_database())))
    )
    address = make_url(url)
    where = (
        f"embedded in {session.settings.home}"
        if session.settings.database_url is None
        else f"{address.database} at {address.host or 'a local socket'}"
    )
    return Check("database", "ok", f"PostgreSQL {version} answers, {where}; {size}.")


async def _migrations(connection: AsyncConnection, session: Session) -> Check:
    try:
        await require_known(connection)
    except CdpError as error:
        return Check("migrations", "problem", error.message, error.todo)
    revision, newest = await current_revision(connection), newest_revision()
    if revision == newest:
        return Check("migrations", "ok", f"At revision {revision}, the newest.")
    if revision is None:
        return Check("migrations", "warning", "The database is empty.", "Run cdp migrate.")
    # An embedded database is migrated by whatever command comes next.
    state: State = "warning" if session.settings.database_url is None else "problem"
    finding = f"At revision {revision}; this release wants {newest}."
    return Check("migrations", state, finding, "Run cdp migrate.")


async def _workspace(connection: AsyncConnection, session: Session) -> Check:
    try:
        workspace = await read_workspace(connection, session.settings.workspace)
    except CdpError as error:
        return Check("workspace", "problem", error.message, error.todo)
    finding = (
        f"Currency {workspace.currency}, phone numbers of {workspace.region},"
        f" days of {workspace.timezone}."
    )
    return Check("workspace", "ok", finding)


async def _indexes(connection: AsyncConnection) -> Check:
    """Whether every index of ours is there, and none was left half built."""
    pg_index = table("pg_index", column("indexrelid"), column("indisvalid"))
    invalid = [
        row[0]
        for row in await connection.execute(
            select(cast(cast(pg_index.c.indexrelid, REGCLASS), Text)).where(~pg_index.c.indisvalid)
        )
    ]
    present: set[str] = set(
        await connection.scalars(
            select(column("indexname"))
            .select_from(table("pg_indexes"))
            .where(column("schemaname") == func.current_schema())
        )
    )
    wanted = {str(index.name) for each in metadata.tables.values() for index in each.indexes}
    if invalid:
        todo = " ".join(f"Run REINDEX INDEX CONCURRENTLY {name};" for name in invalid)
        return Check("indexes", "problem", f"Invalid: {', '.join(invalid)}.", todo)
    if missing := sorted(wanted - present):
        return Check(
            "indexes",
            "problem",
            f"Missing: {', '.join(missing)}.",
            "They were dropped by hand: create them as migrations/versions/ does.",
        )
    return Check("indexes", "ok", f"All {len(wanted)} are there and valid.")


# Sources and their records ----------------------------------------------------------------------


async def _sources(connection: AsyncConnection) -> AsyncIterator[Check]:
    now: datetime = (await connection.execute(select(func.now()))).scalar_one()
    states = await source_states(connection)
    if not states:
        todo = "Add one with cdp source add, or load a file with cdp import."
        yield Check("sources", "ok", "There is none yet.", todo)
    for state in states:
        yield await _source(connection, state, now)


async def _source(connection: AsyncConnection, state: SourceState, now: datetime) -> Check:
    """The gravest of what a source can suffer from: its settings, its last run, its age."""
    name = f"source {state.name}"
    sync = f"Run cdp sync {state.name}."
    try:
        row = await get_source(connection, state.name)
        read_values(find_connector(row.connector), row.settings)
    except CdpError as error:
        return Check(name, "problem", error.message, error.todo)
    run = state.last_run
    if state.connector == PUSHED:
        return Check(name, "ok", "Its records are pushed; nobody reads it.")
    if is_emulated(row):
        return Check(name, "ok", "Its vendor was an emulator of cdp demo; nobody reads it again.")
    if run is None:
        return Check(name, "warning", "It was never read.", sync)
    if is_imported(row) and run.status != "running":
        return _imported(name, run)
    if run.status == "failed":
        return Check(name, "problem", f"Its last run failed: {run.error}", f"Then: {sync}")
    if run.status == "running":
        is_long = now - run.started_at > LONG_RUN
        finding = f"It is being read since {run.started_at:%Y-%m-%d %H:%M} UTC."
        todo = f"If nothing runs any more: {sync}" if is_long else ""
        return Check(name, "warning" if is_long else "ok", finding, todo)
    finding = f"Read up to {run.started_at:%Y-%m-%d %H:%M} UTC, {run.status}."
    is_stale = state.connector != FILES and now - run.started_at > STALE_AFTER
    return Check(name, "warning" if is_stale else "ok", finding, sync if is_stale else "")


def _imported(name: str, run: Run) -> Check:
    """What was loaded by hand stays as it is: its file may be gone, and nobody asks for it."""
    if run.status != "failed":
        return Check(name, "ok", "It was loaded by cdp import; nobody reads it again.")
    todo = "Load it again with cdp import."
    return Check(name, "warning", f"It was loaded only in part: {run.error}", todo)


async def _dead_letters(connection: AsyncConnection) -> Check:
    rows = await connection.execute(
        select(source.c.name, func.count())
        .join_from(dead_letter, source)
        .where(dead_letter.c.resolved_at.is_(None))
        .group_by(source.c.name)
        .order_by(source.c.name)
    )
    counts = [f"{count:,} of {name}" for name, count in rows]
    if not counts:
        return Check("dead letters", "ok", "None.")
    todo = "See cdp deadletter list; after a remedy, cdp deadletter retry; else dismiss."
    return Check("dead letters", "warning", f"Records not taken: {', '.join(counts)}.", todo)


async def _waiting(connection: AsyncConnection) -> Check:
    """Records whose customer their source has not told yet; the index of a table finds them."""
    counts: Counter[str] = Counter()
    for each in PERSON_TABLES:
        rows = await connection.execute(
            select(source.c.name, func.count())
            .join_from(each, source, each.c.source_id == source.c.id)
            .where(
                each.c.source_profile_id.is_(None),
                each.c.customer_id.is_not(None),
                each.c.deleted_at.is_(None),
            )
            .group_by(source.c.name)
        )
        for name, count in rows:
            counts[name] += count
    if not counts:
        return Check("waiting records", "ok", "None.")
    told = ", ".join(f"{count:,} of {name}" for name, count in sorted(counts.items()))
    return Check(
        "waiting records",
        "warning",
        f"Records of customers not seen yet: {told}.",
        "Read the customers of these sources too.",
    )


# Identity, facts and access ---------------------------------------------------------------------


async def _identity(connection: AsyncConnection) -> Check:
    reviews = await connection.scalar(select(func.count()).select_from(match_review))
    blocked = await connection.scalar(select(func.count()).select_from(blocked_value))
    finding = (
        f"Shared identifiers open for review: {reviews:,};"
        f" blocked, being shared by too many: {blocked:,}."
    )
    since: timedelta | None = await connection.scalar(
        select(cast(func.now() - func.min(resolution_due.c.noted_at), Interval))
    )
    if since is not None and since > BEHIND:
        finding += f" Steps of a resolution have waited for {since.total_seconds():,.0f} seconds."
        todo = "Where no cdp resolve is running, one has ended early: run it again."
        return Check("identity", "warning", finding, todo)
    return Check("identity", "ok", finding)


async def _unpriced(connection: AsyncConnection) -> Check:
    count = await connection.scalar(select(func.coalesce(func.sum(customer.c.unpriced_count), 0)))
    if not count:
        return Check("prices", "ok", "Every order has a rate of its day.")
    return Check(
        "prices",
        "warning",
        f"Orders without a rate on their day, counted but left out of money: {count:,}.",
        "Load the rates: cdp import FILE --source NAME --stream exchange_rates.",
    )


async def _due(connection: AsyncConnection) -> Check:
    waiting = {
        "days of purchases": purchase_day.c.next_change_at,
        "customers' activity": customer.c.activity_change_at,
        "customers' points": customer.c.loyalty_next_change_at,
    }
    counts = {
        what: await connection.scalar(select(func.count(moment)).where(moment <= func.now())) or 0
        for what, moment in waiting.items()
    }
    if not any(counts.values()):
        return Check("facts", "ok", "None waits for the clock.")
    told = "; ".join(f"{what}: {count:,}" for what, count in counts.items() if count)
    finding = f"Facts that time has changed: {told}."
    todo = "cdp serve folds them anew as they fall due, and so does the next cdp sync or import."
    return Check("facts", "warning", finding, todo)


async def _scores(connection: AsyncConnection, session: Session) -> Check:
    """Forecasts, cut points and ranks are those of the last scoring, in the currency of then."""
    model = score_model.c
    age: timedelta | None = await connection.scalar(
        select(cast(func.now() - func.max(model.computed_at), Interval))
    )
    if age is None:
        has_orders = await connection.scalar(select(exists().where(customer.c.order_count > 0)))
        if not has_orders:
            return Check("scores", "ok", "Nobody has ordered, so there is nothing to forecast.")
        finding = "Nothing was ever scored: cltv, churn and the scores of rfm are null."
        return Check("scores", "warning", finding, "Run cdp score, and let a timer run it weekly.")
    currency = await connection.scalar(select(model.currency).join_from(score_model, score_basis))
    ours = await read_workspace(connection, session.settings.workspace)
    if currency != ours.currency:
        finding = f"None is in {ours.currency}: the workspace has changed its currency since."
        return Check("scores", "warning", finding, "Run cdp score.")
    finding = f"Computed {age.days:,} days ago."
    is_old = age > SCORES_LAST
    return Check(
        "scores", "warning" if is_old else "ok", finding, "Run cdp score." if is_old else ""
    )


async def _segments(connection: AsyncConnection) -> Check:
    segments = await list_segments(connection)
    broken = [one.slug for one in segments if one.error is not None]
    if broken:
        finding = f"Cannot be evaluated any more: {', '.join(broken)}."
        return Check("segments", "problem", finding, f"Run cdp segment show {broken[0]}.")
    todo = "cdp serve looks every few seconds; cdp segment refresh does it now."
    age: timedelta | None = await connection.scalar(
        select(cast(func.now() - func.min(touched_customer.c.at), Interval)).where(
            touched_customer.c.due_at <= func.now()
        )
    )
    if age is not None and age > BEHIND:
        finding = f"Customers touched {age.total_seconds():,.0f} seconds ago wait to be looked at."
        return Check("segments", "warning", finding, todo)
    now: datetime = (await connection.execute(select(func.now()))).scalar_one()
    late = [one.slug for one in segments if one.due_at is not None and now - one.due_at > BEHIND]
    # Of nobody there is nothing to look at: segments that come with the platform may wait.
    if late and await connection.scalar(select(exists(select(customer.c.id)))):
        finding = f"Due for more than {BEHIND.seconds // 60} minutes: {len(late)}, as {late[0]}."
        return Check("segments", "warning", finding, todo)
    return Check("segments", "ok", f"{len(segments)}, up to date.")


async def _keys(connection: AsyncConnection) -> Check:
    keys = await list_keys(connection)
    in_use = Counter(key.role.value for key in keys if key.revoked_at is None)
    if in_use:
        told = ", ".join(f"{count} {role}" for role, count in sorted(in_use.items()))
        return Check("keys", "ok", f"In use: {told}.")
    if keys:
        finding = "Every key is revoked: the server answers nobody."
        return Check("keys", "warning", finding, "Run cdp key create --role ROLE.")
    finding = "None: the server answers clients on its own machine alone."
    return Check("keys", "ok", finding, "To let others in, run cdp key create --role ROLE.")
