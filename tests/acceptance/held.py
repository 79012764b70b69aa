"""What a database holds, blind to ids and clocks: equal for equal records, however they came."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import open_database

PASSING = frozenset(
    {"id", "source_id", "source_profile_id", "customer_id", "learned_at", "first_stored_at",
     "updated_at", "created_at", "first_seen_at", "last_seen_at", "blocked_at", "opened_at",
     "profile_ids", "resolved_at", "attempts"}
)  # fmt: skip
"""Columns that tell when, or under which id, a row was stored."""

PLAIN = (*tables.STREAM_TABLES.values(), tables.record_version, tables.dead_letter,
         tables.identifier, tables.purchase_day, tables.blocked_value)  # fmt: skip

Held = Mapping[str, Counter[Hashable]]
"""By table: its rows, each with how often it is there."""


@dataclass(frozen=True, slots=True)
class _Names:
    """What ids mean: they are dealt in the order of arrival, which a kill may change."""

    sources: Mapping[int, str]
    profiles: Mapping[int, str]
    customers: Mapping[int, int]

    def row(self, row: RowMapping) -> Hashable:
        """A row without its ids, but with whose it is."""
        owner = self.profiles.get(row.get("source_profile_id") or 0)
        source = self.sources.get(row.get("source_id") or 0)
        kept = [(name, _plain(value)) for name, value in row.items() if name not in PASSING]
        return (source, owner, *kept)

    def members(self) -> dict[int, frozenset[str]]:
        """The source profiles of each customer."""
        groups: dict[int, set[str]] = defaultdict(set)
        for profile, customer in self.customers.items():
            groups[customer].add(self.profiles[profile])
        return {customer: frozenset(group) for customer, group in groups.items()}


async def held(url: str) -> Held:
    """All that is stored. Fails where the ledger does not lead to the map that there is."""
    async with open_database(url) as database, database.read_only() as connection:
        names = await _names(connection)
        members = names.members()
        await _require_sound_ledger(connection, names)
        found = {
            table.name: Counter(names.row(row) for row in await _rows(connection, table))
            for table in PLAIN
        }
        found["partition"] = Counter(members.values())
        found["customer"] = Counter(
            (members[row["id"]], names.row(row)) for row in await _rows(connection, tables.customer)
        )
        found["match_review"] = Counter(
            (
                # Of a value that joins nobody some bearers are told: those of when it was blocked.
                frozenset(
                    frozenset(names.profiles[one] for one in row[side])
                    for side in ("left_ids", "right_ids")
                    if row["right_ids"]
                ),
                *(row[name] for name in ("kind", "value", "reason", "priority")),
            )
            for row in await _rows(connection, tables.match_review)
        )
        return found


def require_same(found: Held, wanted: Held) -> None:
    """Fail with the table, and a row of it, that is not as it should be."""
    assert found.keys() == wanted.keys()
    for table, rows in wanted.items():
        lost, doubled = rows - found[table], found[table] - rows
        assert not lost, f"{table}: {lost.total()} rows lost, such as {next(iter(lost))}"
        assert not doubled, f"{table}: {doubled.total()} too many, such as {next(iter(doubled))}"


async def _names(connection: AsyncConnection) -> _Names:
    sources = {row["id"]: row["name"] for row in await _rows(connection, tables.source)}
    profiles, customers = {}, {}
    for row in await _rows(connection, tables.source_profile):
        profiles[row["id"]] = f"{sources[row['source_id']]}/{row['stream']}/{row['key']}"
        customers[row["id"]] = row["customer_id"]
    return _Names(sources, profiles, customers)


async def _rows(connection: AsyncConnection, table: Table) -> list[RowMapping]:
    return list((await connection.execute(select(table))).mappings())


async def _require_sound_ledger(connection: AsyncConnection, names: _Names) -> None:
    """Who follows the ledger from the ids that profiles reserved arrives at the map."""
    walked = {profile: profile for profile in names.customers}
    events = select(tables.merge_event).order_by(tables.merge_event.c.id)
    for event in (await connection.execute(events)).mappings():
        for profile in event["profile_ids"]:
            assert walked[profile] in (event["from_customer_id"], profile), dict(event)
            walked[profile] = event["customer_id"]
    assert walked == names.customers
    smallest: dict[int, int] = {}
    for profile, customer in names.customers.items():
        smallest[customer] = min(profile, smallest.get(customer, profile))
    assert all(customer == least for customer, least in smallest.items())
    stored = {row["id"] for row in await _rows(connection, tables.customer)}
    assert stored == set(smallest)


def _plain(value: object) -> Hashable:
    if isinstance(value, Decimal):
        return value.normalize()
    if isinstance(value, Mapping):
        return frozenset((name, _plain(part)) for name, part in value.items())
    if isinstance(value, list):
        return tuple(map(_plain, value))
    assert isinstance(value, Hashable)
    return value
