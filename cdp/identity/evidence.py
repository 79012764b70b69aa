"""Evidence and the rules that weigh it: how strong each kind of identifier is, and its limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from cdp.identity.names import Person
from cdp.values import ProfileId


class Strength(IntEnum):
    """How much a shared identifier says; a lower number is taken first."""

    UNIQUE = 1
    """Joins alone: two people do not share it."""
    COMMON = 2
    """Joins where names agree or one is absent: households share it, numbers are recycled."""


class Identifier(NamedTuple):
    """A typed, normalised value that points at a person."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class KindRule:
    """What one kind of identifier may do.

    `most_per_customer`: distinct current values that one person plausibly has; a join beyond is
    forbidden. `most_persons`: distinct persons that may share a value before it joins nobody.
    `family_may_change`: whether a person keeps it through a change of the family name.
    """

    strength: Strength
    most_per_customer: int
    most_persons: int
    family_may_change: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of the rules; another version may give another partition."""

    version: int
    kinds: Mapping[str, KindRule]
    most_persons_per_component: int
    """Beyond that, common identifiers join nobody in the component: a chain, not a person."""
    most_holders: int
    """Source profiles that may carry one value before it joins nobody, whoever they are."""

    def of(self, kind: str) -> KindRule:
        """The rule of a kind such as `email` or `handle:bluesky`."""
        return self.kinds[kind.partition(":")[0]]


RULES: Final = Rules(
    version=1,
    kinds={
        "loyalty_card": KindRule(Strength.UNIQUE, most_per_customer=5, most_persons=10),
        # A profile's own key is one of these: as many records of one person as may share a value.
        "external": KindRule(Strength.UNIQUE, most_per_customer=1_000, most_persons=10),
        "email": KindRule(
            Strength.COMMON, most_per_customer=8, most_persons=10, family_may_change=True
        ),
        "phone": KindRule(Strength.COMMON, most_per_customer=8, most_persons=10),
        "handle": KindRule(Strength.COMMON, most_per_customer=3, most_persons=5),
        "anonymous_id": KindRule(Strength.COMMON, most_per_customer=50, most_persons=5),
    },
    most_persons_per_component=200,
    most_holders=1_000,
)

KIND_PRIORITY: Final = ("loyalty_card", "email", "phone", "handle", "anonymous_id")
"""From strongest to weakest: a contact is keyed by the first that its record carries."""


@dataclass(slots=True)
class Evidence:
    """A source profile as identity sees it.

    `rank` orders profiles by what they are (source's name, stream, key), never by when they came.
    `is_contact`: known only by an identifier. `current` are the identifiers of the current
    version, `all` those of every version so far, the current one included.
    """

    profile_id: ProfileId
    rank: tuple[str, str, str]
    person: Person
    is_contact: bool = False
    current: frozenset[Identifier] = frozenset()
    all: set[Identifier] = field(default_factory=set)
