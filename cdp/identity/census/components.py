"""Which source profiles hang together by any evidence, everybody at once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cdp.identity.census.carried import Carried
from cdp.identity.census.columns import Census, Flags, Integers
from cdp.identity.rules import Cuts


@dataclass(frozen=True, slots=True)
class Ends:
    """The scored pairs by the places of their two ends."""

    left: Integers
    right: Integers

    def inside(self, component: Integers) -> Flags:
        """Of each pair, whether both ends are in one component."""
        together: Flags = component[self.left] == component[self.right]
        return together


@dataclass(frozen=True, slots=True)
class Components:
    """Of each place the number of its component, and how many places each component has."""

    number: Integers
    size: Integers

    def with_any(self, places: Integers) -> Flags:
        """Of each component, whether one of these is in it."""
        found = np.zeros(len(self.size), np.bool_)
        found[self.number[places]] = True
        return found

    def first_places(self) -> Integers:
        """Of each component its first place."""
        order, start = self.members()
        first: Integers = order[start]
        return first

    def members(self) -> tuple[Integers, Integers]:
        """All places component by component, and where in that order each component starts."""
        order = np.argsort(self.number, kind="stable")
        return order, np.cumsum(self.size) - self.size


def components_of(census: Census, carried: Carried, ends: Ends, cuts: Cuts) -> Components:
    """Whom values, decisions and heavy pairs tie together, as clustering goes by it."""
    joins = census.weights >= cuts.join_weight  # as Cuts.joins has it
    decided = [_chain(whole) for whole in wholes_of(census)]
    return connect(
        census.people.num_rows,
        [carried.edges(), *decided, (ends.left[joins], ends.right[joins])],
    )


def wholes_of(census: Census) -> list[Integers]:
    """The places of those whom one decision says are one person, as far as they are there."""
    return [_places(census, whole) for decision in census.decisions for whole in decision.wholes]


def decided_of(census: Census) -> Integers:
    """The places of those of whom any decision speaks."""
    spoken_of = {one for decision in census.decisions for one in decision.left | decision.right}
    return _places(census, spoken_of)


def _places(census: Census, profile_ids: Iterable[int]) -> Integers:
    ids = np.array(sorted(profile_ids), np.int64)
    return census.places_of(ids[np.isin(ids, census.profile_ids)])


def connect(count: int, edges: Iterable[tuple[Integers, Integers]]) -> Components:
    """So many places, tied by edges."""
    left, right = (np.concatenate(side) for side in zip(*edges, strict=True))
    graph = coo_matrix((np.ones(len(left), np.int8), (left, right)), (count, count))
    _, number = connected_components(graph, directed=False)
    return Components(number.astype(np.int64), np.bincount(number).astype(np.int64))


def _chain(places: Integers) -> tuple[Integers, Integers]:
    return places[:-1], places[1:]
