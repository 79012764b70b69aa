"""The ledger of points: reads lots, moves points between their accounts, posts what was moved.

Append-only: an entry is a difference and is never changed; a lot's accounts are the sum of its
entries. The caller holds the locks of the customers whose lots it moves.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from cdp.loyalty.accounts import (
    ACCOUNT_NAMES,
    NOTHING,
    Accounts,
    Lot,
    is_due,
    settled,
    soonest_first,
)
from cdp.values import ProfileId
from cdp.versions import Driver

RECORDS: Final = "records"
CLOCK: Final = "clock"

_LOT_COLUMNS: Final = (
    "source_profile_id", "origin", "source_id", "key", "is_earned", "is_qualifying",
    "is_forgiving", "earned_at", "available_at", "expires_at",
)  # fmt: skip
_ENTRY_COLUMNS: Final = (
    "transaction_id", "lot_id", "source_profile_id", "kind", "occurred_at", "parts",
    *ACCOUNT_NAMES,
)  # fmt: skip
_SELECT: Final = (
    f"SELECT l.id, {', '.join(f'l.{name}' for name in (*_LOT_COLUMNS, *ACCOUNT_NAMES))}"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why points move: `name` is records, clock, or the act; the rest as the transaction has it."""

    name: str
    actor: str = "system"
    reason: str = ""
    key: str | None = None
    digest: bytes | None = None
    reward: str | None = None
    about_id: int | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a transaction adds to each account of one lot."""

    lot: Lot
    kind: str
    occurred_at: datetime
    difference: Accounts
    parts: dict[str, int] | None


@dataclass(slots=True)
class Journal:
    """Lots that are being moved at one moment, and the entries that did it."""

    at: datetime
    lots: list[Lot] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def move(
        self,
        lot: Lot,
        kind: str,
        occurred_at: datetime,
        parts: dict[str, int] | None = None,
        **points: int,
    ) -> None:
        """Add points to accounts of a lot, and put what is left of it where it belongs."""
        after = settled(lot, lot.accounts.plus(**points), self.at)
        difference = after.minus(lot.accounts)
        if any(difference.values):
            self.entries.append(Entry(lot, kind, occurred_at, difference, parts))
            lot.accounts = after

    def settle(self, lot: Lot) -> None:
        """What time alone has changed: points that matured or expired."""
        if not is_due(lot, self.at):
            return
        at, kind = lot.available_at, "mature"
        if lot.expires_at is not None and self.at >= lot.expires_at:
            at, kind = lot.expires_at, "expire"
        self.move(lot, kind, at)

    def repay(self) -> None:
        """What one lot of a profile owes, its other lots pay, soonest first."""
        by_profile: dict[ProfileId, list[Lot]] = {}
        for lot in self.lots:
            by_profile.setdefault(lot.profile_id, []).append(lot)
        for lots in by_profile.values():
            debtors = [lot for lot in lots if lot.accounts.owed < 0]
            payers = soonest_first(lots) if debtors else ()
            for debtor in soonest_first(debtors):
                self._repay(debtor, payers)

    def _repay(self, debtor: Lot, payers: Iterable[Lot]) -> None:
        for payer in payers:
            points = min(-debtor.accounts.owed, payer.accounts.available)
            if points > 0:
                self.move(payer, "repay", self.at, settled=points)
                self.move(debtor, "repay", self.at, settled=-points)


async def read_lots(driver: Driver, condition: str, *arguments: object) -> list[Lot]:
    """The lots `l` of a condition, which begins with WHERE or JOIN; its texts are our own."""
    rows = await driver.fetch(f"{_SELECT} FROM points_lot l {condition}", *arguments)
    return [_lot(row) for row in rows]


def _lot(row: asyncpg.Record) -> Lot:
    return Lot(
        id=row["id"],
        profile_id=row["source_profile_id"],
        **{name: row[name] for name in _LOT_COLUMNS[1:]},
        accounts=Accounts(*(row[name] for name in ACCOUNT_NAMES)),
    )


async def lots_of(driver: Driver, profile_ids: Collection[ProfileId]) -> list[Lot]:
    """Every lot of the given profiles."""
    return await read_lots(
        driver, "WHERE l.source_profile_id = ANY($1::bigint[])", list(profile_ids)
    )


async def post(driver: Driver, journal: Journal, cause: Cause) -> int | None:
    """Repay what can be repaid and write the entries; returns the transaction, None without any.

    An act is written without entries too, so that its key is known.
    """
    await _add_debts(driver, journal)
    journal.repay()
    if not journal.entries and cause.key is None:
        return None
    transaction_id = await driver.fetchval(
        "INSERT INTO points_transaction (cause, key, digest, recorded_at, actor, reason, reward,"
        " about_id, held_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
        cause.name, cause.key, cause.digest, journal.at, cause.actor, cause.reason, cause.reward,
        cause.about_id, cause.held_until,
    )  # fmt: skip
    assert isinstance(transaction_id, int)
    await _write_lots(driver, journal)
    await driver.copy_records_to_table(
        "points_entry",
        columns=_ENTRY_COLUMNS,
        records=[
            (
                transaction_id, one.lot.id, one.lot.profile_id, one.kind, one.occurred_at,
                None if one.parts is None else msgspec.json.encode(one.parts).decode(),
                *one.difference.values,
            )
            for one in journal.entries
        ],
    )  # fmt: skip
    return transaction_id


async def _add_debts(driver: Driver, journal: Journal) -> None:
    """The other lots of profiles that owe, or that have points and may owe."""
    profiles = {entry.lot.profile_id for entry in journal.entries}
    if not profiles:
        return
    known = [lot.id for lot in journal.lots if lot.id is not None]
    owing = {lot.profile_id for lot in journal.lots if lot.accounts.owed < 0}
    owing |= {
        row[0]
        for row in await driver.fetch(
            "SELECT DISTINCT source_profile_id FROM points_lot"
            " WHERE source_profile_id = ANY($1::bigint[]) AND owed < 0 AND id <> ALL($2::bigint[])",
            list(profiles),
            known,
        )
    }
    if owing:
        others = await read_lots(
            driver,
            "WHERE l.source_profile_id = ANY($1::bigint[]) AND (l.owed < 0 OR l.available > 0)"
            " AND l.id <> ALL($2::bigint[])",
            list(owing),
            known,
        )
        journal.lots += others
        for lot in others:
            journal.settle(lot)


async def _write_lots(driver: Driver, journal: Journal) -> None:
    """New lots, and the accounts of those that were moved."""
    moved = {id(entry.lot): entry.lot for entry in journal.entries}
    fresh = [lot for lot in moved.values() if lot.id is None]
    stored = [lot for lot in moved.values() if lot.id is not None]
    if fresh:
        ids = await driver.fetch(
            "SELECT nextval('points_lot_id_seq') FROM generate_series(1, $1)", len(fresh)
        )
        for lot, row in zip(fresh, ids, strict=True):
            lot.id = row[0]
        await driver.copy_records_to_table(
            "points_lot",
            columns=("id", *_LOT_COLUMNS, *ACCOUNT_NAMES),
            records=[_lot_row(lot) for lot in fresh],
        )
    if stored:
        columns = list(zip(*((lot.id, *lot.accounts.values) for lot in stored), strict=True))
        names = ", ".join(f"{name} = k.{name}" for name in ACCOUNT_NAMES)
        arrays = ", ".join(f"${n}::bigint[]" for n in range(1, len(columns) + 1))
        await driver.execute(
            f"UPDATE points_lot l SET {names}"  # noqa: S608  # names are our own constants
            f" FROM unnest({arrays}) AS k(id, {', '.join(ACCOUNT_NAMES)}) WHERE l.id = k.id",
            *(list(column) for column in columns),
        )


def _lot_row(lot: Lot) -> tuple[object, ...]:
    return (
        lot.id, lot.profile_id, lot.origin, lot.source_id, lot.key, lot.is_earned,
        lot.is_qualifying, lot.is_forgiving, lot.earned_at, lot.available_at, lot.expires_at,
        *lot.accounts.values,
    )  # fmt: skip


def issue(journal: Journal, lot: Lot, points: int, kind: str, parts: dict[str, int]) -> None:
    """Bring what a lot is entitled to, to so many points."""
    if points == -lot.accounts.issued:
        return
    is_new = lot.accounts == NOTHING and lot.id is None
    journal.move(
        lot,
        kind,
        lot.earned_at if is_new else journal.at,
        parts or None,
        issued=-points - lot.accounts.issued,
    )
