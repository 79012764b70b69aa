"""Commands as tests call them: in this process, over a database of theirs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from click.testing import CliRunner, Result

from cdp.__main__ import main

Run: TypeAlias = Callable[..., Result]
Value: TypeAlias = Any
"""JSON whose shape the test knows."""


def command_over(database_url: str) -> Run:
    """The command over a database."""

    def run(*arguments: str | Path, stdin: str | None = None) -> Result:
        given = ["--database-url", database_url]
        result = CliRunner().invoke(main, [*map(str, arguments), *given], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


def said_by(group: str, cdp: Run, *arguments: str | Path, stdin: str | None = None) -> Value:
    """What a command of a group that goes well prints as JSON."""
    result = cdp(group, *arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def told_by(group: str, cdp: Run, *arguments: str | Path) -> str:
    """What a command of a group that goes well prints as text."""
    result = cdp(group, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused_by(group: str, cdp: Run, *arguments: str | Path) -> str:
    """The sentence of a command of a group that refuses."""
    result = cdp(group, *arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert result.stderr.startswith("Error: ")
    return result.stderr.removeprefix("Error: ").strip()
