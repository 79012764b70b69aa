"""A sync or an import that is killed outright, over and over, loses nothing and doubles nothing."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from cdp.database import open_database
from cdp.postgres import embedded
from cdp.sources import add_source
from cdp.tables import checkpoint, source, sync_run
from connectors.sandbox.business import desk
from connectors.sandbox.business.business import ACCOUNTS, open_business, write_files
from connectors.sandbox.server import serving
from tests.acceptance.databases import Databases
from tests.acceptance.held import Held, held, require_same
from tests.acceptance.killing import killed_until_done
from tests.acceptance.running import asked, finished, start

pytestmark = pytest.mark.anyio

UNTIL = datetime(2026, 6, 15, 12, tzinfo=UTC)
POSTGRES_KILLS = 10
MOST_ROUNDS = 60  # of a proof: each round is killed at least once unless the machine is in trouble
SYNC = ("sync", "--json")


@dataclass(frozen=True, slots=True)
class Vendors:
    """The sample business behind its emulators, served by this process."""

    addresses: Mapping[str, str]
    folder: Path

    async def configure(self, url: str) -> None:
        """Configure its sources in a database."""
        async with open_database(url) as database, database.transaction() as connection:
            for name, address in self.addresses.items():
                account = ACCOUNTS[name]
                settings = {**account.settings, "url": address}
                await add_source(connection, name, account.connector, settings)
            await add_source(connection, desk.SOURCE, "file", {"path": str(self.folder)})


async def _serve(stack: AsyncExitStack, people: int, folder: Path) -> Vendors:
    business = open_business(1, people, UNTIL)
    write_files(business, folder)
    addresses = {
        name: await stack.enter_async_context(serving(vendor.app))
        for name, vendor in business.vendors.items()
    }
    return Vendors(addresses, folder)


async def _require_sane_runs(url: str, kills: int) -> None:
    """Each stream was taken up at most as often as its source was run, and no run still runs."""
    async with open_database(url) as database, database.read_only() as connection:
        runs = Counter[int]()
        for row in await connection.execute(
            select(sync_run.c.source_id, sync_run.c.status).order_by(sync_run.c.id)
        ):
            runs[row.source_id] += 1
            assert row.status in ("ok", "failed")
        finished_last = (
            select(sync_run.c.status)
            .where(sync_run.c.source_id == source.c.id)
            .order_by(sync_run.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        assert set(await connection.scalars(select(finished_last))) == {"ok"}
        for row in await connection.execute(select(checkpoint)):
            assert 1 <= row.epoch <= runs[row.source_id] <= kills + 1
            assert row.cursor is not None
        assert await connection.scalar(select(func.count()).select_from(checkpoint))


async def _uninterrupted(command: Sequence[str], url: str) -> Held:
    said = await asyncio.to_thread(asked, *command, CDP_DATABASE_URL=url)
    assert said.code == 0, said.err
    return await held(url)


async def _changes(command: Sequence[str], url: str) -> int:
    """What a further run finds to be new or changed."""
    said = await asyncio.to_thread(asked, *command, CDP_DATABASE_URL=url)
    assert said.code == 0, said.err
    found = 0
    for line in said.out.splitlines():
        told = msgspec.json.decode(line, type=dict[str, object])
        counts = told.get("counts", told)
        assert isinstance(counts, dict)
        found += sum(counts.get(name, 0) for name in ("new", "changed", "deleted"))
    return found


async def _kill_syncs(databases: Databases, people: int, folder: Path, kills: int) -> None:
    chance = random.Random(kills)
    async with AsyncExitStack() as stack:
        vendors = await _serve(stack, people, folder)
        reference = await databases.fresh()
        await vendors.configure(reference)
        wanted = await _uninterrupted(SYNC, reference)
        left = kills
        for _ in range(MOST_ROUNDS):
            url = await databases.fresh()
            await vendors.configure(url)
            killed = await killed_until_done(SYNC, {"CDP_DATABASE_URL": url}, url, chance, left)
            assert killed.last.code == 0, killed.last.err
            require_same(await held(url), wanted)
            await _require_sane_runs(url, killed.kills)
            assert await _changes(SYNC, url) == 0
            left -= killed.kills
            if not left:
                return
    pytest.fail(f"{left} of {kills} kills came too late")


async def test_killed_sync_ends_as_an_uninterrupted_one(
    databases: Databases, tmp_path: Path
) -> None:
    await _kill_syncs(databases, 60, tmp_path, kills=2)


@pytest.mark.prove
async def test_fifty_kills_of_a_sync_lose_and_double_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    await _kill_syncs(databases, 1_500, tmp_path, kills=50)


def _write_history(folder: Path, people: int) -> None:
    """Customers of whom every third shares another's address, guests, orders and refunds."""
    folder.mkdir()
    chance = random.Random(people)
    names = ("Ann", "Bob", "Cid", "Dora", "Eve")
    with (folder / "customers.csv").open("w") as file:
        file.write("id,email,phone,first_name,last_name,updated_at\n")
        for number in range(people):
            person = number if number % 3 else chance.randrange(number + 1)
            email = f"person{person}@example.com" if number % 7 else ""
            phone = f"+44 7700 900{person % 1000:03}" if number % 11 == 0 else ""
            name = f"{names[person % len(names)]},Smith{person}"
            file.write(f"{number},{email},{phone},{name},2024-01-{1 + number % 28:02}T00:00:00Z\n")
    with (folder / "orders.jsonl").open("wb") as lines, (folder / "refunds.csv").open("w") as file:
        file.write("id,order_id,refunded_at,amount,currency\n")
        for number in range(2 * people):
            whose = (
                {"email": f"person{chance.randrange(2 * people)}@example.com"}
                if number % 5 == 0
                else {"customer_id": str(chance.randrange(people))}
            )
            order = {
                "id": f"o{number}",
                "placed_at": f"2024-{1 + number % 12:02}-{1 + number % 28:02}T10:00:00Z",
                "currency": "EUR",
                "total": f"{chance.randrange(100, 20_000) / 100:.2f}",
                "lines": [{"title": "Tea", "quantity": "1", "unit_price": "1.00"}],
            }
            lines.write(msgspec.json.encode({**order, **whose}) + b"\n")
            if number % 9 == 0:
                file.write(f"r{number},o{number},2025-01-01T00:00:00Z,1.00,EUR\n")
        lines.write(b'{"id": "broken", "placed_at": "yesterday"}\n')


