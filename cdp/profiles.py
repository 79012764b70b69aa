"""Source profiles: customers' records and contacts, from versions to evidence to stored rows."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Final, cast

import msgspec

from cdp.ahead import Ahead
from cdp.identity import ledger
from cdp.identity.component import Component
from cdp.identity.evidence import CONTACT, Evidence, Identifier
from cdp.identity.people import (
    NOBODY,
    Claims,
    claims_of,
    first_of,
    identifiers_of,
    no_claims,
    read_contact,
)
from cdp.identity.resolve import Resolution, conclude, gather
from cdp.identity.rules import Rules
from cdp.identity.stored import read_profiles
from cdp.records import CustomerRecord
from cdp.rows import PROFILE_COLUMNS, Row, profile_row
from cdp.tables import source_profile
from cdp.values import CustomerId, ProfileId, SourceId
from cdp.versions import Changes, Driver, Version, copy_rows, keep_old

CUSTOMERS: Final = "customers"
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


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a batch, the rules of identity, and the moment when the batch is learned."""

    source_id: SourceId
    name: str
    region: str
    learned_at: datetime
    rules: Rules


@dataclass(slots=True)
class People:
    """The source profiles of one batch.

    `owners`: (stream, key) to profile, for customers' records and contacts of the batch; `fresh`
    those stored by it, `touched` those that it tells something of, `deleted` those of which it
    tells no more than that. `customers` are those of the resolved ones now; `alone` those of them
    who are new and have one live profile, which nothing ties to anybody; `moved` are profiles
    stored before that left a customer, `left_customers` whom they left. `moves` counts every change
    of the map, those of fresh profiles too; `unread`, by kind, the identifiers that tie nobody, for
    they cannot be read or say that nothing is known.
    """

    owners: dict[tuple[str, str], ProfileId] = field(default_factory=dict)
    fresh: set[ProfileId] = field(default_factory=set)
    touched: set[ProfileId] = field(default_factory=set)
    deleted: set[ProfileId] = field(default_factory=set)
    customers: set[CustomerId] = field(default_factory=set)
    alone: set[CustomerId] = field(default_factory=set)
    left_customers: set[CustomerId] = field(default_factory=set)
    moved: set[ProfileId] = field(default_factory=set)
    moves: int = 0
    unread: Counter[str] = field(default_factory=Counter)


class _Row(msgspec.Struct, frozen=True):
    """A row of `source_profile` but for its customer, which evidence decides."""

    profile_id: ProfileId
    stream: str
    version: Version
    first_stored_at: datetime
    claims: Claims


def contact_key(identifier: Identifier) -> str:
    """The key of a contact within its source, such as `email:ann@example.com`."""
    return f"{identifier.kind}:{identifier.value}"


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
    writer = _Writer(driver, origin, ahead)
    await writer.add_customers(changes)
    await writer.add_contacts(others)
    return await writer.write(changes)


