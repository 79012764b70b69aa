"""What the clock makes due: points that mature or expire, holds that lapse, awards, tiers."""

from collections.abc import Collection
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.customers import lock_customers
from cdp.database import Database
from cdp.database import driver as driver_of
from cdp.loyalty.awards import due_awards, give
from cdp.loyalty.carried import post_entries
from cdp.loyalty.fold import refresh_loyalty
from cdp.loyalty.holds import release_lapsed
from cdp.loyalty.ledger import CLOCK, Cause, Journal, post, read_lots
from cdp.loyalty.members import members_of
from cdp.loyalty.terms import in_force, read_terms
from cdp.values import CustomerId, ProfileId
from cdp.versions import Driver

DUE_BATCH: Final = 2_000  # customers brought up to date in one transaction


async def refresh_points(database: Database) -> int:
    """Bring every customer up to date whose `loyalty_next_change_at` has passed; how many."""
    done, last = 0, CustomerId(0)
    while True:
        async with database.transaction() as connection:
            due = await _due(connection, last)
            await bring_up_to_date(connection, due)
        done += len(due)
        if len(due) < DUE_BATCH:
            return done
        last = due[-1]


async def _due(connection: AsyncConnection, last: CustomerId) -> list[CustomerId]:
    """The next ones by id; each is looked at once a run, so that a run ends."""
    rows = await connection.exec_driver_sql(
        "SELECT id FROM customer WHERE loyalty_next_change_at <= now() AND id > $1"
        " ORDER BY id LIMIT $2",
        (last, DUE_BATCH),
    )
    return [CustomerId(row[0]) for row in rows]


async def bring_up_to_date(connection: AsyncConnection, customers: Collection[CustomerId]) -> None:
    """Post what time has changed for the given customers, and fold them."""
    if not customers:
        return
    driver = await driver_of(connection)
    # Whoever brought one of them may be given something too, and all are locked at once.
    brought_by = await driver.fetch(
        "SELECT r.referrer_profile_id FROM source_profile p"
        " JOIN loyalty_referral r ON r.referee_profile_id = p.id"
        " WHERE p.customer_id = ANY($1::bigint[])",
        list(customers),
    )
    profiles = {ProfileId(one) for one in customers} | {row[0] for row in brought_by}
    locked = await lock_customers(connection, profiles)
    await _post(connection, driver, locked)
    await refresh_loyalty(connection, locked)
    await outbox.note(connection, locked, "clock")


async def _post(
    connection: AsyncConnection, driver: Driver, customers: Collection[CustomerId]
) -> None:
    ids = sorted(customers)
    told = await driver.fetch(
        "SELECT DISTINCT p.id FROM source_profile p"
        " JOIN loyalty_entry e ON e.source_profile_id = p.id"
        " WHERE p.customer_id = ANY($1::bigint[])",
        ids,
    )
    await post_entries(connection, [row[0] for row in told])
    at = await driver.fetchval("SELECT now()")
    await release_lapsed(driver, ids, at)
    lots = await read_lots(
        driver,
        "JOIN source_profile p ON p.id = l.source_profile_id"
        " WHERE p.customer_id = ANY($1::bigint[])"
        " AND (l.pending > 0 AND l.available_at <= $2 OR l.available > 0 AND l.expires_at <= $2)",
        ids,
        at,
    )
    journal = Journal(at, lots)
    for lot in lots:
        journal.settle(lot)
    terms = in_force(await read_terms(driver), at)
    if terms is not None:
        awards = await due_awards(driver, await members_of(driver, ids, terms, at), terms, at)
        await give(driver, awards, terms, journal)
    await post(driver, journal, Cause(CLOCK))
