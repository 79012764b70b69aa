"""The command line, run as a person runs it: a process of its own, and what it took."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.processor import PostgresClock

ROOT: Final = Path(__file__).resolve().parents[1]
CDP: Final = (sys.executable, "-m", "cdp")
STEERING: Final = ("CDP_", "PG")
KIBIBYTE: Final = 1024


class BenchmarkFailed(Exception):
    """What was to be measured did not work."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a command told and what it took, from its start to its end.

    `postgres_seconds` is null where the server's processes are not to be seen. `peak_bytes` is the
    most that was resident; a little too much where the benchmark itself was larger at the fork.
    """

    told: dict[str, Any]
    seconds: float
    client_seconds: float
    postgres_seconds: float | None
    peak_bytes: int


def environment(variables: Mapping[str, str | Path]) -> dict[str, str]:
    """The environment of a command: nothing of ours steers it but what is given."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(STEERING)}
    given = {name: str(value) for name, value in variables.items()}
    return {**kept, "PYTHONPATH": str(ROOT), **given}


def run(
    *arguments: str | Path,
    variables: Mapping[str, str | Path],
    clock: PostgresClock | None = None,
) -> Run:
    """Run a command with --json to its end. Raises BenchmarkFailed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        postgres_before = clock.seconds() if clock else 0.0
        started = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [*CDP, *map(str, arguments), "--json"],
            cwd=ROOT,
            env=environment(variables),
            stdout=output,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        postgres_seconds = clock.seconds() - postgres_before if clock else None
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise BenchmarkFailed(f"cdp {arguments[0]}: {errors.read().decode()}")
        told = msgspec.json.decode(output.read(), type=dict[str, Any])
    client_seconds = usage.ru_utime + usage.ru_stime
    return Run(told, seconds, client_seconds, postgres_seconds, usage.ru_maxrss * KIBIBYTE)
