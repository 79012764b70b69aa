"""`python -m tests.cdp.crowd ROLE SEED NUMBER`: one of several processes at work on one database.

It says that it is ready, and counts aloud what it has committed. A teller applies its share of the
records in small batches; until standard input ends a steward decides, and the clock folds what is
due and changes the rules. Refusals are part of it; whatever else is raised is not.
"""

import asyncio
import os
import random
import select
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import Database, open_database
from cdp.delivery import Batch, Deleted, Received, receive
from cdp.errors import BadInput, NotFound
from cdp.identity.rules import parse_rules
from cdp.ingest import apply
from cdp.refresh import refresh_due
from cdp.rulechange import apply_rules
from tests.cdp.histories import Answer, Decision, Merge, Split, Undo, act, look
from tests.cdp.ingesting import WORKSPACE, a_source
from tests.cdp.telling import Said

SOURCES: Final = ("shop", "till", "mail", "desk")
TELLERS: Final = 4
BATCH: Final = 4
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
RULES: Final = tuple(
    parse_rules(text)
    for text in ("", "most_holders = 5", "most_profiles_per_component = 12\nmost_identifiers = 6")
)


def records(seed: int, count: int) -> list[Said]:
    """What all sources tell of few people with much in common; versioned, so in any order."""
    chance = random.Random(seed)
    return [_record(chance, number, max(6, count // 8)) for number in range(count)]


def _record(chance: random.Random, number: int, people: int) -> Said:
    person, source = chance.randrange(people), chance.choice(SOURCES)
    at = (START + timedelta(hours=number)).isoformat()
    email = f"p{chance.choice((person, person, person // 3))}@example.com"
    phone = f"+1555{2000000 + person // 2:07d}"
    given = {
        "email": email if chance.random() < 0.8 else None,
        "phone": phone if chance.random() < 0.5 else None,
        "updated_at": at,
    }
    kind, key = chance.random(), f"{person}-{chance.randrange(2)}"
    if kind < 0.05:
        return source, Deleted("customers", key, START + timedelta(hours=number))
    if kind < 0.55:
        card = f"C{person}" if chance.random() < 0.2 else None
        name = ("Ann", "Bob", "Cid", "Dora")[person % 4]
        row = {**given, "id": key, "first_name": name, "loyalty_card": card}
        return source, _received("customers", row)
    if kind < 0.85:
        whose = {"customer_id": key} if chance.random() < 0.5 else given
        order = {"id": f"o{chance.randrange(3 * people)}", "placed_at": at, "currency": "EUR"}
        return source, _received("orders", {**order, **whose, "total": "5", "updated_at": at})
    order_id = f"o{chance.randrange(3 * people)}"
    refund = {"refunded_at": START.isoformat(), "amount": "1", "currency": "EUR"}
    return source, _received("refunds", {**refund, "id": order_id, "order_id": order_id})


def _received(stream: str, row: Mapping[str, object]) -> Received:
    delivery = receive(stream, row)
    assert isinstance(delivery, Received), delivery
    return delivery


def share(said: Sequence[Said], seed: int, number: int) -> list[Said]:
    """What one teller tells: its part, whichever the source, and some of the others' again."""
    chance = random.Random(seed * 1_000 + number)
    mine = [one for place, one in enumerate(said) if place % TELLERS == number]
    mine += chance.choices(said, k=len(said) // 12)
    chance.shuffle(mine)
    return mine


async def tell(database: Database, said: Sequence[Said]) -> None:
    """Apply in small batches of one source each, each in its transaction."""
    for start in range(0, len(said), BATCH):
        part = said[start : start + BATCH]
        for name in sorted({source for source, _ in part}):
            deliveries = [delivery for source, delivery in part if source == name]
            async with database.transaction() as connection:
                batch = Batch(await a_source(connection, name), deliveries)
                await apply(connection, batch, WORKSPACE)


async def _steward(database: Database, chance: random.Random) -> None:
    acts = 0
    while not _is_over():
        with suppress(BadInput, NotFound):
            async with database.transaction() as connection:
                await _act(connection, chance)
        acts += 1
        print(acts, flush=True)
        # Whoever decides reads what others are writing: let them write.
        await asyncio.sleep(chance.random() / 50)


async def _act(connection: AsyncConnection, chance: random.Random) -> None:
    pick, other = chance.randrange(10**6), chance.randrange(10**6)
    step: Decision = chance.choice(
        (
            Merge((pick, other)),
            Split(pick, chance.randrange(1, 16)),
            Undo(pick),
            Undo(pick),
            Answer(pick, same=chance.random() < 0.5),
        )
    )
    await act(connection, step, (await look(connection))[0])


async def _clock(database: Database, chance: random.Random) -> None:
    changes = 0
    while not _is_over():
        await refresh_due(database, WORKSPACE)
        async with database.transaction() as connection:
            rules = chance.choice(RULES)
            await apply_rules(connection, rules, WORKSPACE, actor="ann", reason="Other rules.")
        changes += 1
        print(changes, flush=True)
        await asyncio.sleep(chance.random() / 5)
    async with database.transaction() as connection:
        await apply_rules(connection, RULES[0], WORKSPACE, actor="ann", reason="The usual rules.")


def _is_over() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


async def _main(role: str, seed: int, count: int, number: int) -> None:
    async with open_database(os.environ["CDP_DATABASE_URL"]) as database:
        print("ready", flush=True)
        if role == "tell":
            await tell(database, share(records(seed, count), seed, number))
        elif role == "decide":
            await _steward(database, random.Random(seed * 1_000 + 100 + number))
        else:
            await _clock(database, random.Random(seed * 1_000 + 200))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], *map(int, sys.argv[2:])))
