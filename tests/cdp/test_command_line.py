"""The command line as a whole: its list of commands, which costs nobody a second."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cdp.__main__ import COMMANDS, main
from cdp.cli.listening import listen
from cdp.errors import CdpError

ROOT = Path(__file__).resolve().parents[2]
HELP = """
import sys
from cdp.__main__ import main
main(["--help"], standalone_mode=False)
print(*sys.modules, file=sys.stderr)
"""


def test_help_has_a_line_for_each_command_and_loads_none() -> None:
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-c", HELP], cwd=ROOT, capture_output=True, text=True, check=True
    )
    _, _, listed = done.stdout.partition("Commands:\n")
    assert [line.split()[0] for line in listed.splitlines()] == list(COMMANDS)
    loaded = set(done.stderr.split())
    assert "click" in loaded
    assert not {name for name in loaded if name.startswith(("cdp.cli", "sqlalchemy", "graphql"))}


def test_each_command_that_is_listed_is_there() -> None:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.name == name
        assert command.help, name


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that it is called by."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from commands(inner, *path, name)
    else:
        yield " ".join(path), command


def test_every_command_can_print_json() -> None:
    found = dict(commands(main))
    assert "schema export" in found
    assert not [
        name
        for name, command in found.items()
        if "--json" not in {option for each in command.params for option in each.opts}
    ]


def test_schema_is_printed_and_compared_as_text_and_as_json() -> None:
    printed = CliRunner().invoke(main, ["schema", "export"])
    as_json = CliRunner().invoke(main, ["schema", "export", "--json"])
    assert json.loads(as_json.stdout) == {"sdl": printed.stdout}
    compared = CliRunner().invoke(main, ["schema", "export", "--check", "--json"])
    assert json.loads(compared.stdout) == {"is_committed": True}


NO_UTF8 = os.fsdecode(b"caf\xe9")  # as Python takes what a shell hands over


def test_argument_that_is_no_utf8_is_refused_in_one_sentence() -> None:
    done = CliRunner().invoke(main, ["import", f"{NO_UTF8}.csv", "--source", "shop"])
    assert done.exit_code == 2
    assert "Error: The argument 'caf\\xe9.csv' is no UTF-8." in done.output


@pytest.mark.parametrize("name", ["CDP_HOME", "CDP_DATABASE_URL", "CDP_TIMEZONE"])
@pytest.mark.parametrize("command", [["doctor"], ["serve", "--port", "0"]])
def test_variable_that_is_no_utf8_is_refused_in_one_sentence(command: list[str], name: str) -> None:
    done = CliRunner().invoke(main, command, env={name: NO_UTF8})
    assert done.exit_code == 1
    assert done.output == f"Error: {name} is no UTF-8. Write it in UTF-8.\n"


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("203.0.113.1", "203.0.113.1 is no address of this machine. Give --host one that is"),
        ("a..b", "a..b is no address"),
        ("a" * 64, "is no address"),
    ],
)
def test_address_that_cannot_be_listened_on_is_told(host: str, told: str) -> None:
    with pytest.raises(CdpError) as refusal:
        listen(host, 0)
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nonsense", "No such command"),
        ("segment nonsense", "No such command"),
        ("key create --role king", "king"),
        ("export audience:x --holdout 100", "100"),
        ("business --no-such-option", "No such option"),
    ],
)
def test_what_was_typed_wrongly_is_told_as_json_where_that_is_asked(given: str, said: str) -> None:
    plain = CliRunner().invoke(main, given.split())
    assert (plain.exit_code, plain.stdout) == (2, "")
    asked = CliRunner().invoke(main, [*given.split(), "--json"])
    told = json.loads(asked.stdout)
    assert (asked.exit_code, told["error"], said in told["message"]) == (2, "BAD_REQUEST", True)
    assert asked.stderr == plain.stderr
