"""The demo starts, tells how well it went, answers queries, and a second one adds nothing."""

import asyncio
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.acceptance.first_demo import PEOPLE, FirstDemo
from tests.acceptance.running import CDP, ROOT, Said, asked, environment
from tests.server import Server

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = 180
READ_BYTES = 65_536


OPTIONS = ("demo", "--customers", str(PEOPLE))


def object_of(said: Said) -> dict[str, object]:
    """The summary that it printed with --json."""
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


async def counted(url: str, *tables: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608 (our own names)
    finally:
        await connection.close()


async def test_summary_is_one_object_and_a_second_demo_prints_the_same(
    server: Server, demo: FirstDemo, tmp_path: Path
) -> None:
    first = object_of(demo.said)
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
    name = server.draw()
    await server.create(name, demo.database)
    here: dict[str, str | Path] = {
        "CDP_DATABASE_URL": server.url_of(name),
        "CDP_HOME": tmp_path,
    }
    before = await counted(server.url_of(name), *tables)
    second = object_of(await asyncio.to_thread(asked, *OPTIONS, "--no-serve", "--json", **here))
    second.pop("seconds")
    assert second == first
    assert await counted(server.url_of(name), *tables) == before
    assert before[0] == 1
    assert before[3] == 0

    other = await asyncio.to_thread(asked, *OPTIONS, "--no-serve", "--seed", "2", **here)
    assert "another --seed" in other.sentence
    await server.drop(name)


@pytest.fixture
def running(server: Server, demo: FirstDemo, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A second demo, which serves; ended by Ctrl-C at the latest when the test ends."""
    with server.copy(demo.database) as url:
        here = environment(CDP_DATABASE_URL=url, CDP_HOME=tmp_path, PYTHONUNBUFFERED="1")
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [*CDP, *OPTIONS, "--port", "0"],
            cwd=ROOT,
            env=here,
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
