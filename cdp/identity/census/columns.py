"""Everybody's evidence as columns: who there is, what they carry, whom likeness and people tie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cdp.identity.evidence import CONTACT, Decision, Evidence, Identifier, Pair
from cdp.identity.names import Person
from cdp.values import ProfileId

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

_PEOPLE: Final[Mapping[str, pa.DataType]] = {
    "profile_id": pa.int64(),
    "source": pa.string(),
    "stream": pa.string(),
    "key": pa.string(),
    "given": pa.string(),
    "family": pa.string(),
    "birth_date": pa.date32(),
}
PEOPLE: Final = pa.schema(_PEOPLE)
"""One row per source profile, by id; `given` and `family` are name keys, empty where not known."""

NAMES: Final = ["given", "family", "birth_date"]
"""What tells one person from another."""

_CARRIED: Final[Mapping[str, pa.DataType]] = {
    "profile_id": pa.int64(),
    "kind": pa.string(),
    "value": pa.string(),
    "is_current": pa.bool_(),
}
CARRIED: Final = pa.schema(_CARRIED)
"""One row per source profile and identifier that it carries or has ever carried."""

_PAIRS: Final[Mapping[str, pa.DataType]] = {
    "left_id": pa.int64(),
    "right_id": pa.int64(),
    "weight": pa.float64(),
    "probability": pa.float64(),
}
PAIRS: Final = pa.schema(_PAIRS)
"""One row per scored pair of source profiles that holds; the smaller id is on the left."""


@dataclass(frozen=True, slots=True)
class Census:
    """All evidence there is. Whom a column names is among the people."""

    people: pa.Table
    carried: pa.Table
    pairs: pa.Table
    decisions: Sequence[Decision] = ()

    @property
    def profile_ids(self) -> Integers:
        """By id; the place in it stands for a source profile in every other array."""
        ids: Integers = self.people["profile_id"].to_numpy()
        return ids

    @property
    def weights(self) -> Floats:
        """Of the scored pairs."""
        weights: Floats = self.pairs["weight"].to_numpy()
        return weights

    def places_of(self, profile_ids: Integers) -> Integers:
        """Where source profiles stand among the people."""
        return np.searchsorted(self.profile_ids, profile_ids).astype(np.int64)

    def flags_of(self, *places: Integers) -> Flags:
        """Of everybody, whether they are among these."""
        flags = np.zeros(self.people.num_rows, np.bool_)
        for some in places:
            flags[some] = True
        return flags

    def evidence_of(self, who: Flags, place: Integers) -> list[Evidence]:
        """Some source profiles as identity sees them one by one; `place` is of each carried row."""
        found: dict[int, Evidence] = {}
        for profile_id, source, stream, key, given, family, born in _rows(self.people, who):
            person = Person(given, family, born)
            found[profile_id] = Evidence(
                profile_id, (source, stream, key), person, stream == CONTACT
            )
        said: dict[int, set[Identifier]] = {}
        for profile_id, kind, value, is_current in _rows(self.carried, who[place]):
            identifier = Identifier(kind, value)
            found[profile_id].all.add(identifier)
            if is_current:
                said.setdefault(profile_id, set()).add(identifier)
        for profile_id, current in said.items():
            found[profile_id].current = frozenset(current)
        return list(found.values())

    def values_at(self, rows: Flags) -> list[Identifier]:
        """The identifiers of some of the carried rows, in their order."""
        return [Identifier(*row) for row in _rows(self.carried.select(["kind", "value"]), rows)]

    def pairs_at(self, rows: Flags) -> list[Pair]:
        """Some of the scored pairs."""
        return [Pair(*row) for row in _rows(self.pairs, rows)]

    def ranks_of(self, who: Flags) -> dict[ProfileId, tuple[str, str, str]]:
        """What orders source profiles, of some of them."""
        told = self.people.select(["profile_id", "source", "stream", "key"])
        return {profile_id: (*rank,) for profile_id, *rank in _rows(told, who)}

    def persons_of(self, who: Flags) -> list[Person]:
        """Who some source profiles say that they are."""
        return [Person(*row) for row in _rows(self.people.select(NAMES), who)]


def _rows(table: pa.Table, which: Flags) -> Iterator[tuple[Any, ...]]:
    """Some rows of a table, as its schema has them."""
    kept = table.filter(pa.array(which))
    return zip(*(column.to_pylist() for column in kept.columns), strict=True)


def codes_of(table: pa.Table, column: str) -> tuple[Integers, list[str]]:
    """A column of words as numbers, and the word of each number."""
    encoded: Any = table[column].combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def numbers_of(left: Integers, right: Integers) -> Integers:
    """Two columns of numbers as one, equal where both are."""
    return left * (int(right.max(initial=0)) + 1) + right
