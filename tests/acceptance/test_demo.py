"""The demo starts, tells how well it went, answers queries, and a second one adds nothing."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 300
TIMEOUT_SECONDS = 180
READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Demo:
    """Where a demo keeps what it has."""

    environment: Mapping[str, str]
    database_url: str

    def command(self, *options: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "cdp", "demo", "--customers", str(PEOPLE), *options]

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        return subprocess.run(  # noqa: S603 (our own command)
            self.command(*options),
            cwd=ROOT,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def summary(self) -> dict[str, object]:
        """What it prints with --json."""
        result = self.run("--no-serve", "--json")
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def demo(database_url: str, tmp_path: Path) -> Demo:
    """An empty database and home."""
    environment = {**os.environ, "CDP_DATABASE_URL": database_url, "CDP_HOME": str(tmp_path)}
    return Demo(environment, database_url)


async def counted(url: str, *tables: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608 (our own names)
    finally:
        await connection.close()


async def test_summary_is_one_object_and_a_second_demo_prints_the_same(demo: Demo) -> None:
    first = demo.summary()
    seconds = first.pop("seconds")
    assert isinstance(seconds, float)
    assert list(first) == [
        "sources",
        "records",
        "source_profiles",
        "customers",
        "merges",
        "identity",
        "forecast",
    ]
    sources, identity = first["sources"], first["identity"]
    assert isinstance(sources, dict)
    assert isinstance(identity, dict)
    kinds = {name: source["kind"] for name, source in sources.items()}
    assert kinds == {
        "web-shop": "ecommerce",
        "tills": "pos",
        "newsletter": "email",
        "social": "social",
        "support-desk": "generic",
    }
    assert all(source["records"] > 100 for source in sources.values())
    assert first["records"] == sum(source["records"] for source in sources.values())
    assert list(identity) == ["precision", "recall", "f1"]
    assert identity["precision"] >= 0.98
    assert identity["recall"] >= 0.6

    assert first["forecast"] == {"customers": 0, "model": None, "verdict": None}, "so few people"

    tables = ("score_model", "record_version", "merge_event", "dead_letter")
    before = await counted(demo.database_url, *tables)
    second = demo.summary()
    second.pop("seconds")
    assert second == first
    assert await counted(demo.database_url, *tables) == before
    assert before[0] == 1
    assert before[3] == 0

    other = demo.run("--no-serve", "--seed", "2")
    assert other.returncode != 0
    assert "another --seed" in other.stderr


def test_port_in_use_is_told_in_one_sentence_before_any_work(demo: Demo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = demo.run("--port", str(port))
    assert result.returncode != 0
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"Port {port}" in result.stderr


@pytest.fixture
def running(demo: Demo) -> Iterator["subprocess.Popen[bytes]"]:
    """A demo that serves; ended by Ctrl-C at the latest when the test ends."""
    process = subprocess.Popen(  # noqa: S603 (our own command)
        demo.command("--port", "0"),
        cwd=ROOT,
        env=dict(demo.environment) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[bytes]", text: str) -> str:
    """What the process has printed up to a text. Fails where it ends, or takes too long."""
    assert process.stdout is not None
    printed, end = b"", time.monotonic() + TIMEOUT_SECONDS
    while text.encode() not in printed:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"it has not printed {text!r}, only:\n{printed.decode()}"
        part = os.read(process.stdout.fileno(), READ_BYTES)
        assert part, f"it ended without {text!r}, after:\n{printed.decode()}"
        printed += part
    return printed.decode()


def test_demo_serves_and_the_printed_links_and_answers_are_real(
    running: "subprocess.Popen[bytes]",
) -> None:
    printed = read_until(running, "Ctrl-C")
    links = [httpx.URL(line[9:]) for line in printed.splitlines() if line.startswith("Open it: ")]
    assert len(links) == 3
    for link in links:
        query = link.params["query"]
        assert query in printed
        answer = httpx.post(link.copy_with(query=None), json={"query": query}, timeout=30)
        data = answer.json()["data"]
        found = data.get("customer") or data["customers"]["nodes"][0]
        assert f'"name": "{found["name"]}"' in printed
        page = httpx.get(link, headers={"Accept": "text/html"}, timeout=30)
        assert page.status_code == 200
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 0
