"""The customers' rows: locked, folded anew from profiles and days, and written."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import date
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Numeric,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.activity import customer_activity
from cdp.database import by_index
from cdp.database import driver as driver_of
from cdp.errors import CdpError
from cdp.facts import customer_facts, days_of
from cdp.loyalty.fold import refresh_loyalty
from cdp.loyalty.orders import post_orders
from cdp.purchase_days import purchase_days
from cdp.statements import Driver, Statement, compiled, given
from cdp.survivorship import attributes_alone, attributes_of
from cdp.survivorship_rules import Survivorship
from cdp.tables import (
    ACTIVITY_COLUMNS,
    FACT_COLUMNS,
    customer,
    purchase_day,
    source_profile,
)
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace

MAX_LOCK_ROUNDS: Final = 20  # each lost round means that another writer has moved somebody
REBUILD_BATCH: Final = 20_000  # customers folded by one statement: bounds memory, not the result

ProfileDay: TypeAlias = "tuple[ProfileId, date]"


@cache
def _given_days() -> FromClause:
    """The days of the parameters `profiles` and `dates`, pair by pair."""
    profiles = given("profiles", ARRAY(BigInteger))
    dates = given("dates", ARRAY(Date))
    return func.unnest(profiles, dates).table_valued("source_profile_id", "on").render_derived()


@cache
def _given() -> FromClause:
    """The customers of the parameter `ids`."""
    return func.unnest(given("ids", ARRAY(BigInteger))).table_valued("id").render_derived()


# Statements are compiled once: building one takes longer than running it for a small page.


@cache
def _forget_days() -> Statement:
    days, day = _given_days().c, purchase_day.c
    those = (day.source_profile_id == days.source_profile_id, day.on == days.on)
    return compiled(delete(purchase_day).where(*those))


@cache
def _fold_days(workspace: Workspace) -> Statement:
    rows = purchase_days(_given_days(), workspace, func.now())
    names = [one.name for one in rows.selected_columns]
    return compiled(insert(purchase_day).from_select(names, rows))


@lru_cache(maxsize=8)  # the rules in force, and those before them
def _fold_attributes(survivorship: Survivorship) -> Statement:
    is_left = ~exists().where(source_profile.c.customer_id == customer.c.id)
    left = delete(customer).where(customer.c.id == _given().c.id, is_left).cte("left_alone")
    rows = attributes_of(_given(), survivorship)
    names = [column.name for column in rows.selected_columns]
    insertion = upsert(customer).from_select(names, rows).add_cte(left)
    return compiled(
        insertion.on_conflict_do_update(
            index_elements=["id"],
            set_={name: insertion.excluded[name] for name in names if name != "id"},
        )
    )


@lru_cache(maxsize=8)
def _described_otherwise(survivorship: Survivorship) -> tuple[Sequence[str], Statement]:
    """How many customers would have another value, and what it counts: all, then by attribute."""
    rows = attributes_of(_given(), survivorship).subquery()
    is_other = {
        column.name: column.is_distinct_from(customer.c[column.name])
        for column in rows.c
        if column.name not in ("id", "updated_at", "search")
    }
    counts: list[ColumnElement[Any]] = [
        func.count().filter(each) for each in (or_(*is_other.values()), *is_other.values())
    ]
    told = select(*counts).select_from(rows.join(customer, customer.c.id == rows.c.id))
    return ("customers", *is_other), compiled(told)


@cache
def _add_alone() -> Statement:
    rows = attributes_alone(_given())
    names = [column.name for column in rows.selected_columns]
    return compiled(insert(customer).from_select(names, rows))


@cache
def _fold_facts(money_digits: int) -> Statement:
    whom = _given()
    # OFFSET 0: each is worked out once, and not once to compare and once to write.
    folded = customer_facts(whom, days_of(whom).cte("days"), money_digits)
    facts = folded.offset(0).subquery("facts")
    values = {fact.name: facts.c[fact.name] for fact in FACT_COLUMNS if fact.computed is None}
    # It says when the row was folded; where attributes were in the same transaction, it does so.
    is_older = customer.c.updated_at != func.now()
    return compiled(
        update(customer)
        .where(customer.c.id == facts.c.id, or_(is_older, differ(facts, customer, values)))
        .values({**values, "updated_at": func.now()})
    )


@cache
def _fold_activity(workspace: Workspace) -> Statement:
    activity = customer_activity(_given(), workspace, func.now()).subquery("activity")
    values = {fact.name: activity.c[fact.name] for fact in ACTIVITY_COLUMNS}
    return compiled(
        update(customer)
        .where(customer.c.id == activity.c.id, differ(activity, customer, values))
        .values(values)
    )


def differ(folded: FromClause, stored: FromClause, names: Iterable[str]) -> ColumnElement[bool]:
    """Whether what was folded is not what is stored: a row that is written costs all its indexes.

    Of numbers also whether they are written otherwise: 10.00 is told as that, and not as 10.
    """
    is_other: list[ColumnElement[bool]] = []
    for name in names:
        new, old = folded.c[name], stored.c[name]
        is_other.append(new.is_distinct_from(old))
        if isinstance(new.type, Numeric):
            is_other.append(func.scale(new).is_distinct_from(func.scale(old)))
    return or_(*is_other)


async def refresh_days(
    connection: AsyncConnection, days: Collection[ProfileDay], workspace: Workspace
) -> None:
    """Fold the given days anew. The caller holds the locks of their customers."""
    if not days:
        return
    driver = await driver_of(connection)
    async with by_index(driver):
        await _forget_days().fetch(driver, _columns(days))
        await _fold_days(workspace).fetch(driver, _columns(days))
    await post_orders(connection, days, workspace)


def _columns(days: Collection[ProfileDay]) -> dict[str, list[Any]]:
    return {"profiles": [profile for profile, _ in days], "dates": [on for _, on in days]}


async def lock_customers(
    connection: AsyncConnection,
    profiles: Collection[ProfileId],
    also: Collection[CustomerId] = (),
) -> set[CustomerId]:
    """Lock the customers of the given profiles, and `also`, in id order; returns the former.

    Raises CdpError BUSY where others move them again and again.
    """
    return set((await lock_owners(connection, profiles, also)).values())


async def lock_owners(
    connection: AsyncConnection,
    profiles: Collection[ProfileId],
    also: Collection[CustomerId] = (),
) -> dict[ProfileId, CustomerId]:
    """The same; returns whose each profile is, and stays until the transaction ends.

    Two writers cannot miss each other's order: the second waits here, and reads after the first.
    """
    driver = await driver_of(connection)
    owners = await _owners_of(driver, profiles)
    if not owners:
        if also:
            await driver.execute(_lock(also))
        return owners
    for _ in range(MAX_LOCK_ROUNDS):
        before = set(owners.values())
        await driver.execute(f"SAVEPOINT locking; {_lock(before.union(also))}")
        owners = await _owners_of(driver, profiles)
        if before == set(owners.values()):
            await driver.execute("RELEASE SAVEPOINT locking")
            return owners
        # A round that is lost gives its locks back: more of them would not be in id order.
        await driver.execute("ROLLBACK TO SAVEPOINT locking; RELEASE SAVEPOINT locking")
    raise CdpError(
        "BUSY",
        f"The customers of {len(profiles)} source profiles changed {MAX_LOCK_ROUNDS} times.",
        todo="Run it again when fewer writers are at work.",
    )


def _lock(customers: Collection[CustomerId]) -> str:
    """The statement that locks customers in id order.

    As text, and not with a parameter, so that it goes with others in one message.
    """
    ids = ",".join(map(str, sorted(customers)))
    return (
        f"SELECT FROM unnest('{{{ids}}}'::bigint[]) AS k(id) JOIN customer c USING (id)"
        " ORDER BY c.id FOR UPDATE OF c"
    )


async def _owners_of(
    driver: Driver, profiles: Collection[ProfileId]
) -> dict[ProfileId, CustomerId]:
    """Whose the given profiles are."""
    if not profiles:
        return {}
    rows = await driver.fetch(
        "SELECT id, customer_id FROM source_profile WHERE id = ANY($1::bigint[])", list(profiles)
    )
    return {ProfileId(row[0]): CustomerId(row[1]) for row in rows}


async def refresh_attributes(
    connection: AsyncConnection,
    customers: Collection[CustomerId],
    survivorship: Survivorship,
) -> None:
    """Fold the given customers' profiles anew; a customer that has none any more goes."""
    if not customers:
        return
    driver = await driver_of(connection)
    async with by_index(driver):
        await _fold_attributes(survivorship).fetch(driver, {"ids": sorted(customers)})


