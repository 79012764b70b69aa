"""The profiles that linkage compares, as the database holds them, and what is already decided."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg
import pyarrow as pa

from cdp.identity.evidence import Verdict
from cdp.identity.linkage.linking import Answer
from cdp.identity.linkage.memory import open_memory
from cdp.identity.linkage.profiles import PROFILES
from cdp.identity.rules import Rules, Strength

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MOST_ANSWERS: Final = 100  # pairs of one decision; more say the same again

_QUERY: Final = """
WITH carried AS (
    SELECT i.source_profile_id,
        string_agg(i.value, chr(31) ORDER BY i.value) FILTER (WHERE i.kind = 'email') AS emails,
        string_agg(i.value, chr(31) ORDER BY i.value) FILTER (WHERE i.kind = 'phone') AS phones,
        string_agg(i.kind || ':' || i.value, chr(31) ORDER BY i.kind, i.value)
            FILTER (WHERE split_part(i.kind, ':', 1) = ANY ($1::text[])
                AND (i.kind, i.value) <> ('external:' || s.name, p.key)) AS strong
    FROM identifier i JOIN source_profile p ON p.id = i.source_profile_id
    JOIN source s ON s.id = p.source_id
    LEFT JOIN blocked_value b ON b.kind = i.kind AND b.value = i.value
    WHERE i.is_current AND b.kind IS NULL AND p.stream = 'customers'
    GROUP BY i.source_profile_id
)
SELECT p.id AS profile_id, p.given_key AS given, p.family_key AS family, p.birth_date, p.gender,
    p.street, p.city, p.postal_code, p.country, c.emails, c.phones, c.strong,
    encode(p.compared_digest, 'hex') AS digest,
    k.digest IS DISTINCT FROM p.compared_digest AS is_new
FROM source_profile p LEFT JOIN carried c ON c.source_profile_id = p.id
LEFT JOIN compared_profile k ON k.source_profile_id = p.id
WHERE p.stream = 'customers' ORDER BY p.id
"""


_READ: Final = """
SELECT * REPLACE (
    coalesce(string_split(emails, chr(31)), []) AS emails,
    coalesce(string_split(phones, chr(31)), []) AS phones,
    coalesce(string_split(strong, chr(31)), []) AS strong
)
FROM read_csv($path, header = true, all_varchar = true, nullstr = '', quote = '"', escape = '"',
    types = {'profile_id': 'BIGINT', 'birth_date': 'DATE', 'is_new': 'BOOLEAN'})
"""
"""Lists are separated by what no identifier holds."""


@dataclass(frozen=True, slots=True)
class Everybody:
    """All profiles of the stream `customers` at one moment, by id.

    `said`: of each, `profile_id` and the `digest` of what it says, in hexadecimal; `new`: those
    that have not been compared since they say it.
    """

    profiles: pa.Table
    said: pa.Table
    new: frozenset[int]


async def read_everybody(driver: Driver, rules: Rules) -> Everybody:
    """Read what linkage compares; of identifiers the current ones that tie anybody."""
    unique = [kind for kind, rule in rules.kinds.items() if rule.strength is Strength.UNIQUE]
    with tempfile.TemporaryDirectory(prefix="cdp-linkage-") as folder:
        path = Path(folder) / "profiles.csv"
        await driver.copy_from_query(_QUERY, unique, output=path, format="csv", header=True)
        with open_memory() as connection:
            found = connection.sql(_READ, params={"path": str(path)}).to_arrow_table()
    new = [
        int(one)
        for one, is_new in zip(
            found["profile_id"].to_pylist(), found["is_new"].to_pylist(), strict=True
        )
        if is_new
    ]
    profiles = found.select(PROFILES.names).cast(PROFILES)
    for column, kind in (("emails", "email"), ("phones", "phone")):
        pattern = rules.of(kind).blocked
        if pattern is not None:
            profiles = _without(profiles, column, pattern)
    return Everybody(profiles, found.select(["profile_id", "digest"]), frozenset(new))


def _without(profiles: pa.Table, column: str, blocked: re.Pattern[str]) -> pa.Table:
    """Without the values that a rule says join nobody."""
    kept = [
        [one for one in values or () if not blocked.fullmatch(one)]
        for values in profiles[column].to_pylist()
    ]
    place = profiles.schema.get_field_index(column)
    return profiles.set_column(place, column, pa.array(kept, PROFILES.field(column).type))


async def read_answers(driver: Driver) -> list[Answer]:
    """What people have decided and not taken back, as pairs; of a large decision the first ones."""
    rows = await driver.fetch(
        "SELECT d.id, d.kind, m.side, m.source_profile_id AS profile_id FROM identity_decision d"
        " JOIN decision_member m ON m.decision_id = d.id JOIN source_profile p"
        " ON p.id = m.source_profile_id WHERE d.retracted_at IS NULL AND p.stream = 'customers'"
        " ORDER BY d.at, d.id, m.source_profile_id"
    )
    decisions: dict[int, tuple[str, list[int], list[int]]] = {}
    for row in rows:
        _, left, right = decisions.setdefault(row["id"], (row["kind"], [], []))
        (left if row["side"] == "left" else right).append(row["profile_id"])
    answers: dict[tuple[int, int], Answer] = {}
    for kind, left, right in decisions.values():  # of two that contradict the later holds
        for answer in _answers(Verdict(kind), left, right):
            answers[answer.left, answer.right] = answer
    return list(answers.values())


def _answers(verdict: Verdict, left: list[int], right: list[int]) -> Iterator[Answer]:
    pairs = islice(product(left, right), MOST_ANSWERS)
    same = verdict is Verdict.SAME
    return (Answer(min(pair), max(pair), same) for pair in pairs)
