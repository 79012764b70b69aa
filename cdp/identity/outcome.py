"""What clustering finds: the customers, what joined them, and what is left to a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cdp.identity.evidence import Identifier, Pair
from cdp.values import ProfileId

TORN_PRIORITY: Final = 0.9  # whose it is, nothing tells
LIMIT_PRIORITY: Final = 0.5
CLASH_PRIORITY: Final = 0.1  # other names at one address are a household, most of the time
BOUND_PRIORITY: Final = 0.05

Why: TypeAlias = tuple[str, float]
"""Why two sides are not one, in a sentence, and how open a question it is, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Join:
    """Evidence that made source profiles one; the weight is that of a scored pair."""

    identifier: Identifier
    profile_ids: tuple[ProfileId, ...]
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """Evidence that could not join two sides, and why; `priority`: 1 where nobody knows.

    `pair`: the scored pair that ties the sides best, if there is one. `right` is empty where
    evidence was left out because there is too much of it.
    """

    identifier: Identifier
    left: tuple[ProfileId, ...]
    right: tuple[ProfileId, ...]
    reason: str
    priority: float
    pair: Pair | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """The customers as sets of source profiles, what joined them, and what was left to a person."""

    customers: Sequence[Sequence[ProfileId]]
    joins: Sequence[Join]
    reviews: Sequence[Review]
    weighed: Sequence[Identifier]
    """The evidence that ties more than one: identifiers that are not blocked, and scored pairs."""


def half_alike(pair: Pair) -> Why:
    """Why a pair is left to a person that is heavy enough to ask, and too light to join."""
    question = 4 * pair.probability * (1 - pair.probability)
    return "They are alike, but not alike enough.", question
