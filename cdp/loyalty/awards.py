"""What is given beyond orders: on birthdays, for challenges, for referrals; each once per customer.

An award is an act of the platform: once given it stays with its source profile, like any points.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

import asyncpg

from cdp.loyalty.accounts import Lot
from cdp.loyalty.ledger import Journal, issue
from cdp.loyalty.members import members_of
from cdp.loyalty.programme import Challenge, Referral
from cdp.loyalty.spend import best_day_between, bought_between
from cdp.loyalty.terms import Terms
from cdp.values import CustomerId, ProfileId
from cdp.versions import Driver

LATE_DAYS: Final = 30
"""After its day an award is still given for so long: the clock may have stood, a record be late."""

LEAST_SPEND: Final = Decimal("0.01")
"""Who was brought has bought something, however little the programme asks for."""

AWARD: Final = "award"


@dataclass(frozen=True, slots=True)
class Award:
    """Something that is due: `customer_id` has earned it, `profile_id` gets it."""

    customer_id: CustomerId
    profile_id: ProfileId
    name: str
    points: int
    badge: str | None


async def due_awards(
    driver: Driver, members: Collection[CustomerId], terms: Terms, at: datetime
) -> Sequence[Award]:
    """What the given members have earned and were not given yet."""
    ids = sorted(members)
    programme = terms.programme
    due: list[Award] = []
    if not ids:
        return due
    if programme.birthday is not None:
        due += [
            Award(customer_id, ProfileId(customer_id), f"birthday:{on.year}",
                  programme.birthday.points, None)
            for customer_id, on in (await _birthdays(driver, ids, terms, at)).items()
        ]  # fmt: skip
    for challenge in programme.challenge:
        due += await _met(driver, ids, challenge, terms, terms.day_of(at))
    if programme.referral is not None:
        due += await _bought(driver, ids, programme.referral, terms, at)
    return await _not_given(driver, due)


async def next_award_at(
    driver: Driver, members: Collection[CustomerId], terms: Terms, at: datetime
) -> Mapping[CustomerId, datetime]:
    """When the given members next have a birthday that the programme rewards."""
    if terms.programme.birthday is None or not members:
        return {}
    today = terms.day_of(at)
    rows = await driver.fetch(_BIRTH_DATES, sorted(members))
    return {
        row["id"]: terms.midnight(
            next(
                on
                for year in (today.year, today.year + 1)
                if (on := birthday_in(year, row["birth_date"])) > today
            )
        )
        for row in rows
    }


_BIRTH_DATES: Final = (
    "SELECT id, birth_date, created_at FROM customer"
    " WHERE id = ANY($1::bigint[]) AND birth_date IS NOT NULL"
)


def birthday_in(year: int, born: date) -> date:
    """The birthday of a year; who was born on 29 February has it on the 28th of common years."""
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


async def _birthdays(
    driver: Driver, ids: Sequence[CustomerId], terms: Terms, at: datetime
) -> Mapping[CustomerId, date]:
    """The members' latest birthdays that are not too long ago, nor before they or it began."""
    today = terms.day_of(at)
    found = {}
    for row in await driver.fetch(_BIRTH_DATES, ids):
        on = birthday_in(today.year, row["birth_date"])
        if on > today:
            on = birthday_in(today.year - 1, row["birth_date"])
        began = max(terms.day_of(row["created_at"]), terms.day_of(terms.starts_at))
        if on >= began and today - on <= timedelta(days=LATE_DAYS):
            found[row["id"]] = on
    return found


async def _met(
    driver: Driver, ids: Sequence[CustomerId], challenge: Challenge, terms: Terms, today: date
) -> list[Award]:
    """Members who have reached a challenge's goal with what stands of their orders."""
    if not challenge.starts_on <= today <= challenge.ends_on + timedelta(days=LATE_DAYS):
        return []
    first, last = challenge.starts_on, challenge.ends_on
    rows = await bought_between(driver, ids, terms, first, last, challenge.category)
    name = f"challenge:{challenge.name}"
    return [
        Award(customer_id, ProfileId(customer_id), name, challenge.points, challenge.badge)
        for customer_id, orders, spend, of_category in rows
        if _is_met(challenge, orders, spend if challenge.category is None else of_category)
    ]


