"""`cdp connector`: what there is, and whether one does what every connector must."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import click
from sqlalchemy.engine import make_url

from cdp.cli.session import Session, runs
from cdp.database import Database, open_database
from cdp.errors import BadInput, CdpError
from connectors.base import Connector
from connectors.conformance.bench import Broken
from connectors.conformance.cases import CASES
from connectors.conformance.checks import checks_of, run_check
from connectors.registry import CONNECTORS, find_connector
from migrations import upgrade


@click.group("connector")
def connector() -> None:
    """The connectors that there are."""


@connector.command("list")
@runs
async def list_(session: Session) -> None:
    """List the connectors and their settings."""
    session.show(
        [_described(spec) for spec in CONNECTORS.values()],
        "\n".join(_text(spec) for spec in CONNECTORS.values()),
    )


@connector.command("test")
@click.argument("name")
@runs
async def test(session: Session, name: str) -> None:
    """Run the conformance kit on NAME, over its emulator and in a database of its own."""
    case = CASES.get(find_connector(name).name)
    if case is None:
        raise BadInput(
            f"{name} has no emulator to be tested over.", todo=f"These have: {', '.join(CASES)}."
        )
    results: dict[str, str] = {}
    async with session.database() as database, _scratch(database) as scratch:
        for check in checks_of(case):
            session.console.print(f"{name} {check}", end=" ", markup=False)
            try:
                await run_check(case, check, scratch)
            except Broken as error:
                results[check] = str(error)
            else:
                results[check] = "ok"
            session.console.print(results[check], markup=False, soft_wrap=True)
    failed = [check for check, result in results.items() if result != "ok"]
    session.show(
        {"connector": name, "checks": results},
        f"{name}: {len(results) - len(failed)} of {len(results)} checks passed.",
    )
    if failed:
        raise click.exceptions.Exit(1)


@asynccontextmanager
async def _scratch(database: Database) -> AsyncIterator[Database]:
    """An empty database beside the given one, dropped at the end: checks write invented people."""
    name = f"cdp_check_{secrets.token_hex(6)}"
    await _administer(database.url, f'CREATE DATABASE "{name}"')
    try:
        url = make_url(database.url).set(database=name).render_as_string(hide_password=False)
        async with open_database(url) as scratch:
            async with scratch.transaction() as connection:
                await upgrade(connection)
            yield scratch
    finally:
        await _administer(database.url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        raise CdpError(
            "FORBIDDEN", f"The database role may not do this: {error}.", todo="Use another role."
        ) from error
    finally:
        await connection.close()


def _described(spec: Connector) -> dict[str, object]:
    return {
        "connector": spec.name,
        "kind": spec.kind,
        "doc": spec.doc,
        "settings": [
            {
                "name": setting.name,
                "doc": setting.doc,
                "required": setting.is_required,
                "secret": setting.is_secret,
            }
            for setting in spec.settings
        ],
    }


def _text(spec: Connector) -> str:
    lines = [f"{spec.name} ({spec.kind}): {spec.doc}"]
    for setting in spec.settings:
        marks = [
            mark
            for mark, is_so in (("required", setting.is_required), ("secret", setting.is_secret))
            if is_so
        ]
        lines.append(f"  {setting.name}: {setting.doc}" + (f" ({', '.join(marks)})" * bool(marks)))
    return "\n".join(lines)
