"""`cdp schema export`: the SDL of the graph, for code generators and for review."""

from pathlib import Path
from typing import Final

import click

SDL_FILE: Final = Path(__file__).parents[2] / "schema" / "schema.graphql"


@click.group("schema")
def schema() -> None:
    """The schema of the graph."""


@schema.command("export")
@click.option("--check", is_flag=True, help="Compare with the committed file; print nothing.")
def export(*, check: bool) -> None:
    """Print the SDL, or with --check fail where it is not the committed one."""
    from schema.root import sdl

    text = sdl()
    if not check:
        click.echo(text, nl=False)
    elif not SDL_FILE.exists() or SDL_FILE.read_text() != text:
        raise click.ClickException(
            f"{SDL_FILE.name} is not what the code says. Write it anew:"
            " cdp schema export > schema/schema.graphql"
        )
