"""How often strangers agree by chance: measured on people drawn at random, and on names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from cdp.identity.linkage.comparisons import COMPARISONS, FAMILY, PLACE, Comparison

Floats: TypeAlias = NDArray[np.float64]

DRAWN_PAIRS: Final[Mapping[str, int]] = {
    "given_name": 300_000,
    "family": 300_000,
    "place": 1_000_000,
    "email": 300_000,
    "phone": 300_000,
    "birth_date": 1_000_000,
    "gender": 100_000,
    "strong_identifier": 300_000,
}
"""Pairs drawn for each comparison: enough to see what matters a hundred times."""

DRAWN_PER_PROFILE: Final = 100  # few people make few pairs

RARITIES: Final = ("name_rarity", "given_rarity", "family_rarity")
"""Comparisons of how rare a name is that two people have in common."""

SEEN_LESS: Final = 0.3  # counted for every level, so that none is impossible
RARELY: Final = ("email", "phone", "strong_identifier")
"""Strangers agree on these too rarely to be met by chance: what was not seen counts nothing."""

_DRAW: Final = """
CREATE OR REPLACE TEMP TABLE drawn AS
WITH known AS (
    SELECT (row_number() OVER (ORDER BY profile_id) - 1)::ubigint AS place, profile_id FROM person
), pair AS (
    SELECT i, hash(i) % $people::ubigint AS one, hash(-1 - i) % $people::ubigint AS other
    FROM range($count) AS t(i)
)
SELECT i, a.profile_id AS one, b.profile_id AS other
FROM pair JOIN known a ON a.place = one JOIN known b ON b.place = other WHERE one <> other
"""


@dataclass(frozen=True, slots=True)
class Chance:
    """One comparison of pairs drawn at random: the share of each level, the weakest first.

    Of the pairs in which it is `known`, a share of all. The few pairs that are one person or live
    together are among them. Of a rarity: `shares` of those who bear one name by chance, who are
    many where it is common; `borne`: of people, so many of each rarity.
    """

    known: float
    shares: Floats
    borne: Floats


def chances(connection: duckdb.DuckDBPyConnection) -> Mapping[str, Chance]:
    """Each comparison of people drawn at random from the table `person`.

    Family and place are drawn apart from each other: strangers share neither by the other.
    """
    people = connection.execute("SELECT count(*) FROM person").fetchall()[0][0]
    most = min(max(DRAWN_PAIRS.values()), DRAWN_PER_PROFILE * int(people))
    connection.execute(_DRAW, {"count": most, "people": max(int(people), 1)})
    found = {
        one.name: _drawn(connection, one, DRAWN_PAIRS[one.name])
        for one in (*COMPARISONS, FAMILY, PLACE)
        if one.name in DRAWN_PAIRS
    }
    found |= {one.name: _rarity(connection, one) for one in COMPARISONS if one.name in RARITIES}
    return found


def _drawn(connection: duckdb.DuckDBPyConnection, comparison: Comparison, count: int) -> Chance:
    sides = ", ".join(
        f"{side}.{column} AS {column}_{side}" for column in comparison.columns for side in "lr"
    )
    rows = connection.execute(
        f"SELECT {comparison.number} AS level, count(*) FROM (SELECT {sides} FROM drawn"  # noqa: S608  # our own constants
        " JOIN person l ON l.profile_id = one JOIN person r ON r.profile_id = other"
        " WHERE i < $count) GROUP BY level",
        {"count": count},
    ).fetchall()
    times = {int(level): int(number) for level, number in rows}
    unknown = times.pop(-1, 0)
    less = 0.0 if comparison.name in RARELY else SEEN_LESS
    shares = _shares(times, len(comparison.levels), less)
    return Chance(sum(times.values()) / max(1, unknown + sum(times.values())), shares, shares)


def _rarity(connection: duckdb.DuckDBPyConnection, comparison: Comparison) -> Chance:
    """Two who bear one name by chance: each name counts as often as it is borne."""
    column, size = comparison.name, len(comparison.levels)
    rows = connection.execute(
        f"SELECT {comparison.number_if_known} AS level, count(*), sum(2 ** {column}_l) FROM"  # noqa: S608  # our own constants
        f" (SELECT {column} AS {column}_l, {column} AS {column}_r FROM person"
        f" WHERE {column} IS NOT NULL) GROUP BY level"
    ).fetchall()
    shares = _shares({level: float(by_chance) for level, _, by_chance in rows}, size)
    return Chance(1.0, shares, _shares({level: float(count) for level, count, _ in rows}, size))


def _shares(times: Mapping[int, float], size: int, less: float = SEEN_LESS) -> Floats:
    counts = np.full(size, less)
    for level, count in times.items():
        counts[level] += count
    shares: Floats = counts / max(counts.sum(), 1.0)
    return shares
