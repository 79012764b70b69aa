"""Who each source profile truly is, and how close a partition of them comes to that."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from connectors.sandbox.business.population import Person

ProfileKey: TypeAlias = tuple[str, str, str]
"""Source, stream (customers or contact) and key."""


@dataclass(slots=True)
class Truth:
    """Source profile to the people whom it stands for: one, or several for a shared contact."""

    people: dict[ProfileKey, set[int]] = field(default_factory=dict)

    def about(self, source: str, key: str, person: Person) -> None:
        """A record of the source's `customers` stream is about this person."""
        self._note((source, "customers", key), person)

    def contact(self, source: str, kind: str, value: str, person: Person) -> None:
        """What this person did, the source knows under an identifier alone."""
        self._note((source, "contact", f"{kind}:{value.lower()}"), person)

    def of(self, profile: ProfileKey) -> int | None:
        """The one person's number; None for what is unknown, or several people's."""
        found = self.people.get(profile, set())
        return next(iter(found)) if len(found) == 1 else None

    def _note(self, profile: ProfileKey, person: Person) -> None:
        self.people.setdefault(profile, set()).add(person.number)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A partition against the truth, in pairs of source profiles."""

    joined_rightly: int
    joined_wrongly: int
    parted_wrongly: int
    judged_profiles: int
    """Profiles that stand for one known person; the others are not judged."""

    @property
    def precision(self) -> float:
        """Share of the joined pairs that are one person; 1 where nothing was joined."""
        return _share(self.joined_rightly, self.joined_wrongly)

    @property
    def recall(self) -> float:
        """Share of the pairs of one person that were joined; 1 where there are none."""
        return _share(self.joined_rightly, self.parted_wrongly)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def judge(truth: Truth, customers: Mapping[ProfileKey, int]) -> Judgement:
    """Compare a partition (source profile to customer id) with the truth.

    Pairs are counted from the sizes of the clusters, so it takes one pass over the profiles.
    """
    cells: Counter[tuple[int, int]] = Counter()
    for profile, customer in customers.items():
        person = truth.of(profile)
        if person is not None:
            cells[person, customer] += 1
    by_person: Counter[int] = Counter()
    by_customer: Counter[int] = Counter()
    for (person, customer), size in cells.items():
        by_person[person] += size
        by_customer[customer] += size
    right = _pairs(cells.values())
    return Judgement(
        right,
        _pairs(by_customer.values()) - right,
        _pairs(by_person.values()) - right,
        cells.total(),
    )


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _share(right: int, wrong: int) -> float:
    return right / (right + wrong) if right + wrong else 1.0