class _Writer:
    """The profiles of one batch on their way."""

    def __init__(self, driver: Driver, origin: Origin, ahead: Ahead) -> None:
        self._driver = driver
        self._ahead = ahead
        self._origin = origin
        self._people = People()
        self._evidence: dict[ProfileId, Evidence] = {}
        self._said: dict[ProfileId, set[Identifier]] = defaultdict(set)
        self._rows: list[_Row] = []

    async def add_customers(self, changes: Changes) -> None:
        """Customers' records: new ones, newer versions, and what late versions tell."""
        ids = await self._reserve(len(changes.fresh))
        for profile_id, version in zip(ids, changes.fresh, strict=True):
            self._people.fresh.add(profile_id)
            self._add_customer(profile_id, version, self._origin.learned_at)
        for version, stored in changes.changed:
            self._add_customer(stored.row["id"], version, stored.row["first_stored_at"])
        for version, stored in changes.deleted:
            self._people.owners[CUSTOMERS, version.key] = stored.row["id"]
            self._people.deleted.add(stored.row["id"])
        self._people.touched |= self._people.deleted
        await self._add_late(changes.late)

    def _add_customer(
        self, profile_id: ProfileId, version: Version, first_stored_at: datetime
    ) -> None:
        origin = self._origin
        record = cast("CustomerRecord | None", version.record)
        if record is None:
            claims = no_claims(version.key, origin.name)
        else:
            known = self._ahead.claims.get(id(version))
            claims = known or claims_of(record, origin.name, origin.region)
        said = claims.identifiers
        self._people.unread.update(claims.unread)
        self._evidence[profile_id] = Evidence(
            profile_id,
            (origin.name, CUSTOMERS, version.key),
            claims.person,
            current=frozenset(said),
            all=set(said),
            digest=claims.digest,
        )
        self._said[profile_id].update(said)
        self._people.owners[CUSTOMERS, version.key] = profile_id
        self._rows.append(_Row(profile_id, CUSTOMERS, version, first_stored_at, claims))

    async def _add_late(self, late: Sequence[Version]) -> None:
        """An old version changes no attribute, but its identifiers are evidence like any other."""
        if not late:
            return
        await self._find(CUSTOMERS, [version.key for version in late])
        history: dict[ProfileId, set[Identifier]] = defaultdict(set)
        for version in late:
            if version.record is not None:
                record = cast("CustomerRecord", version.record)
                said = identifiers_of(record, self._origin.name, self._origin.region)
                history[self._people.owners[CUSTOMERS, version.key]].update(said)
        await self._read_evidence([one for one in history if one not in self._evidence])
        for profile_id, said_once in history.items():
            self._evidence[profile_id].all |= said_once
            self._said[profile_id] |= said_once

    async def add_contacts(self, versions: Iterable[Version]) -> None:
        """One contact per strongest identifier of records that name no customer."""
        said: dict[str, list[Identifier]] = {}
        for version in versions:
            if version.record is not None:
                identifiers, unread = read_contact(version.record, self._origin.region)
                self._people.unread.update(unread)
                if identifiers:
                    said.setdefault(contact_key(identifiers[0]), []).extend(identifiers)
        if not said:
            return
        await self._find(CONTACT, list(said))
        known = {
            profile_id: set(said.pop(key))
            for key in list(said)
            if (profile_id := self._people.owners.get((CONTACT, key))) is not None
        }
        for profile_id, identifier in await self._carried(known):
            known[profile_id].discard(identifier)
        news = {profile_id: told for profile_id, told in known.items() if told}
        await self._read_evidence(news)
        for profile_id, told in news.items():
            self._evidence[profile_id].current |= told
            self._evidence[profile_id].all |= told
            self._said[profile_id] |= told
        await self._add_fresh_contacts(said)

    async def _carried(
        self, said: Mapping[ProfileId, Collection[Identifier]]
    ) -> Iterable[tuple[ProfileId, Identifier]]:
        """Which of the given identifiers stored profiles carry already."""
        if not said:
            return ()
        wanted = [(one, *each) for one, several in said.items() for each in several]
        rows = await self._driver.fetch(
            "SELECT i.source_profile_id, i.kind, i.value"
            " FROM unnest($1::bigint[], $2::text[], $3::text[]) AS k(id, kind, value)"
            " JOIN identifier i ON i.source_profile_id = k.id AND i.kind = k.kind"
            " AND i.value = k.value",
            *map(list, zip(*wanted, strict=True)),
        )
        return ((ProfileId(row[0]), Identifier(row[1], row[2])) for row in rows)

    async def _add_fresh_contacts(self, said: Mapping[str, list[Identifier]]) -> None:
        origin = self._origin
        for profile_id, key in zip(await self._reserve(len(said)), said, strict=True):
            identifiers = sorted(said[key])
            self._evidence[profile_id] = Evidence(
                profile_id,
                (origin.name, CONTACT, key),
                NOBODY,
                is_contact=True,
                current=frozenset(identifiers),
                all=set(identifiers),
            )
            self._said[profile_id].update(identifiers)
            self._people.owners[CONTACT, key] = profile_id
            self._people.fresh.add(profile_id)
            email, phone = first_of(identifiers, "email"), first_of(identifiers, "phone")
            claims = Claims(NOBODY, identifiers, email, phone, b"")
            version = Version(key, None, b"null", b"", None, None)
            self._rows.append(_Row(profile_id, CONTACT, version, origin.learned_at, claims))

    async def write(self, changes: Changes) -> People:
        """Resolve against what is stored, then write profiles, identifiers, map and ledger."""
        people, rules = self._people, self._origin.rules
        component = await gather(self._driver, self._evidence, people.fresh, rules)
        resolution, certain = await self._conclude(component, changes)
        await keep_old(self._driver, self._origin.source_id, CUSTOMERS, changes)
        await self._write_profiles(
            self._row(row, resolution.customer_of[row.profile_id])
            for row in self._rows
            if row.profile_id not in certain
        )
        await self._complete_contacts()
        written = {row.profile_id for row in self._rows}
        await ledger.record(self._driver, resolution, rules, self._origin.learned_at, written)
        people.touched.update(self._evidence)
        people.customers.update(resolution.customer_of.values())
        people.alone = {
            CustomerId(row.profile_id)
            for row in self._rows
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
            for row in self._rows
            if row.profile_id in alone
        )

    async def _write_profiles(self, rows: Iterable[Row]) -> None:
        await copy_rows(self._driver, source_profile, _COLUMNS, list(rows))

    def _row(self, row: _Row, customer_id: CustomerId) -> Row:
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
        for profile_id, said in self._said.items():
            current = self._evidence[profile_id].current
            into = fresh if profile_id in self._people.fresh else known
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
        grown = {
            profile_id: sorted(said)
            for profile_id, said in self._said.items()
            if self._evidence[profile_id].is_contact and profile_id not in self._people.fresh
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

    async def _reserve(self, count: int) -> Sequence[ProfileId]:
        rows = await self._driver.fetch(
            "SELECT nextval('source_profile_id_seq') FROM generate_series(1, $1)", count
        )
        return [ProfileId(row[0]) for row in rows]

    async def _find(self, stream: str, keys: Collection[str]) -> None:
        found = await find_profiles(self._driver, self._origin.source_id, stream, keys)
        for key, profile_id in found.items():
            self._people.owners.setdefault((stream, key), profile_id)

    async def _read_evidence(self, profile_ids: Collection[ProfileId]) -> None:
        """Stored profiles as evidence; `resolve` completes what they carried before."""
        if profile_ids:
            rules = self._origin.rules
            self._evidence.update(await read_profiles(self._driver, profile_ids, rules))


async def find_profiles(
    driver: Driver, source_id: SourceId, stream: str, keys: Collection[str]
) -> dict[str, ProfileId]:
    """The stored profiles of the given keys."""
    if not keys:
        return {}
    rows = await driver.fetch(
        "SELECT p.key, p.id FROM unnest($3::text[]) AS k(key) CROSS JOIN LATERAL (SELECT key, id"
        " FROM source_profile WHERE source_id = $1 AND stream = $2 AND key = k.key OFFSET 0) p",
        source_id,
        stream,
        list(keys),
    )
    return {row["key"]: row["id"] for row in rows}
