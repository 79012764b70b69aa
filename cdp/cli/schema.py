"""`cdp schema export`: the SDL of the graph, for code generators and for review."""

from pathlib import Path
from typing import Final

import click
import msgspec

SDL_FILE: Final = Path(__file__).parents[2] / "schema" / "schema.graphql"


@click.group("schema")
def schema() -> None:
    """The schema of the graph."""


@schema.command("export")
@click.option("--check", is_flag=True, help="Compare with the committed file; print nothing.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON instead of text.")
def export(*, check: bool, is_json: bool) -> None:
    """Print the SDL, or with --check fail where it is not the committed one."""
    from schema.root import sdl

    text = sdl()
    if not check:
        click.echo(msgspec.json.encode({"sdl": text}) if is_json else text, nl=is_json)
        return
    is_committed = SDL_FILE.exists() and SDL_FILE.read_text() == text
    if is_json:
        click.echo(msgspec.json.encode({"is_committed": is_committed}))
    if not is_committed:
        raise click.ClickException(
            f"{SDL_FILE.name} is not what the code says. Write it anew:"
            " cdp schema export > schema/schema.graphql"
        )
