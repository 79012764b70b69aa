"""Source profiles as a batch tells them: customers' records and contacts, as evidence."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

import msgspec

from cdp.ahead import Ahead
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
from cdp.identity.rules import Rules
from cdp.identity.stored import read_profiles
from cdp.records import CustomerRecord
from cdp.values import CustomerId, ProfileId, SourceId
from cdp.versions import Changes, Driver, Version

CUSTOMERS: Final = "customers"


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


class ProfileRow(msgspec.Struct, frozen=True):
    """A row of `source_profile` but for its customer, which evidence decides."""

    profile_id: ProfileId
    stream: str
    version: Version
    first_stored_at: datetime
    claims: Claims


def contact_key(identifier: Identifier) -> str:
    """The key of a contact within its source, such as `email:ann@example.com`."""
    return f"{identifier.kind}:{identifier.value}"


class Told:
    """What a batch tells of source profiles.

    `people` says whose and which they are; `evidence` what ties each, `said` the identifiers of it
    that the batch names; `rows` are those to be written.
    """

    def __init__(self, driver: Driver, origin: Origin, ahead: Ahead) -> None:
        self._driver = driver
        self._ahead = ahead
        self._origin = origin
        self.people = People()
        self.evidence: dict[ProfileId, Evidence] = {}
        self.said: dict[ProfileId, set[Identifier]] = defaultdict(set)
        self.rows: list[ProfileRow] = []

    async def add_customers(self, changes: Changes) -> None:
        """Customers' records: new ones, newer versions, and what late versions tell."""
        ids = await self._reserve(len(changes.fresh))
        for profile_id, version in zip(ids, changes.fresh, strict=True):
            self.people.fresh.add(profile_id)
            self._add_customer(profile_id, version, self._origin.learned_at)
        for version, stored in changes.changed:
            self._add_customer(stored.row["id"], version, stored.row["first_stored_at"])
        for version, stored in changes.deleted:
            self.people.owners[CUSTOMERS, version.key] = stored.row["id"]
            self.people.deleted.add(stored.row["id"])
        self.people.touched |= self.people.deleted
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
        self.people.unread.update(claims.unread)
        self.evidence[profile_id] = Evidence(
            profile_id,
            (origin.name, CUSTOMERS, version.key),
            claims.person,
            current=frozenset(said),
            all=set(said),
            digest=claims.digest,
        )
        self.said[profile_id].update(said)
        self.people.owners[CUSTOMERS, version.key] = profile_id
        self.rows.append(ProfileRow(profile_id, CUSTOMERS, version, first_stored_at, claims))

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
                history[self.people.owners[CUSTOMERS, version.key]].update(said)
        await self._read_evidence([one for one in history if one not in self.evidence])
        for profile_id, said_once in history.items():
            self.evidence[profile_id].all |= said_once
            self.said[profile_id] |= said_once

    async def add_contacts(self, versions: Iterable[Version]) -> None:
        """One contact per strongest identifier of records that name no customer."""
        said: dict[str, list[Identifier]] = {}
        for version in versions:
            if version.record is not None:
                identifiers, unread = read_contact(version.record, self._origin.region)
                self.people.unread.update(unread)
                if identifiers:
                    said.setdefault(contact_key(identifiers[0]), []).extend(identifiers)
        if not said:
            return
        await self._find(CONTACT, list(said))
        known = {
            profile_id: set(said.pop(key))
            for key in list(said)
            if (profile_id := self.people.owners.get((CONTACT, key))) is not None
        }
        for profile_id, identifier in await self._carried(known):
            known[profile_id].discard(identifier)
        news = {profile_id: told for profile_id, told in known.items() if told}
        await self._read_evidence(news)
        for profile_id, told in news.items():
            self.evidence[profile_id].current |= told
            self.evidence[profile_id].all |= told
            self.said[profile_id] |= told
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
            self.evidence[profile_id] = Evidence(
                profile_id,
                (origin.name, CONTACT, key),
                NOBODY,
                is_contact=True,
                current=frozenset(identifiers),
                all=set(identifiers),
            )
            self.said[profile_id].update(identifiers)
            self.people.owners[CONTACT, key] = profile_id
            self.people.fresh.add(profile_id)
            email, phone = first_of(identifiers, "email"), first_of(identifiers, "phone")
            claims = Claims(NOBODY, identifiers, email, phone, b"")
            version = Version(key, None, b"null", b"", None, None)
            self.rows.append(ProfileRow(profile_id, CONTACT, version, origin.learned_at, claims))

    async def _reserve(self, count: int) -> Sequence[ProfileId]:
        rows = await self._driver.fetch(
            "SELECT nextval('source_profile_id_seq') FROM generate_series(1, $1)", count
        )
        return [ProfileId(row[0]) for row in rows]

    async def _find(self, stream: str, keys: Collection[str]) -> None:
        found = await find_profiles(self._driver, self._origin.source_id, stream, keys)
        for key, profile_id in found.items():
            self.people.owners.setdefault((stream, key), profile_id)

    async def _read_evidence(self, profile_ids: Collection[ProfileId]) -> None:
        """Stored profiles as evidence; `resolve` completes what they carried before."""
        if profile_ids:
            rules = self._origin.rules
            self.evidence.update(await read_profiles(self._driver, profile_ids, rules))


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
