"""Entries of a source's own programme: carried as the source tells them, never earned again."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.loyalty.accounts import Lot
from cdp.loyalty.ledger import RECORDS, Cause, Journal, post, read_lots
from cdp.values import ProfileId, SourceId
from cdp.versions import Driver

ENTRY: Final = "entry"
EARN: Final = "earn"


@dataclass(frozen=True, slots=True)
class Told:
    """One entry, as the source tells it; `points` is negative where points went."""

    profile_id: ProfileId
    source_id: SourceId
    key: str
    kind: str
    points: int
    occurred_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Carried:
    """What becomes of one entry as a lot: the points that it gives, and what was taken of them.

    `took` above `given` is owed.
    """

    given: int
    took: int


def carried(told: Iterable[Told]) -> Mapping[Told, Carried]:
    """What each entry of one profile in one source is as a lot. A pure function of the set.

    What was spent at a moment comes from what was there then and had not expired, soonest first;
    an entry of expiry also takes what its date has expired already. What that leaves is taken from
    points that came later, so that a history told in the wrong order still sums; what nobody had
    is owed. Points that were earned and taken back, a negative entry of earning, were never given:
    they come off what was earned, also off what was spent of it or has expired.
    """
    ordered = sorted(told, key=lambda one: (one.occurred_at, one.key))
    given = {one: one.points for one in ordered if one.points > 0}
    left = dict(given)
    short = {one: -one.points for one in ordered if one.points < 0}
    queue = sorted(given, key=_soonest)
    earned = [lot for lot in queue if lot.kind == EARN]
    for is_late in (False, True):
        for spent in short:
            is_back = spent.kind == EARN
            for lot in earned if is_back else queue:
                if (lot.occurred_at > spent.occurred_at) == is_late and _reaches(spent, lot):
                    part = min(short[spent], left[lot])
                    left[lot] -= part
                    short[spent] -= part
                    given[lot] -= part if is_back else 0
    for back in (one for one in short if one.kind == EARN):
        for lot in earned:
            part = min(short[back], given[lot])
            given[lot] -= part
            left[lot] -= part
            short[back] -= part
    lots = {one: Carried(points, points - left[one]) for one, points in given.items()}
    return lots | {one: Carried(0, points) for one, points in short.items()}


def _soonest(one: Told) -> tuple[bool, float, datetime, str]:
    expires = one.expires_at.timestamp() if one.expires_at is not None else 0.0
    return one.expires_at is None, expires, one.occurred_at, one.key


def _reaches(spent: Told, lot: Told) -> bool:
    """Whether the source can have taken points of that lot then."""
    return spent.kind == "expire" or lot.expires_at is None or spent.occurred_at < lot.expires_at


async def post_entries(connection: AsyncConnection, profile_ids: Collection[ProfileId]) -> None:
    """Carry the entries of the given profiles; the difference to before is posted.

    Idempotent. The caller holds the customers' locks.
    """
    if not profile_ids:
        return
    driver = await driver_of(connection)
    at = await connection.scalar(select(func.now()))
    assert isinstance(at, datetime)
    told = await _told(driver, profile_ids, at)
    stored = {
        lot.identity: lot
        for lot in await read_lots(
            driver,
            "WHERE l.source_profile_id = ANY($1::bigint[]) AND l.origin = 'entry'",
            list(profile_ids),
        )
    }
    journal = Journal(at, list(stored.values()))
    wanted = set()
    for group in _by_source(told):
        for one, become in carried(group).items():
            fresh = _lot_of(one)
            lot = stored.get(fresh.identity, fresh)
            wanted.add(lot.identity)
            if lot is fresh:
                if become == Carried(0, 0):
                    continue
                journal.lots.append(lot)
            _carry(journal, lot, become)
    for identity, lot in stored.items():
        if identity not in wanted:
            _carry(journal, lot, Carried(0, 0))
        journal.settle(lot)
    await post(driver, journal, Cause(RECORDS))


def _carry(journal: Journal, lot: Lot, wanted: Carried) -> None:
    """Bring a lot to what the source gave and what it took."""
    issued, gone = -wanted.given - lot.accounts.issued, wanted.took - lot.accounts.carried
    if issued:
        given = EARN if lot.is_earned else "adjust"
        at = lot.earned_at if lot.id is None else journal.at
        journal.move(lot, given if issued < 0 else "take_back", at, issued=issued)
    if gone:
        journal.move(lot, "carry", journal.at, carried=gone)


def _lot_of(one: Told) -> Lot:
    is_earned = one.kind == EARN and one.points > 0
    return Lot(
        id=None,
        profile_id=one.profile_id,
        origin=ENTRY,
        source_id=one.source_id,
        key=one.key,
        is_earned=is_earned,
        is_qualifying=is_earned,
        is_forgiving=False,
        earned_at=one.occurred_at,
        available_at=one.occurred_at,
        expires_at=one.expires_at,
    )


async def _told(driver: Driver, profile_ids: Collection[ProfileId], at: datetime) -> Sequence[Told]:
    """What sources tell of these profiles, up to a moment."""
    rows = await driver.fetch(
        "SELECT source_profile_id, source_id, key, kind, points, occurred_at, expires_at"
        " FROM loyalty_entry WHERE source_profile_id = ANY($1::bigint[]) AND deleted_at IS NULL"
        " AND points <> 0 AND occurred_at <= $2",
        list(profile_ids),
        at,
    )
    return [Told(*row) for row in rows]


def _by_source(told: Iterable[Told]) -> Iterable[Sequence[Told]]:
    groups: dict[tuple[ProfileId, SourceId], list[Told]] = {}
    for one in told:
        groups.setdefault((one.profile_id, one.source_id), []).append(one)
    return groups.values()
