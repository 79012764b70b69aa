"""`cdp source`: the systems outside that are read, and whether they answer."""

import click

from cdp.cli.session import Session, runs
from cdp.database import Database
from cdp.errors import BadInput, CdpError
from cdp.sources import (
    SourceRow,
    SourceState,
    add_source,
    begin_anew,
    get_source,
    remove_source,
    removed_settings,
    source_states,
)
from connectors.base import Retry, Skip, account_of, check_settings, is_elsewhere, shown
from connectors.registry import CONNECTORS, build, find_connector


@click.group("source")
def source() -> None:
    """Configure the systems that are read."""


@source.command("add")
@click.argument("name")
@click.option("--connector", required=True, metavar="KIND", help="See cdp connector list.")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting; of a secret better env:NAME or file:PATH than the secret itself.",
)
@runs
async def add(session: Session, name: str, connector: str, pairs: tuple[str, ...]) -> None:
    """Configure a source called NAME."""
    spec, settings = find_connector(connector), _settings(pairs)
    check_settings(spec, settings)
    async with session.database() as database, database.transaction() as connection:
        former = await removed_settings(connection, name)
        row = await add_source(connection, name, connector, settings)
        is_another = former is not None and account_of(spec, former) != account_of(spec, settings)
        if is_another:
            await begin_anew(connection, row.id)
    bare = [
        setting.name
        for setting in spec.settings
        if setting.is_secret and not is_elsewhere(settings.get(setting.name, "env:"))
    ]
    if bare:
        session.console.print(
            f"{', '.join(bare)}: kept in the database. env:NAME or file:PATH keeps it out of there."
        )
    told = f"{name} is configured. Read it with cdp sync {name}."
    if is_another:
        told += " It was removed with other settings, so that it is read from its start."
    session.show({**_described(row), "reads_from_start": former is None or is_another}, told)


@source.command("list")
@runs
async def list_(session: Session) -> None:
    """List the sources and how they stand."""
    async with session.database() as database, database.read_only() as connection:
        states = await source_states(connection)
    session.show(
        [_state(state) for state in states],
        "\n".join(_line(state) for state in states) or "No sources. Add one with cdp source add.",
    )


@source.command("check")
@click.argument("name")
@runs
async def check(session: Session, name: str) -> None:
    """Ask whether NAME answers and takes its key."""
    async with session.database() as database:
        row = await _row(database, name)
    reader = build(row)
    try:
        sentence = await reader.check()
    except Retry as failure:
        raise CdpError("SOURCE_UNREACHABLE", f"{name}: {failure}", todo="Try again.") from failure
    except Skip as skip:
        raise CdpError("SOURCE_REFUSED", f"{name}: Its answer cannot be read: {skip}") from skip
    finally:
        await reader.close()
    session.show({"source": name, "answer": sentence}, f"{name}: {sentence}")


@source.command("remove")
@click.argument("name")
@runs
async def remove(session: Session, name: str) -> None:
    """Take NAME out of syncs; its records stay."""
    async with session.database() as database, database.transaction() as connection:
        await remove_source(connection, name)
    session.show({"removed": name}, f"{name} is removed from syncs; its records stay.")


async def _row(database: Database, name: str) -> SourceRow:
    async with database.read_only() as connection:
        return await get_source(connection, name)


def _settings(pairs: tuple[str, ...]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            # The pair may be half of a secret, so it is not repeated.
            raise BadInput("A setting is written KEY=VALUE.", todo="Write --set shop=example.")
        settings[key] = value
    return settings


def _described(row: SourceRow) -> dict[str, object]:
    settings = shown(CONNECTORS[row.connector], row.settings)
    return {"source": row.name, "connector": row.connector, "settings": settings}


def _state(state: SourceState) -> dict[str, object]:
    run = state.last_run
    return {
        "source": state.name,
        "connector": state.connector,
        "state": state.state,
        "read_up_to": state.read_up_to,
        "cursors": dict(state.cursors),
        "counts": dict(run.counts) if run else {},
        "error": run.error if run else None,
    }


def _line(state: SourceState) -> str:
    run = state.last_run
    read = f"read up to {state.read_up_to:%Y-%m-%d %H:%M} UTC" if state.read_up_to else "not read"
    error = f"\t{run.error}" if run and run.error else ""
    return f"{state.name}\t{state.connector}\t{state.state}\t{read}{error}"
