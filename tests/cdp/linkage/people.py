"""Profiles for tests of linkage: a few by hand, or a made-up crowd with the truth about it."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.shoppers import RATES, Rates, tell
from cdp.identity.linkage.comparisons import COMPARISONS
from cdp.identity.linkage.prepare import count_names, make_people, prepare
from cdp.identity.linkage.profiles import PROFILES
from cdp.identity.linkage.vectors import Vectors, compare
from cdp.identity.people import claims_of

Person = Mapping[str, object]


def a_table(people: Sequence[Person]) -> pa.Table:
    """Profiles with the ids 0, 1, ...; what is not given is not known."""
    rows: list[dict[str, Any]] = [
        {"emails": [], "phones": [], "strong": [], **one, "profile_id": number}
        for number, one in enumerate(people)
    ]
    return pa.Table.from_pylist(rows, schema=PROFILES)


def a_crowd(seed: int, count: int, rates: Rates = RATES) -> tuple[pa.Table, NDArray[np.int64]]:
    """So many records of made-up shoppers, and of each whom it is truly about."""
    people, truth = [], []
    for one in tell(seed, count, rates):
        record, claims = one.record, claims_of(one.record, one.source, "US")
        identifiers = claims.identifiers[1:]
        people.append(
            {
                "given": claims.person.given or None,
                "family": claims.person.family or None,
                "birth_date": record.birth_date,
                "gender": record.gender,
                "street": record.street,
                "city": record.city,
                "postal_code": record.postal_code,
                "country": record.country,
                "emails": [value for kind, value in identifiers if kind == "email"],
                "phones": [value for kind, value in identifiers if kind == "phone"],
                "strong": [f"{k}:{v}" for k, v in identifiers if k == "loyalty_card"],
            }
        )
        truth.append(one.person)
    return a_table(people), np.array(truth, np.int64)


def compared(people: Sequence[Person], pairs: Sequence[tuple[int, int]]) -> Vectors:
    """The comparison of given pairs of given people, whatever the blocks say."""
    with duckdb.connect() as connection:
        prepare(connection, a_table(people))
        make_people(connection, count_names(connection))
        connection.execute(
            "CREATE TEMP TABLE candidate (join_key_l bigint, join_key_r bigint, match_key ubigint)"
        )
        connection.executemany("INSERT INTO candidate VALUES (?, ?, 0)", [list(p) for p in pairs])
        return compare(connection)


def labels(vectors: Vectors, name: str) -> dict[tuple[int, int], str | None]:
    """Of each pair the label of one comparison's level; None where it is not known."""
    column = next(place for place, one in enumerate(COMPARISONS) if one.name == name)
    told = COMPARISONS[column].labels
    ends = zip(vectors.left.tolist(), vectors.right.tolist(), strict=True)
    levels = vectors.levels[vectors.which, column].tolist()
    return {
        pair: None if level < 0 else told[level] for pair, level in zip(ends, levels, strict=True)
    }
