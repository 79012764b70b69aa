"""Evidence: what ties source profiles to each other, or keeps them apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from cdp.identity.names import Person
from cdp.values import ProfileId

SIMILARITY: Final = "similarity"
DECISION: Final = "decision"
"""How a scored pair and a decision are named where an identifier's kind would stand."""

GIVEN_NAME: Final = "given_name"
"""The comparison of first names among the parts of a pair's weight."""

PRIOR: Final = "prior"
RELATIVES: Final = "relatives"
DECIDED: Final = "decided_pairs"
"""The parts of a pair's weight that are no comparison, and have no level: how rare pairs of one
person are among all pairs, how well a relative of the same household explains the pair, what
decided pairs say of weights."""

CONTACT: Final = "contact"
"""The stream of source profiles that are known only by an identifier."""

KIND_PRIORITY: Final = ("loyalty_card", "email", "phone", "handle", "anonymous_id")
"""From strongest to weakest: a contact is keyed by the first that its record carries."""


class Identifier(NamedTuple):
    """A typed, normalised value that points at a person."""

    kind: str
    value: str


class Verdict(Enum):
    """What a person decided about the two sides of a decision."""

    SAME = "same"
    """Both sides together are one person."""
    NOT_SAME = "not_same"
    """Nobody of the one side is anybody of the other."""
    SPLIT = "split"
    """Each side is one person, and they are two."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision about sets of source profiles; of two that contradict the later holds."""

    decision_id: int
    at: datetime
    verdict: Verdict
    left: frozenset[ProfileId]
    right: frozenset[ProfileId]

    @property
    def wholes(self) -> Sequence[frozenset[ProfileId]]:
        """The sets that it says are one person each."""
        match self.verdict:
            case Verdict.SAME:
                return (self.left | self.right,)
            case Verdict.SPLIT:
                return (self.left, self.right)
            case Verdict.NOT_SAME:
                return ()

    @property
    def name(self) -> Identifier:
        """As it stands in the ledger."""
        return Identifier(DECISION, str(self.decision_id))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two source profiles that linkage has compared; `left` is the smaller id.

    `weight`: log2 of the odds that they are one person; `probability`: the same, calibrated.
    """

    left: ProfileId
    right: ProfileId
    weight: float
    probability: float

    @property
    def name(self) -> Identifier:
        """As it stands in the ledger and in the review queue."""
        return Identifier(SIMILARITY, f"{self.left}:{self.right}")


@dataclass(frozen=True, slots=True)
class Ties:
    """Evidence that is no identifier: what people decided, and what linkage scored."""

    decisions: Sequence[Decision] = ()
    pairs: Sequence[Pair] = ()


NO_TIES: Final = Ties()


@dataclass(slots=True)
class Evidence:
    """A source profile as identity sees it.

    `rank` orders profiles by what they are (source's name, stream, key), never by when they came.
    `is_contact`: known only by an identifier. `current` are the identifiers of the current
    version, `all` those of every version so far, the current one included. `digest` is that of
    what linkage compares, as it stands now: a scored pair holds only for what it compared.
    """

    profile_id: ProfileId
    rank: tuple[str, str, str]
    person: Person
    is_contact: bool = False
    current: frozenset[Identifier] = frozenset()
    all: set[Identifier] = field(default_factory=set)
    digest: bytes = b""
