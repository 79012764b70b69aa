"""How often strangers agree by chance: measured on pairs of people drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from cdp.identity.linkage.comparisons import COMPARISONS, FAMILY, PLACE, Comparison

Floats: TypeAlias = NDArray[np.float64]

PAIRS: Final = 1_000_000
"""Pairs drawn for what is cheap to compare; an agreement of one in 10,000 is seen 100 times."""

NAME_PAIRS: Final = 300_000  # for what is compared letter by letter
SEEN_LESS: Final = 0.0  # counted for every level, so that none is impossible
DRAWN: Final = ("given_name", "family", "place", "birth_date", "gender")
KNOWN: Final[Mapping[str, str]] = {
    "email": "len(emails) > 0",
    "phone": "len(phones) > 0",
    "strong_identifier": "len(strong) > 0",
}
"""Comparisons of which only the share of people who have them is asked, and when one has it."""

RARITIES: Final = ("name_rarity", "given_rarity", "family_rarity")
"""Comparisons of how rare a name is that two people have in common."""


@dataclass(frozen=True, slots=True)
class Chance:
    """One comparison of pairs drawn at random: the share of each level, the weakest first.

    Of the pairs in which it is `known`, a share of all. The few pairs that are one person or live
    together are among them. Of a rarity: `shares` of those who bear one name by chance, who are
    many where it is common; `borne`: of people, so many of each rarity.
    """

    known: float
    shares: Floats
    borne: Floats | None = None


def chances(connection: duckdb.DuckDBPyConnection) -> Mapping[str, Chance]:
    """Each comparison of people drawn at random from the table `person`.

    Of contact points and unique identifiers only how often they are known: strangers share them
    too rarely to be met by chance. Family and place are drawn apart from each other.
    """
    connection.execute(_DRAWN, {"count": PAIRS})
    found = {one.name: _drawn(connection, one) for one in (*COMPARISONS, FAMILY, PLACE) if one.name in DRAWN}
    found |= {one.name: _rarity(connection, one) for one in COMPARISONS if one.name in RARITIES}
    for name, given in KNOWN.items():
        comparison = next(one for one in COMPARISONS if one.name == name)
        found[name] = _drawn(connection, comparison)
    return found


_DRAWN: Final = """
CREATE OR REPLACE TEMP TABLE drawn AS
WITH known AS (SELECT row_number() OVER (ORDER BY profile_id) - 1 AS place, profile_id FROM person),
pair AS (
    SELECT i, hash(i) % (SELECT count(*) FROM person) AS one,
        hash(-1 - i) % (SELECT count(*) FROM person) AS other
    FROM range($count) AS t(i)
)
SELECT i, a.profile_id AS one, b.profile_id AS other
FROM pair JOIN known a ON a.place = one JOIN known b ON b.place = other WHERE one <> other
"""


def _drawn(connection: duckdb.DuckDBPyConnection, comparison: Comparison) -> Chance:
    sides = ", ".join(
        f"{side}.{column} AS {column}_{side}" for column in comparison.columns for side in "lr"
    )
    rows = connection.execute(
        f"SELECT {level_of(comparison)} AS level, count(*) FROM (SELECT {sides} FROM drawn"  # noqa: S608  # our own constants
        " JOIN person l ON l.profile_id = one JOIN person r ON r.profile_id = other"
        " WHERE i < $count) GROUP BY level",
        {"count": NAME_PAIRS if "first_name" in comparison.columns else PAIRS},
    ).fetchall()
    times = {int(level): int(count) for level, count in rows}
    unknown = times.pop(-1, 0)
    shares = _shares(times, len(comparison.levels))
    return Chance(sum(times.values()) / max(1, unknown + sum(times.values())), shares)


def _rarity(connection: duckdb.DuckDBPyConnection, comparison: Comparison) -> Chance:
    column, size = comparison.name, len(comparison.levels)
    rows = connection.execute(
        f"SELECT {level_of(comparison, known=True)} AS level, count(*), sum(2 ** {column}_l) FROM"  # noqa: S608  # our own constants
        f" (SELECT {column} AS {column}_l, {column} AS {column}_r FROM person"
        f" WHERE {column} IS NOT NULL) GROUP BY level"
    ).fetchall()
    shares = _shares({level: float(by_chance) for level, _, by_chance in rows}, size)
    return Chance(1.0, shares, _shares({level: float(count) for level, count, _ in rows}, size))


def level_of(comparison: Comparison, *, known: bool = False) -> str:
    """The number of the level as an SQL expression; -1 for what is not known."""
    numbers = range(len(comparison.levels) - 1, -1, -1)
    levels = [
        f"WHEN {holds or 'true'} THEN {number}"
        for number, (_, holds) in zip(numbers, comparison.levels, strict=True)
    ]
    unknown = "" if known else f"WHEN {comparison.unknown} THEN -1 "
    return f"CASE {unknown}{' '.join(levels)} END"


def _shares(times: Mapping[int, float], size: int) -> Floats:
    counts = np.full(size, SEEN_LESS)
    for level, count in times.items():
        counts[level] += count
    shares: Floats = counts / counts.sum()
    return shares