async def _kill_imports(databases: Databases, people: int, folder: Path, kills: int) -> None:
    chance = random.Random(kills)
    _write_history(folder, people)
    command = ("import", str(folder), "--source", "shop", "--json")
    wanted = await _uninterrupted(command, await databases.fresh())
    assert wanted["sales_order"].total() == 2 * people
    left = kills
    for _ in range(MOST_ROUNDS):
        url = await databases.fresh()
        killed = await killed_until_done(command, {"CDP_DATABASE_URL": url}, url, chance, left)
        assert killed.last.code == 0, killed.last.err
        require_same(await held(url), wanted)
        assert await _changes(command, url) == 0
        left -= killed.kills
        if not left:
            return
    pytest.fail(f"{left} of {kills} kills came too late")


async def test_killed_import_ends_as_an_uninterrupted_one(
    databases: Databases, tmp_path: Path
) -> None:
    await _kill_imports(databases, 1_000, tmp_path / "history", kills=2)


@pytest.mark.prove
async def test_import_survives_the_death_of_its_postgresql(
    databases: Databases, open_folder: Path, tmp_path: Path
) -> None:
    """The import ends in one sentence, or not at all; the next one goes on."""
    chance, history, home = random.Random(10), tmp_path / "history", open_folder / "home"
    _write_history(history, 30_000)
    command = ("import", str(history), "--source", "shop", "--json")
    wanted = await _uninterrupted(command, await databases.fresh())
    kills = 0
    for _ in range(MOST_ROUNDS):
        process = await start(*command, CDP_HOME=home)
        ending = asyncio.create_task(finished(process))
        while process.returncode is None and kills < POSTGRES_KILLS:
            await asyncio.sleep(chance.uniform(0.5, 2.5))
            with suppress(OSError, ValueError):  # it does not run yet
                pid = home / "postgres" / "data" / "postmaster.pid"
                os.kill(int(pid.read_text().splitlines()[0]), signal.SIGKILL)
                kills += 1
        said = await ending
        if said.code == 0:
            break
        assert said.sentence
    assert said.code == 0
    assert kills > 1
    with embedded(home) as url:
        require_same(await held(url), wanted)


@pytest.mark.prove
async def test_fifty_kills_of_an_import_lose_and_double_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    await _kill_imports(databases, 40_000, tmp_path / "history", kills=50)
