"""`cdp identity rules`: the rules of identity shown, tried, and applied as they were tried."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from cdp.cli.session import Session, actor, runs
from cdp.database import driver
from cdp.identity.resolve import Move
from cdp.identity.rules import Document, parse_rules, read_document, rules_text
from cdp.refresh import follow
from cdp.rulechange import Difference, apply_rules, try_rules
from cdp.toml_text import toml_in
from cdp.values import ProfileId
from cdp.workspace import read_workspace

SHOWN_MOVES: Final = 20  # that are printed; JSON has those that were kept

_FILE = click.argument(
    "path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)


@click.group("rules")
def rules() -> None:
    """Which identifiers join whom, and from where on likeness does."""


@rules.command("show")
@runs
async def show(session: Session) -> None:
    """Print the rules in force, as `apply` takes them."""
    async with session.database() as database, database.read_only() as connection:
        version, document, model_version = await read_document(await driver(connection))
    model = "no linkage model" if model_version is None else f"linkage model {model_version}"
    shown = {
        "version": version,
        "model_version": model_version,
        "document": msgspec.to_builtins(document),
    }
    session.show(shown, f"# Version {version}, {model}.\n{rules_text(document)}".rstrip())


@rules.command("try")
@_FILE
@runs
async def try_command(session: Session, path: Path) -> None:
    """Tell what the rules of FILE would change; nothing is changed."""
    document = _read(path)
    async with session.database() as database, database.read_only() as connection:
        difference = await try_rules(connection, document)
    token = f"Apply just this: cdp identity rules apply {path} --token {difference.token}"
    session.show(_described(difference), "\n".join([*_told(difference), token]))


@rules.command("apply")
@_FILE
@click.option("--token", help="Only if it changes what `try` showed with this token.")
@click.option("--reason", help="Why; it is kept in the ledger (default: the file's name).")
@runs
async def apply_command(
    session: Session, path: Path, token: str | None, reason: str | None
) -> None:
    """Put the rules of FILE in force and bring every customer up to date; writers wait."""
    document = _read(path)
    why = f"The rules of {path.name}." if reason is None else reason
    async with session.database() as database:
        async with database.transaction() as connection:
            workspace = await read_workspace(connection, session.settings.workspace)
            difference = await apply_rules(
                connection, document, workspace, actor=actor(), reason=why, token=token
            )
        await follow(database, workspace)
    session.show(_described(difference), "\n".join(_told(difference)))


def _read(path: Path) -> Document:
    """The document in a file. Raises BadInput."""
    return parse_rules(toml_in(path))


def _described(difference: Difference) -> dict[str, object]:
    return {
        "token": difference.token,
        "customers_before": difference.customers_before,
        "customers_after": difference.customers_after,
        "joined": difference.joined,
        "parted": difference.parted,
        "described_otherwise": difference.described_otherwise,
        "by_attribute": difference.by_attribute,
        "unknown_sources": difference.unknown_sources,
        "moves": difference.moves,
        "names": {str(profile): name for profile, name in difference.names.items()},
    }


def _told(difference: Difference) -> list[str]:
    before, after = difference.customers_before, difference.customers_after
    changes = f"{difference.joined:,} join, {difference.parted:,} part"
    lines = [f"Customers: {before:,} before, {after:,} after; {changes}."]
    if difference.described_otherwise:
        counts = ", ".join(f"{name} {count:,}" for name, count in difference.by_attribute.items())
        lines += [f"Other claims win for {difference.described_otherwise:,} customers: {counts}."]
    if difference.unknown_sources:
        names = ", ".join(difference.unknown_sources)
        lines += [f"There is no source {names} yet: until there is, it has no say."]
    lines += [f"  {_moved(move, difference)}" for move in difference.moves[:SHOWN_MOVES]]
    rest = difference.joined + difference.parted - min(len(difference.moves), SHOWN_MOVES)
    return [*lines, f"  and {rest:,} more."] if rest > 0 else lines


def _moved(move: Move, difference: Difference) -> str:
    """Who moves where, by names, and the evidence."""

    def named(profiles: Sequence[ProfileId]) -> str:
        return ", ".join(f"{one} {difference.names.get(one) or ''}".strip() for one in profiles)

    word = "joins" if move.kind == "merged" else "parts from"
    evidence = ", ".join(f"{join.identifier.kind} {join.identifier.value}" for join in move.joins)
    return f"{named(move.profile_ids)} {word} {named(move.other_ids)}: {evidence or 'nothing'}"