async def add_alone(connection: AsyncConnection, customers: Collection[CustomerId]) -> None:
    """Store customers who are new and have one live profile each, their own; without any fact."""
    if not customers:
        return
    driver = await driver_of(connection)
    async with by_index(driver):
        await _add_alone().fetch(driver, {"ids": sorted(customers)})


async def refresh_facts(
    connection: AsyncConnection, customers: Collection[CustomerId], workspace: Workspace
) -> None:
    """Fold the given customers' days and their loyalty anew, into rows that are there already."""
    if not customers:
        return
    async with by_index(await driver_of(connection)):
        await refresh_sums(connection, customers, workspace)
        await refresh_loyalty(connection, customers)


async def refresh_sums(
    connection: AsyncConnection, customers: Collection[CustomerId], workspace: Workspace
) -> None:
    """The same without their loyalty, for a caller who folds that of others too."""
    if not customers:
        return
    driver = await driver_of(connection)
    async with by_index(driver):
        await _fold_facts(workspace.money_digits).fetch(driver, {"ids": sorted(customers)})


async def refresh_activity(
    connection: AsyncConnection, customers: Collection[CustomerId], workspace: Workspace
) -> None:
    """Fold what the given customers do beside buying anew, into rows that are there already."""
    if not customers:
        return
    driver = await driver_of(connection)
    async with by_index(driver):
        await _fold_activity(workspace).fetch(driver, {"ids": sorted(customers)})


async def choose_anew(connection: AsyncConnection, survivorship: Survivorship) -> None:
    """Fold everybody's attributes by other rules of survivorship; no writer may be at work."""
    async for customers in everybody(connection):
        await refresh_attributes(connection, customers, survivorship)


async def count_described_otherwise(
    connection: AsyncConnection, survivorship: Survivorship
) -> Counter[str]:
    """How many customers would have another value by these rules of survivorship.

    By attribute, as the column of `customer` is named; "customers" are those with any.
    """
    counts, driver = Counter[str](), await driver_of(connection)
    names, statement = _described_otherwise(survivorship)
    async for customers in everybody(connection):
        async with by_index(driver):
            (row,) = await statement.fetch(driver, {"ids": customers})
        counts.update(dict(zip(names, row, strict=True)))
    return counts


async def everybody(connection: AsyncConnection) -> AsyncIterator[Sequence[CustomerId]]:
    """All customers by id, in lots of REBUILD_BATCH."""
    first = 0
    while True:
        rows = await connection.execute(
            select(source_profile.c.customer_id)
            .where(source_profile.c.customer_id > first)
            .distinct()
            .order_by(source_profile.c.customer_id)
            .limit(REBUILD_BATCH)
        )
        customers = [CustomerId(row[0]) for row in rows]
        if not customers:
            return
        yield customers
        first = customers[-1]
