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
import pyarrow.compute as pc
import pyarrow.csv

from cdp.identity.evidence import Verdict
from cdp.identity.linkage.linking import Answer
from cdp.identity.linkage.profiles import PROFILES
from cdp.identity.normalise import fold
from cdp.identity.rules import Rules, Strength

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SEPARATOR: Final = "\x1f"  # between values of a list: no identifier holds it
MOST_ANSWERS: Final = 100  # pairs of one decision; more say the same again

_PLACES: Final = ("street", "city", "postal_code", "country", "gender")
_LISTS: Final = ("emails", "phones", "strong")

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
    (k.digest IS DISTINCT FROM p.compared_digest)::int AS is_new
FROM source_profile p LEFT JOIN carried c ON c.source_profile_id = p.id
LEFT JOIN compared_profile k ON k.source_profile_id = p.id
WHERE p.stream = 'customers' ORDER BY p.id
"""


@dataclass(frozen=True, slots=True)
class Everybody:
    """All profiles of the stream `customers` at one moment.

    `digests`: in hexadecimal, of what each said then, in the order of `profiles`; `new`: those
    that have not been compared since they say it.
    """

    profiles: pa.Table
    digests: pa.ChunkedArray
    new: frozenset[int]


async def read_everybody(driver: Driver, rules: Rules) -> Everybody:
    """Read what linkage compares; of identifiers the current ones that tie anybody."""
    unique = [kind for kind, rule in rules.kinds.items() if rule.strength is Strength.UNIQUE]
    with tempfile.TemporaryDirectory(prefix="cdp-linkage-") as folder:
        path = Path(folder) / "profiles.csv"
        await driver.copy_from_query(_QUERY, unique, output=path, format="csv", header=True)
        table = pyarrow.csv.read_csv(
            path,
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={
                    **{name: pa.string() for name in (*PROFILES.names, "digest")},
                    "profile_id": pa.int64(),
                    "birth_date": pa.date32(),
                    "is_new": pa.int8(),
                },
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        )
    blocked = {
        "emails": rules.of("email").blocked,
        "phones": rules.of("phone").blocked,
        "strong": None,
    }
    columns = {name: table[name] for name in PROFILES.names}
    columns |= {name: _folded(table[name]) for name in _PLACES}
    columns |= {name: _list(table[name], blocked[name]) for name in _LISTS}
    ids = table["profile_id"]
    new = ids.filter(pc.equal(table["is_new"], 1)).to_pylist()
    return Everybody(pa.table(columns, schema=PROFILES), table["digest"], frozenset(new))


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


def _folded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Places in a form to be compared; each distinct one is folded once."""
    encoded = column.combine_chunks().dictionary_encode()
    words = [fold(word) or None for word in encoded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(words, pa.string()).take(encoded.indices)])


def _list(column: pa.ChunkedArray, blocked: re.Pattern[str] | None) -> pa.ChunkedArray:
    lists = pc.split_pattern(pc.fill_null(column, ""), SEPARATOR)
    empty = pa.scalar([], pa.list_(pa.string()))
    lists = pc.if_else(pc.is_null(column), empty, lists)
    if blocked is None:
        return lists
    kept = [[one for one in values if not blocked.fullmatch(one)] for values in lists.to_pylist()]
    return pa.chunked_array([pa.array(kept, pa.list_(pa.string()))])

