"""An import that fills the disk says so, keeps what it committed, and goes on later."""

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import msgspec
import pytest

from cdp.postgres import embedded
from tests.acceptance.running import cdp

CUSTOMERS = 12_000
NOTE_CHARACTERS = 1_000  # by chance, so that none is compressed: the disk is full after few rows
ROOM, MORE_ROOM = "150m", "2g"  # an empty database needs some 70 MB


def _mount(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 (a constant program)
        ["/bin/mount", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of which the whole is soon used; skips where none can be had."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = _mount("-t", "tmpfs", "-o", f"size={ROOM},mode=755", "tmpfs", folder)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "--lazy", folder], check=True)  # noqa: S603


@pytest.fixture
def disk(open_folder: Path) -> Iterator[Path]:
    """A small disk at a place that the server's own account may pass to."""
    folder = open_folder / "disk"
    folder.mkdir()
    with small_disk(folder) as mounted:
        yield mounted


def _write_customers(path: Path) -> None:
    chance = random.Random(1)
    with path.open("w") as file:
        file.write("id,email,first_name,last_name,note,updated_at\n")
        for number in range(CUSTOMERS):
            note = chance.randbytes(NOTE_CHARACTERS // 2).hex()
            file.write(
                f"{number},p{number}@example.com,Ann,S{number},{note},2024-01-01T00:00:00Z\n"
            )


async def _stored(url: str) -> tuple[int, int, int, str]:
    """Profiles, distinct keys among them, the place to resume, and how the last run ended."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT key),"
            " (SELECT coalesce(max((cursor ->> 'delivered')::int), 0) FROM checkpoint),"
            " (SELECT status FROM sync_run ORDER BY id DESC LIMIT 1) FROM source_profile"
        )
        assert row is not None
        return (row[0], row[1], row[2], row[3])
    finally:
        await connection.close()


def test_full_disk_is_one_sentence_and_the_import_goes_on_when_there_is_room(
    disk: Path, tmp_path: Path
) -> None:
    path, home = tmp_path / "customers.csv", disk / "home"
    _write_customers(path)
    command = ("import", path, "--source", "crm", "--json")

    full = cdp(*command, CDP_HOME=home)
    assert "disk" in full.sentence
    assert msgspec.json.decode(full.out, type=dict[str, str])["error"] == "UNAVAILABLE"
    assert full.out.count("\n") == 1

    assert _mount("-o", f"remount,size={MORE_ROOM}", disk).returncode == 0
    with embedded(home) as url:
        profiles, keys, delivered, _ = asyncio.run(_stored(url))
        # What is told as delivered is stored, and what is stored is told: not a row more.
        assert profiles == keys == delivered < CUSTOMERS
        assert delivered > 0

        resumed = cdp(*command, CDP_HOME=home)
        assert resumed.code == 0, resumed.err
        told = msgspec.json.decode(resumed.out, type=dict[str, object])
        assert (told["new"], told["unchanged"]) == (CUSTOMERS - profiles, 0)
        assert asyncio.run(_stored(url)) == (CUSTOMERS, CUSTOMERS, CUSTOMERS, "ok")


def test_disk_that_is_too_small_for_any_database_is_one_sentence(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(130 * 1024 * 1024))
    refused = cdp("source", "list", CDP_HOME=disk / "home")
    assert "disk" in refused.sentence
