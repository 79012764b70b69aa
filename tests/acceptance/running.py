"""Shared by acceptance tests: the command line as a person has it, in processes of its own."""

import os
import socket
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from click.testing import CliRunner

from cdp.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120
STEERING = ("CDP_", "PG")
CDP = (sys.executable, "-m", "cdp")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line by which it refused; fails where it said more, less, or a traceback."""
        assert self.code != 0, self.out
        assert "Traceback" not in self.out + self.err, self.out + self.err
        *before, line = self.err.splitlines()
        assert line.startswith("Error: "), self.err
        assert line.endswith("."), line
        assert not [other for other in before if "Error" in other], self.err
        return line.removeprefix("Error: ")


def environment(**variables: str | Path) -> dict[str, str]:
    """The environment of a command: nothing of ours steers it but what is given."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(STEERING)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        **{name: str(value) for name, value in variables.items()},
    }


def cdp(*arguments: str | Path, **variables: str | Path) -> Said:
    """Run a command to its end in a process of its own."""
    done = subprocess.run(  # noqa: S603 (our own command)
        [*CDP, *map(str, arguments)],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def asked(*arguments: str | Path, **variables: str | Path) -> Said:
    """Run a command to its end in this process, which is quicker; fails where it breaks down."""
    given = environment(**variables)
    unset = {name: None for name in os.environ if name not in given}
    result = CliRunner().invoke(main, [*map(str, arguments)], env={**unset, **given})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return Said(result.exit_code, result.stdout, result.stderr)


async def start(*arguments: str | Path, **variables: str | Path) -> Process:
    """Start a command."""
    return await create_subprocess_exec(
        *CDP, *map(str, arguments), cwd=ROOT, env=environment(**variables), stdout=PIPE, stderr=PIPE
    )


async def finished(process: Process) -> Said:
    """Wait for a command's end."""
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


@contextmanager
def served(**variables: str | Path) -> Iterator[str]:
    """`cdp serve` as a process on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603 (our own command)
        [*CDP, "serve", "--port", str(port)],
        cwd=ROOT,
        env=environment(**variables),
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        # One client: to make it takes nearly as long as a wait.
        with httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS) as client:
            while not _is_ready(client, url):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline, "the server is not ready"
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.communicate()


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
