"""Who may take part and who brought whom: suspensions and referrals, said by people."""

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.customers import lock_customers
from cdp.database import driver as driver_of
from cdp.errors import BadInput, NotFound
from cdp.loyalty.fold import refresh_loyalty
from cdp.loyalty.terms import read_terms
from cdp.values import CustomerId, ProfileId
from cdp.versions import Driver


async def suspend(
    connection: AsyncConnection,
    customer_id: CustomerId,
    *,
    is_suspended: bool,
    actor: str,
    reason: str,
) -> None:
    """Suspend a customer from the programme, or take them in again; kept with its reason.

    Orders go on earning: what records say does not depend on it. What is suspended is spending,
    and what is given by hand or as an award. Raises NotFound.
    """
    driver = await driver_of(connection)
    # Whom they brought may make something due to them, which waits while they are suspended.
    brought = await _brought_by(driver, customer_id)
    survivor = await _lock(connection, customer_id, brought)
    # Of a customer any suspended profile is enough: all are taken in again, the earliest suspended.
    await driver.execute(
        "INSERT INTO loyalty_standing (source_profile_id, is_suspended, at, actor, reason)"
        " SELECT id, $2, now(), $3, $4 FROM source_profile"
        " WHERE customer_id = $1 AND (NOT $2 OR id = $1)",
        survivor, is_suspended, actor, reason,
    )  # fmt: skip
    await refresh_loyalty(connection, [survivor, *brought])
    await outbox.note(connection, [survivor], "loyalty")


async def _brought_by(driver: Driver, customer_id: CustomerId) -> list[CustomerId]:
    rows = await driver.fetch(
        "SELECT DISTINCT brought.customer_id FROM source_profile named"
        " JOIN source_profile mine ON mine.customer_id = named.customer_id"
        " JOIN loyalty_referral r ON r.referrer_profile_id = mine.id"
        " JOIN source_profile brought ON brought.id = r.referee_profile_id"
        " WHERE named.id = $1",
        customer_id,
    )
    return [CustomerId(row[0]) for row in rows]


async def refer(
    connection: AsyncConnection, referrer_id: CustomerId, referee_id: CustomerId, *, actor: str
) -> int:
    """Note that one customer brought another; the programme gives points when the latter buys.

    Returns the number of the referral. Raises NotFound, and BadInput where the programme has none,
    where they are one person, or where the latter was brought before.
    """
    driver = await driver_of(connection)
    terms = await read_terms(driver)
    if not terms or terms[-1].programme.referral is None:
        raise BadInput("The programme rewards no referrals.", todo="Add [referral] to it.")
    locked = await lock_customers(connection, {ProfileId(referrer_id), ProfileId(referee_id)})
    sides = []
    for one in (referrer_id, referee_id):
        found = await driver.fetchval("SELECT customer_id FROM source_profile WHERE id = $1", one)
        if found is None:
            raise NotFound(f"There is no customer {one}.", todo="Search for the customer.")
        sides.append(found)
    if sides[0] == sides[1]:
        raise BadInput("Nobody brings themselves.", todo="Name two customers.")
    known = await driver.fetchval(
        "SELECT r.id FROM loyalty_referral r JOIN source_profile p ON p.id = r.referee_profile_id"
        " WHERE p.customer_id = $1",
        sides[1],
    )
    if known is not None:
        raise BadInput(f"Customer {referee_id} was brought before, by referral {known}.")
    number = await driver.fetchval(
        "INSERT INTO loyalty_referral (referrer_profile_id, referee_profile_id, at, actor)"
        " VALUES ($1, $2, now(), $3) RETURNING id",
        *sides, actor,
    )  # fmt: skip
    assert isinstance(number, int)
    await refresh_loyalty(connection, locked)
    await outbox.note(connection, locked, "loyalty")
    return number


async def _lock(
    connection: AsyncConnection, customer_id: CustomerId, also: Collection[CustomerId]
) -> CustomerId:
    locked = await lock_customers(connection, [ProfileId(customer_id)], also)
    if not locked:
        raise NotFound(f"There is no customer {customer_id}.", todo="Search for the customer.")
    (survivor,) = locked
    return survivor
