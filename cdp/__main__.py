"""The command `cdp`: names every command, and loads only the one that is asked for."""

import gc
import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

COMMANDS: Final = {
    "demo": ("cdp.cli.demo:demo", "Run the main job on a made-up business, and serve it."),
    "serve": ("cdp.cli.serve:serve", "Serve the customer graph: GraphQL over HTTP."),
    "migrate": ("cdp.cli.migrate:migrate", "Bring the database to the newest schema."),
    "source": ("cdp.cli.source:source", "Configure the systems that are read."),
    "sync": ("cdp.cli.sync:sync_command", "Pull from the sources named, or from all."),
    "import": ("cdp.cli.import_:import_file", "Load a file, or a folder of files."),
    "resolve": ("cdp.cli.resolve:resolve", "Join who is alike enough; ask about who may be."),
    "score": ("cdp.cli.score:score", "Forecast the value of everybody, and judge the forecast."),
    "config": ("cdp.cli.config:config", "Show or set what holds for the whole workspace."),
    "connector": ("cdp.cli.connector:connector", "The connectors that there are."),
    "identity": ("cdp.cli.identity:identity", "Who is who: explain, decide, and the rules."),
    "segment": ("cdp.cli.segment:segment", "Segments: stored filters and lists of customers."),
    "business": ("cdp.cli.figures:business", "Tell how the whole business does."),
    "retention": ("cdp.cli.figures:retention", "Show who came back: a grid of cohorts."),
    "campaign": ("cdp.cli.campaign:campaign", "What campaigns brought, and what they cost."),
    "recommend": ("cdp.cli.recommend:recommend", "Count anew which articles go together."),
    "publish": ("cdp.cli.publish:publish_command", "Build the BI mart."),
    "export": ("cdp.cli.export:export", "Write customers, or their source profiles, to a file."),
    "loyalty": ("cdp.cli.loyalty:loyalty", "The loyalty programme, and a customer's points."),
    "deadletter": ("cdp.cli.deadletter:deadletter", "Records that could not be taken, and why."),
    "key": ("cdp.cli.key:key", "Make, list and revoke the keys of the API."),
    "schema": ("cdp.cli.schema:schema", "The schema of the graph."),
    "doctor": ("cdp.cli.doctor:doctor", "Look whether everything is well."),
}
"""Each command's name, where its function lives, and its line in the list of commands."""

GARBAGE_THRESHOLD: Final = 500_000  # objects more than were freed, before cycles are looked for
IS_JSON: Final = "cdp.is_json"  # where a context notes it


@contextmanager
def _told_as_json(ctx: click.Context) -> Iterator[None]:
    """What was typed wrongly, in the form in which a command tells its own refusals."""
    try:
        yield
    except click.UsageError as error:
        if ctx.meta[IS_JSON]:
            told = {"error": "BAD_REQUEST", "message": error.format_message()}
            click.echo(json.dumps(told, ensure_ascii=False))
        raise


def _require_text(arguments: list[str], ctx: click.Context) -> None:
    """Refuse what is no UTF-8: it can neither be stored nor shown."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise click.UsageError(
                f"The argument '{shown}' is no UTF-8. Write it as UTF-8; a file, rename first.",
                ctx,
            ) from None


class _Lazy(click.Group):
    """Loads a command when it is run: `cdp --help` needs neither database driver nor graph."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None where there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        # What is loaded stays, and a batch makes hundreds of thousands of small objects and no
        # cycles: looking for cycles at the default threshold takes a fifth of the time to start,
        # and a third of an import's.
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether JSON is asked for, which only the command itself will read."""
        ctx.meta[IS_JSON] = "--json" in args
        with _told_as_json(ctx):
            _require_text(args, ctx)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what it is not given rightly is told as JSON too where that is asked."""
        with _told_as_json(ctx):
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, of which none is loaded."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cdp")
def main() -> None:
    """A customer-data platform: one customer graph of all your sources, read through GraphQL.

    The database is CDP_DATABASE_URL, or an embedded PostgreSQL in CDP_HOME (default .cdp).
    """


if __name__ == "__main__":
    main()
