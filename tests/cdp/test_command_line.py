"""The command line as a whole: its list of commands, which costs nobody a second."""

import subprocess
import sys
from pathlib import Path

import click

from cdp.__main__ import COMMANDS, main

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
