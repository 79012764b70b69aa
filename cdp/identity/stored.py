"""Evidence as the database holds it: source profiles, their identifiers, and who shares them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, TypeAlias

import asyncpg

from cdp.identity.evidence import CONTACT, Evidence, Identifier
from cdp.identity.names import Person
from cdp.identity.rules import Rules
from cdp.values import CustomerId, ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_PROFILE: Final = (
    "p.id, s.name, p.stream, p.key, p.given_key, p.family_key, p.birth_date, p.compared_digest"
)
"""What of a stored profile is evidence beside its identifiers; `_evidence` reads it."""


def _evidence(row: Sequence[Any]) -> Evidence:
    profile_id, source, stream, key, given, family, born, digest = row
    person = Person(given, family, born)
    is_contact = stream == CONTACT
    return Evidence(profile_id, (source, stream, key), person, is_contact, digest=digest)


@dataclass(slots=True)
class History:
    """What a stored profile has carried so far, and whose it is."""

    customer_id: CustomerId
    all: set[Identifier] = field(default_factory=set)
    current: set[Identifier] = field(default_factory=set)


async def read_profiles(
    driver: Driver, profile_ids: Collection[ProfileId], rules: Rules
) -> dict[ProfileId, Evidence]:
    """Stored profiles as evidence, with what they say now; `read_history` has what they said once.

    Of one that carries more identifiers than the rules allow only so many are read as show it.
    """
    rows = await driver.fetch(
        f"SELECT {_PROFILE}, i.kind, i.value FROM unnest($1::bigint[]) AS k(id)"  # noqa: S608  # our own constant
        " JOIN source_profile p USING (id) JOIN source s ON s.id = p.source_id"
        " LEFT JOIN LATERAL (SELECT kind, value FROM identifier"
        " WHERE source_profile_id = p.id AND is_current LIMIT $2) i ON true",
        list(profile_ids),
        rules.most_identifiers + 1,
    )
    found: dict[ProfileId, Evidence] = {}
    said: dict[ProfileId, set[Identifier]] = defaultdict(set)
    for *profile, kind, value in rows:
        one = found.get(profile[0]) or found.setdefault(profile[0], _evidence(profile))
        if kind is not None:
            said[one.profile_id].add(Identifier(kind, value))
    for profile_id, identifiers in said.items():
        found[profile_id].current = frozenset(identifiers)
        found[profile_id].all |= identifiers
    return found


async def read_history(
    driver: Driver, profile_ids: Collection[ProfileId], rules: Rules
) -> dict[ProfileId, History]:
    """Every identifier that stored profiles have carried; of too many as in `read_profiles`."""
    rows = await driver.fetch(
        "SELECT p.id, p.customer_id, i.kind, i.value, i.is_current"
        " FROM unnest($1::bigint[]) AS k(id) JOIN source_profile p USING (id)"
        " LEFT JOIN LATERAL (SELECT kind, value, is_current FROM identifier"
        " WHERE source_profile_id = p.id LIMIT $2) i ON true",
        list(profile_ids),
        rules.most_identifiers + 1,
    )
    found: dict[ProfileId, History] = {}
    for profile_id, customer_id, kind, value, is_current in rows:
        one = found.get(profile_id) or found.setdefault(profile_id, History(customer_id))
        if kind is not None:
            one.all.add(Identifier(kind, value))
            if is_current:
                one.current.add(Identifier(kind, value))
    return found


async def read_sharers(
    driver: Driver, values: Collection[Identifier], reads_blocked: Collection[str]
) -> tuple[dict[Identifier, dict[ProfileId, Evidence]], dict[Identifier, str]]:
    """Who carries each value, as stored, and which values are blocked and why.

    Of a blocked value nobody is read, unless `reads_blocked` has the reason. The identifiers of
    who is found are not read yet.
    """
    if not values:
        return {}, {}
    # In the index's order, so that a page of it is looked up once for all values that it holds.
    wanted = sorted(values, key=itemgetter(1, 0))
    rows = await driver.fetch(
        "WITH k AS (SELECT * FROM unnest($1::text[], $2::text[]) AS k(kind, value)),"  # noqa: S608  # our own constant
        # Before anybody is read: whoever shares a blocked value is not, however many they are.
        " unblocked AS MATERIALIZED (SELECT kind, value FROM k WHERE NOT EXISTS"
        " (SELECT FROM blocked_value b WHERE b.kind = k.kind AND b.value = k.value"
        " AND b.reason <> ALL($3::text[])))"
        f" SELECT i.kind, i.value, NULL AS reason, {_PROFILE} FROM unblocked k"
        " CROSS JOIN LATERAL (SELECT * FROM identifier"
        " WHERE kind = k.kind AND value = k.value OFFSET 0) i"
        " JOIN source_profile p ON p.id = i.source_profile_id JOIN source s ON s.id = p.source_id"
        " UNION ALL SELECT b.kind, b.value, b.reason,"
        " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM k JOIN blocked_value b"
        " USING (kind, value)",
        [one.kind for one in wanted],
        [one.value for one in wanted],
        list(reads_blocked),
    )
    seen: dict[ProfileId, Evidence] = {}
    holders: dict[Identifier, dict[ProfileId, Evidence]] = defaultdict(dict)
    blocked: dict[Identifier, str] = {}
    for kind, value, reason, *profile in rows:
        if reason is not None:
            blocked[Identifier(kind, value)] = reason
            continue
        one = seen.get(profile[0]) or seen.setdefault(profile[0], _evidence(profile))
        holders[Identifier(kind, value)][one.profile_id] = one
    return holders, blocked


async def read_overgrown(
    driver: Driver, profile_ids: Collection[ProfileId], rules: Rules
) -> set[ProfileId]:
    """Those of stored profiles that carry more identifiers than the rules allow."""
    if not profile_ids:
        return set()
    rows = await driver.fetch(
        "SELECT k.id FROM unnest($1::bigint[]) AS k(id) WHERE (SELECT count(*) FROM"
        " (SELECT FROM identifier WHERE source_profile_id = k.id LIMIT $2) i) = $2",
        list(profile_ids),
        rules.most_identifiers + 1,
    )
    return {ProfileId(row[0]) for row in rows}


async def read_members(driver: Driver, customer_ids: Collection[CustomerId]) -> list[ProfileId]:
    """The source profiles of customers."""
    rows = await driver.fetch(
        "SELECT id FROM source_profile WHERE customer_id = ANY($1::bigint[])", list(customer_ids)
    )
    return [ProfileId(row[0]) for row in rows]


async def read_around(
    driver: Driver, profile_ids: Collection[ProfileId], most: int
) -> list[ProfileId]:
    """Whoever hangs together with stored profiles by values that are not blocked, nearest first.

    `most` counts values and profiles on the way; the server stops walking there.
    """
    rows = await driver.fetch(
        "WITH RECURSIVE near (id, kind, value) AS ("
        " SELECT id, NULL::text, NULL::text FROM unnest($1::bigint[]) AS k(id) UNION"
        " SELECT next.* FROM near CROSS JOIN LATERAL ("
        " SELECT NULL::bigint, i.kind, i.value FROM identifier i"
        " WHERE i.source_profile_id = near.id UNION ALL"
        " SELECT i.source_profile_id, NULL, NULL FROM identifier i"
        " WHERE i.kind = near.kind AND i.value = near.value AND NOT EXISTS"
        " (SELECT FROM blocked_value b WHERE b.kind = i.kind AND b.value = i.value)"
        " ) AS next (id, kind, value))"
        " SELECT id FROM (SELECT id FROM near LIMIT $2) reached WHERE id IS NOT NULL",
        list(profile_ids),
        most,
    )
    return [ProfileId(row[0]) for row in rows]
