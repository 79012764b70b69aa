"""The command `cdp`: names every command, and loads only the one that is asked for."""

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "demo": "cdp.cli.demo:demo",
    "serve": "cdp.cli.serve:serve",
    "migrate": "cdp.cli.migrate:migrate",
    "source": "cdp.cli.source:source",
    "sync": "cdp.cli.sync:sync_command",
    "import": "cdp.cli.import_:import_file",
    "resolve": "cdp.cli.resolve:resolve",
    "score": "cdp.cli.score:score",
    "config": "cdp.cli.config:config",
    "connector": "cdp.cli.connector:connector",
    "identity": "cdp.cli.identity:identity",
    "segment": "cdp.cli.segment:segment",
    "business": "cdp.cli.figures:business",
    "retention": "cdp.cli.figures:retention",
    "recommend": "cdp.cli.recommend:recommend",
    "publish": "cdp.cli.publish:publish_command",
    "export": "cdp.cli.export:export",
    "loyalty": "cdp.cli.loyalty:loyalty",
    "deadletter": "cdp.cli.deadletter:deadletter",
    "key": "cdp.cli.key:key",
    "schema": "cdp.cli.schema:schema",
    "doctor": "cdp.cli.doctor:doctor",
}
"""Each command's name and where its function lives."""


class _Lazy(click.Group):
    """Loads a command when it is run: `cdp --help` needs no database driver."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None where there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cdp")
def main() -> None:
    """A customer-data platform: one customer graph of all your sources, read through GraphQL.

    The database is CDP_DATABASE_URL, or an embedded PostgreSQL in CDP_HOME (default .cdp).
    """


if __name__ == "__main__":
    main()
