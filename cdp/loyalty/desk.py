"""Where acts on points are done: the customer locked, the lots settled, the key looked up."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.customers import lock_customers
from cdp.database import driver as driver_of
from cdp.errors import BadInput, KeyReused, NotFound
from cdp.loyalty.accounts import Lot, taken
from cdp.loyalty.fold import refresh_loyalty
from cdp.loyalty.ledger import Cause, Journal, post, read_lots
from cdp.loyalty.programme import Reward
from cdp.loyalty.refusals import (
    InsufficientPoints,
    NoProgramme,
    Suspended,
    TierTooLow,
    UnknownReward,
)
from cdp.loyalty.terms import Terms, in_force, read_terms
from cdp.values import MAX_ACT_KEY, MAX_REASON, CustomerId, ProfileId
from cdp.versions import Driver


@dataclass(frozen=True, slots=True)
class Act:
    """Who acts, why, and the key by which it is done once. Raises BadInput for empty or long ones.

    A key is the caller's own: of an order at the till, of a click. The same key with the same act
    gives the same answer again and moves nothing.
    """

    key: str
    actor: str
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be kept."""
        for name, text, most in (
            ("key", self.key, MAX_ACT_KEY),
            ("reason", self.reason, MAX_REASON),
        ):
            if len(text) > most or "\0" in text:
                raise BadInput(f"A {name} has at most {most} characters.", path=name)
        if not self.key.strip():
            raise BadInput("An act needs a key.", todo="Give one that names this act.", path="key")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an act did: `points` that came (negative: went), and what can be spent after it.

    `is_repeat`: it had been done before, under the same key.
    """

    transaction_id: int
    customer_id: CustomerId
    points: int
    balance: int
    is_repeat: bool


_OPEN_LOTS: Final = (
    "WHERE l.source_profile_id = ANY($1::bigint[])"
    " AND (l.pending > 0 OR l.available > 0 OR l.held > 0 OR l.owed < 0)"
)


@dataclass(slots=True)
class Desk:
    """One act on its way: the customer locked, the lots settled at the moment of the act.

    `repeated`: the transaction that did it before, under the same key.
    """

    connection: AsyncConnection
    driver: Driver
    act: Act
    name: str
    digest: bytes
    customer_id: CustomerId
    profile_ids: set[ProfileId]
    terms: Terms
    status: str
    tier_rank: int | None
    journal: Journal
    repeated: int | None

    def refuse_suspended(self) -> None:
        """Raises Suspended."""
        if self.status == "SUSPENDED":
            raise Suspended

    def landing(self, profile_id: ProfileId | None) -> ProfileId:
        """Where points land: the named profile, else the earliest, whose id the customer bears.

        Raises BadInput for a profile that is not the customer's.
        """
        if profile_id is None:
            return ProfileId(self.customer_id)
        if profile_id not in self.profile_ids:
            raise BadInput(
                f"Source profile {profile_id} is not of customer {self.customer_id}.",
                path="sourceProfileId",
            )
        return profile_id

    @property
    def balance(self) -> int:
        """What can be spent: what is available, less what is owed."""
        lots = [lot for lot in self.journal.lots if lot.profile_id in self.profile_ids]
        return sum(lot.accounts.available + lot.accounts.owed for lot in lots)

    def take(self, points: int, path: str = "points") -> list[tuple[Lot, int]]:
        """The lots that so many points come from. Raises InsufficientPoints at the path."""
        if points > self.balance:
            raise InsufficientPoints(points, self.balance, path)
        return taken(self.journal.lots, points)

    async def reward(self, name: str) -> Reward:
        """A reward that the customer may take. Raises UnknownReward, TierTooLow."""
        rewards = self.terms.programme.reward
        found = next((one for one in rewards if one.name == name), None)
        if found is None:
            raise UnknownReward(name, ", ".join(one.name for one in rewards))
        tiers = self.terms.programme.tiers
        if found.least_tier is not None and tiers is not None:
            least = [level.name for level in tiers.levels].index(found.least_tier)
            if self.tier_rank is None or self.tier_rank < least:
                raise TierTooLow(name, found.least_tier)
        return found

    async def lots(self, lot_ids: Sequence[int]) -> dict[int | None, Lot]:
        """The lots of another act by id; some may be spent, or parted from the customer since."""
        known = {lot.id: lot for lot in self.journal.lots}
        missing = [one for one in lot_ids if one not in known]
        others = await read_lots(self.driver, "WHERE l.id = ANY($1::bigint[])", missing)
        self.journal.lots += others
        return known | {lot.id: lot for lot in others}

    async def close(
        self,
        *,
        reward: str | None = None,
        about_id: int | None = None,
        held_until: datetime | None = None,
    ) -> Receipt:
        """Post, fold the customer, and tell what it came to."""
        transaction_id = self.repeated
        if transaction_id is None:
            cause = Cause(
                self.name, self.act.actor, self.act.reason, self.act.key, self.digest, reward,
                about_id, held_until,
            )  # fmt: skip
            transaction_id = await post(self.driver, self.journal, cause)
            touched = {lot.profile_id for lot in self.journal.lots} | self.profile_ids
            customers = await self.driver.fetch(
                "SELECT DISTINCT customer_id FROM source_profile WHERE id = ANY($1::bigint[])",
                list(touched),
            )
            await refresh_loyalty(self.connection, [row[0] for row in customers])
            await outbox.note(self.connection, [row[0] for row in customers], "loyalty")
        assert transaction_id is not None
        points = await self.driver.fetchval(
            "SELECT coalesce(sum(available + owed), 0)::bigint FROM points_entry"
            " WHERE transaction_id = $1 AND kind NOT IN ('mature', 'expire', 'repay')",
            transaction_id,
        )
        return Receipt(
            transaction_id, self.customer_id, points, self.balance, self.repeated is not None
        )


async def open_desk(
    connection: AsyncConnection,
    customer_id: CustomerId,
    act: Act,
    name: str,
    asked: list[object],
    also: Collection[ProfileId] = (),
) -> Desk:
    """Lock the customer, read and settle the lots, and look whether the key was used.

    `also`: source profiles whose lots the act moves, whosoever's they are since a split.

    Raises NotFound, NoProgramme, and KeyReused where the key belongs to another act.
    """
    driver = await driver_of(connection)
    # Two that bring one key at once take turns, whomever they name.
    await driver.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 7365004))", act.key)
    await lock_customers(connection, {ProfileId(customer_id), *also})
    survivor = await driver.fetchval(
        "SELECT customer_id FROM source_profile WHERE id = $1", customer_id
    )
    if survivor is None:
        raise NotFound(
            f"There is no customer {customer_id}.",
            todo="Search for the customer.",
            path="customerId",
        )
    at = await driver.fetchval("SELECT now()")
    terms = in_force(await read_terms(driver), at)
    if terms is None:
        raise NoProgramme
    profiles = await driver.fetch("SELECT id FROM source_profile WHERE customer_id = $1", survivor)
    row = await driver.fetchrow(
        "SELECT loyalty_status, loyalty_tier_rank FROM customer WHERE id = $1", survivor
    )
    assert row is not None, "it is locked"
    ids = {ProfileId(one["id"]) for one in profiles}
    journal = Journal(at, await read_lots(driver, _OPEN_LOTS, list(ids)))
    digest = hashlib.sha256(msgspec.json.encode([name, *asked])).digest()
    repeated = await _repeated(driver, act.key, digest, ids)
    if repeated is None:
        for lot in journal.lots:
            journal.settle(lot)
    return Desk(
        connection, driver, act, name, digest, survivor, ids, terms, row["loyalty_status"],
        row["loyalty_tier_rank"], journal, repeated,
    )  # fmt: skip


async def _repeated(
    driver: Driver, key: str, digest: bytes, profile_ids: set[ProfileId]
) -> int | None:
    """The transaction of the key, if it is of the same act on the same customer."""
    row = await driver.fetchrow(
        "SELECT t.id, t.digest, EXISTS (SELECT FROM points_entry e WHERE e.transaction_id = t.id"
        " AND e.source_profile_id = ANY($2::bigint[])) AS is_theirs"
        " FROM points_transaction t WHERE t.key = $1",
        key,
        list(profile_ids),
    )
    if row is None:
        return None
    if row["digest"] != digest or not row["is_theirs"]:
        raise KeyReused(key)
    assert isinstance(row["id"], int)
    return row["id"]


async def find_act(driver: Driver, key: str) -> asyncpg.Record:
    """A transaction by its key, with the customer whose lots it moved. Raises NotFound."""
    row = await driver.fetchrow(
        "SELECT t.*, (SELECT p.customer_id FROM points_entry e JOIN source_profile p"
        " ON p.id = e.source_profile_id WHERE e.transaction_id = t.id ORDER BY e.id LIMIT 1)"
        " AS customer_id FROM points_transaction t WHERE t.key = $1",
        key,
    )
    if row is None or row["customer_id"] is None:
        raise NotFound(f"No act on points has the key {key!r}.")
    return row


async def profiles_of_act(driver: Driver, transaction_id: int) -> Sequence[ProfileId]:
    """The source profiles whose lots an act moved."""
    rows = await driver.fetch(
        "SELECT DISTINCT source_profile_id FROM points_entry WHERE transaction_id = $1",
        transaction_id,
    )
    return [row[0] for row in rows]


async def is_closed(driver: Driver, transaction_id: int) -> bool:
    """Whether another transaction speaks about this one: a hold is closed, an act taken back."""
    found = await driver.fetchval(
        "SELECT EXISTS (SELECT FROM points_transaction WHERE about_id = $1)", transaction_id
    )
    return bool(found)
