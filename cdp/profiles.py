"""Source profiles as they are stored: resolved, then written with identifiers, map and ledger."""

import asyncio
from collections.abc import Collection, Iterable
from operator import itemgetter
from typing import Final

from cdp.ahead import Ahead
from cdp.identity import ledger
from cdp.identity.component import Component
from cdp.identity.people import first_of
from cdp.identity.resolve import Resolution, conclude, gather
from cdp.rows import PROFILE_COLUMNS, Row, profile_row
from cdp.tables import source_profile
from cdp.told_profiles import CUSTOMERS, Origin, People, ProfileRow, Told
from cdp.values import CustomerId, ProfileId
from cdp.versions import Changes, Driver, Version, copy_rows, keep_old

FEW: Final = 500  # people who are told apart in a few milliseconds

STORED_COLUMNS: Final = ("id", "customer_id", "first_stored_at")
"""What of a stored profile outlives its versions."""

_COLUMNS: Final = (
    "id", "customer_id", "stream", "first_stored_at", "given_key", "family_key", "email", "phone",
    "compared_digest", *PROFILE_COLUMNS,
)  # fmt: skip
_IDENTIFIER_COLUMNS: Final = (
    "value", "kind", "source_profile_id", "is_current",
)  # fmt: skip


async def write_people(
    driver: Driver,
    origin: Origin,
    changes: Changes,
    others: Iterable[Version],
    ahead: Ahead,
) -> People:
    """Store the customers' records and the contacts of a batch, and bring the map up to date.

    `changes` are those of the customers stream; `others` are the new versions of every other
    stream, whose parties without a customer become contacts.
    """
    told = Told(driver, origin, ahead)
    await told.add_customers(changes)
    await told.add_contacts(others)
    return await _Writer(driver, origin, ahead, told).write(changes)


class _Writer:
    """The profiles of one batch on their way into the database."""

    def __init__(self, driver: Driver, origin: Origin, ahead: Ahead, told: Told) -> None:
        self._driver = driver
        self._ahead = ahead
        self._origin = origin
        self._told = told

    async def write(self, changes: Changes) -> People:
        """Resolve against what is stored, then write profiles, identifiers, map and ledger."""
        people, rules = self._told.people, self._origin.rules
        component = await gather(self._driver, self._told.evidence, people.fresh, rules)
        resolution, certain = await self._conclude(component, changes)
        await keep_old(self._driver, self._origin.source_id, CUSTOMERS, changes)
        await self._write_profiles(
            self._row(row, resolution.customer_of[row.profile_id])
            for row in self._told.rows
            if row.profile_id not in certain
        )
        await self._complete_contacts()
        written = {row.profile_id for row in self._told.rows}
        await ledger.record(self._driver, resolution, rules, self._origin.learned_at, written)
        people.touched.update(self._told.evidence)
        people.customers.update(resolution.customer_of.values())
        people.alone = {
            CustomerId(row.profile_id)
            for row in self._told.rows
            if row.profile_id in component.alone and row.version.deleted_at is None
        }
        for move in resolution.moves:
            stored = set(move.profile_ids) - people.fresh
            people.moved |= stored
            if stored:
                people.left_customers.add(move.from_customer_id)
        people.moves = len(resolution.moves)
        return people

    async def _conclude(
        self, component: Component, changes: Changes
    ) -> tuple[Resolution, Collection[ProfileId]]:
        """Work out who is who, and write what does not depend on it; returns whose profile is.

        Of many people the database takes that meanwhile; of few a thread takes longer to begin, and
        a second COPY longer than the rows.
        """
        rules = self._origin.rules
        if len(component.evidence) <= FEW:
            await self._write_identifiers(changes)
            return conclude(component, rules), ()
        resolution, _ = await asyncio.gather(
            asyncio.to_thread(conclude, component, rules),
            self._write_certain(component.alone, changes),
        )
        return resolution, component.alone

    async def _write_certain(self, alone: Collection[ProfileId], changes: Changes) -> None:
        """The identifiers, and the profiles whom nothing ties to anybody."""
        await self._write_identifiers(changes)
        await self._write_profiles(
            self._row(row, CustomerId(row.profile_id))
            for row in self._told.rows
            if row.profile_id in alone
        )

    async def _write_profiles(self, rows: Iterable[Row]) -> None:
        await copy_rows(self._driver, source_profile, _COLUMNS, list(rows))

    def _row(self, row: ProfileRow, customer_id: CustomerId) -> Row:
        version, claims = row.version, row.claims
        return (
            row.profile_id,
            customer_id,
            row.stream,
            row.first_stored_at,
            claims.person.given,
            claims.person.family,
            claims.email,
            claims.phone,
            claims.digest,
            *(self._ahead.rows.get(id(version)) or profile_row(self._origin.source_id, version)),
        )

    async def _write_identifiers(self, changes: Changes) -> None:
        """What the batch says of each profile; what is no longer said stays, as history."""
        fresh: list[tuple[str, str, ProfileId, bool]] = []
        known: list[tuple[str, str, ProfileId, bool]] = []
        for profile_id, said in self._told.said.items():
            current = self._told.evidence[profile_id].current
            into = fresh if profile_id in self._told.people.fresh else known
            into += [(value, kind, profile_id, (kind, value) in current) for kind, value in said]
        fresh.sort(key=itemgetter(0))  # as the index is, so that a page of it is looked up once
        await self._driver.copy_records_to_table(
            "identifier", columns=_IDENTIFIER_COLUMNS, records=fresh
        )
        if known:
            columns = [list(column) for column in zip(*known, strict=True)]
            await self._driver.execute(
                "INSERT INTO identifier (value, kind, source_profile_id, is_current)"
                " SELECT value, kind, id, is_current"
                " FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bool[])"
                " AS k(value, kind, id, is_current)"
                " ON CONFLICT (value, kind, source_profile_id) DO UPDATE"
                " SET is_current = excluded.is_current, last_seen_at = CASE"
                " WHEN excluded.is_current THEN excluded.last_seen_at"
                " ELSE identifier.last_seen_at END",
                *columns,
            )
            superseded = [stored.row["id"] for _, stored in changes.changed]
            # NOT IN is hashed whatever the plan: a record may say 150,000.
            await self._driver.execute(
                "UPDATE identifier i SET is_current = false FROM unnest($4::bigint[]) AS p(id)"
                " WHERE i.source_profile_id = p.id AND i.is_current"
                " AND (i.value, i.kind, i.source_profile_id) NOT IN"
                " (SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]))",
                *columns[:3],
                superseded,
            )

    async def _complete_contacts(self) -> None:
        """A contact that was known by one identifier may have told another; the first by value.

        In the order of code points, as in Python.
        """
        evidence, fresh = self._told.evidence, self._told.people.fresh
        grown = {
            profile_id: sorted(said)
            for profile_id, said in self._told.said.items()
            if evidence[profile_id].is_contact and profile_id not in fresh
        }
        if grown:
            await self._driver.execute(
                'UPDATE source_profile p SET email = least(p.email COLLATE "C", k.email),'
                ' phone = least(p.phone COLLATE "C", k.phone)'
                " FROM unnest($1::bigint[], $2::text[], $3::text[]) AS k(id, email, phone)"
                " WHERE p.id = k.id",
                list(grown),
                [first_of(said, "email") for said in grown.values()],
                [first_of(said, "phone") for said in grown.values()],
            )