def _is_met(challenge: Challenge, orders: int, spend: Decimal) -> bool:
    if challenge.orders is not None:
        return orders >= challenge.orders
    return challenge.spend is not None and spend >= challenge.spend


async def _bought(
    driver: Driver, ids: Sequence[CustomerId], referral: Referral, terms: Terms, at: datetime
) -> list[Award]:
    """For both sides of referrals whose referee, one of the given, has bought enough in time.

    The referrer's side only where they may be given something too: a suspended one waits until they
    are taken in again.
    """
    brought = await driver.fetch(
        "SELECT r.id, p.customer_id, r.referrer_profile_id, r.referee_profile_id, r.at,"
        " brought_by.customer_id AS referrer_id"
        " FROM unnest($1::bigint[]) AS given(id) JOIN source_profile p ON p.customer_id = given.id"
        " JOIN loyalty_referral r ON r.referee_profile_id = p.id"
        " JOIN source_profile brought_by ON brought_by.id = r.referrer_profile_id",
        ids,
    )
    referrers = sorted({row["referrer_id"] for row in brought})
    rewarded = await members_of(driver, referrers, terms, at) if referrers else set()
    due = []
    for row in brought:
        if row["customer_id"] == row["referrer_id"]:  # merged since: nobody brings themselves
            continue
        since = terms.day_of(row["at"])
        until = since + timedelta(days=referral.within_days)
        spent = await best_day_between(driver, row["customer_id"], terms, since, until)
        if spent >= max(referral.least_spend, LEAST_SPEND):
            due += _sides(row, referral, rewards_referrer=row["referrer_id"] in rewarded)
    return due


def _sides(row: asyncpg.Record, referral: Referral, *, rewards_referrer: bool) -> list[Award]:
    referrer_points = referral.referrer_points if rewards_referrer else 0
    sides = (
        ("referrer", row["referrer_profile_id"], referrer_points),
        ("referee", row["referee_profile_id"], referral.referee_points),
    )
    return [
        Award(row["customer_id"], profile_id, f"referral:{row['id']}:{side}", points, None)
        for side, profile_id, points in sides
        if points
    ]


async def _not_given(driver: Driver, due: Sequence[Award]) -> Sequence[Award]:
    """Without what any source profile of the same customer was given already."""
    if not due:
        return due
    rows = await driver.fetch(
        "SELECT k.place FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY"
        " AS k(profile_id, name, place)"
        " JOIN source_profile p ON p.id = k.profile_id"
        " JOIN source_profile mine ON mine.customer_id = p.customer_id"
        " JOIN loyalty_award a ON a.source_profile_id = mine.id AND a.name = k.name",
        [one.profile_id for one in due],
        [one.name for one in due],
    )
    given = {row[0] for row in rows}
    return [one for place, one in enumerate(due, 1) if place not in given]


async def give(driver: Driver, awards: Sequence[Award], terms: Terms, journal: Journal) -> None:
    """Write down what is given, and its points into the journal."""
    for one in awards:
        if one.points:
            lot = Lot(
                id=None,
                profile_id=one.profile_id,
                origin=AWARD,
                source_id=None,
                key=one.name,
                is_earned=True,
                is_qualifying=False,
                is_forgiving=False,
                earned_at=journal.at,
                available_at=journal.at,
                expires_at=terms.expires_at(journal.at),
            )
            journal.lots.append(lot)
            issue(journal, lot, one.points, "award", {one.name: one.points})
    await driver.executemany(
        "INSERT INTO loyalty_award (source_profile_id, name, at, badge, points)"
        " VALUES ($1, $2, $3, $4, $5)",
        [(one.profile_id, one.name, journal.at, one.badge, one.points) for one in awards],
    )
