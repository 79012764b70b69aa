"""Training without truth: the candidates as a mixture of one person, one household, strangers.

The model of Fellegi and Sunter (1969) with a third class. Within a class what is compared is
independent; m and u of Fellegi and Sunter are the classes `same` and `stranger`. Relatives share
name, place and contact points but not the given name, so that no sum of weights against strangers
takes them for one person. Expectation and maximisation (Dempster, Laird, Rubin 1977) run over the
counted vectors, so that a step costs the same for a thousand pairs as for a million.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cdp.identity.linkage.chance import RARITIES, Chance, Floats
from cdp.identity.linkage.comparisons import COMPARISONS, FAMILY_LEVELS, PLACE_LEVELS
from cdp.identity.linkage.vectors import Levels

SAME, HOUSEHOLD, STRANGER = range(3)

MAX_STEPS: Final = 300  # it settles within a hundred
SETTLED: Final = 1e-8  # relative change of the likelihood
BELIEF: Final = 100.0
"""Pairs that the starting beliefs weigh as many as: a few thousand candidates overrule them."""

NAMESAKES: Final = 0.01
"""Of the pairs of relatives, so many bear one given name: sons are named for their fathers."""

NAMES_OF_RELATIVES: Final = ("given_name", "name_rarity", "given_rarity")
GIVEN_NAMES_AGREE: Final = 3  # the strongest levels: the same names, the first one, a short form

LEAST_RELATIVES: Final = 0.005
"""Pairs of relatives for each pair of one person, at least: where few are told apart from each
other, brothers would be taken for one person who once wrote another name."""

LEAST: Final = 1e-12  # nothing is impossible
LEFT_AT_LEAST: Final = 0.05  # of what was drawn: sampling may leave less than nothing

_STARTS: Final[Mapping[str, Sequence[float]]] = {
    # Levels from the weakest to the strongest, as one person's records are wont to agree.
    "given_name": (0.02, 0.01, 0.05, 0.03, 0.02, 0.12, 0.06, 0.70),
    "email": (0.25, 0.03, 0.04, 0.10, 0.25, 0.35),
    "phone": (0.15, 0.03, 0.15, 0.30, 0.40),
    "birth_date": (0.03, 0.04, 0.03, 0.10, 0.80),
    "gender": (0.02, 0.98),
    "strong_identifier": (0.05, 0.02, 0.93),
    "name_in_address": (0.45, 0.55),
}
_FAMILY_START: Final = (0.04, 0.05, 0.01, 0.90)  # another, typo, part, same
_PLACE_START: Final = (0.10, 0.06, 0.03, 0.06, 0.10, 0.65)  # another place ... same street

_HOUSEHOLD_STARTS: Final[Mapping[str, Sequence[float]]] = {
    "email": (0.60, 0.02, 0.01, 0.25, 0.15, 0.02),
    "phone": (0.50, 0.01, 0.30, 0.20, 0.02),
    "strong_identifier": (0.96, 0.02, 0.02),
    "name_in_address": (0.70, 0.30),
}
_FAMILY_OF_HOUSEHOLD: Final = (0.10, 0.03, 0.02, 0.85)
_PLACE_OF_HOUSEHOLD: Final = (0.04, 0.03, 0.02, 0.06, 0.10, 0.75)

SHARED_IN_A_HOUSEHOLD: Final = frozenset(
    ("family_and_place", "email", "phone", "strong_identifier", "family_rarity", "name_in_address")
)
"""What relatives have in common; in everything else they agree as often as strangers do."""

FOUND_WHOLLY: Final = ("email", "phone", "strong_identifier")
"""Every pair that agrees on one of these is a candidate, so that strangers' agreements are counted
among the candidates; drawn at random they are too rare to be seen."""


LETTERS_OFF: Final = {"email": 2, "phone": 1, "strong_identifier": 1}
"""Their levels with a typo, which are no block: only chance tells how often strangers show them."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """What was learned. `chances`: for each class and comparison the share of each level.

    `counts`: how many pairs are one person, one household, and how many pairs there are at all.
    """

    chances: Sequence[Mapping[str, Floats]]
    counts: tuple[float, float, float]


def learn(vectors: Levels, times: Floats, drawn: Mapping[str, Chance], profiles: int) -> Mixture:
    """Fit the mixture to counted vectors, one column per comparison."""
    return _Fit(vectors, times, drawn, profiles).run()


def log_shares(mixture: Mixture, vectors: Levels) -> Floats:
    """Of each vector the natural log of how many such pairs of each class there are; n by 3."""
    return np.stack(
        [
            np.log(count) + _log_likelihood(chances, vectors)
            for chances, count in zip(mixture.chances, mixture.counts, strict=True)
        ],
        axis=1,
    )


def _log_likelihood(chances: Mapping[str, Floats], vectors: Levels) -> Floats:
    total = np.zeros(len(vectors))
    for column, comparison in enumerate(COMPARISONS):
        logs = np.append(np.log(chances[comparison.name] + LEAST), 0.0)
        total += logs[vectors[:, column]]  # -1, not known, is the last: it tells nothing
    return total


def _together(family: Sequence[float] | Floats, place: Sequence[float] | Floats) -> Floats:
    """Both at once, as if they were independent of each other."""
    return _with_unknown(np.outer(_normal(family), _normal(place)))


def _with_unknown(joint: Floats) -> Floats:
    """The table of both, and beside it each alone: the likelihood where the other is not known.

    As the levels of `family_and_place` are numbered; both unknown is no level.
    """
    table = np.zeros((FAMILY_LEVELS, PLACE_LEVELS))
    table[1:, 1:] = joint
    table[0, 1:], table[1:, 0] = joint.sum(axis=0), joint.sum(axis=1)
    levels: Floats = table.ravel()[1:]
    return levels


def _both_known(levels: Floats) -> Floats:
    """The table of both alone."""
    table: Floats = np.concatenate([[0.0], levels]).reshape(FAMILY_LEVELS, PLACE_LEVELS)[1:, 1:]
    return table


def _normal(shares: Sequence[float] | Floats) -> Floats:
    whole = np.asarray(shares, dtype=np.float64)
    normal: Floats = whole / whole.sum()
    return normal


class _Fit:
    """The mixture while it is fitted."""

    def __init__(
        self, vectors: Levels, times: Floats, drawn: Mapping[str, Chance], profiles: int
    ) -> None:
        self._vectors, self._times, self._chance = vectors, times, drawn
        self._all = profiles * (profiles - 1) / 2
        stranger = self._strangers()
        self._starts = [self._same(), self._household(stranger), stranger]
        self._chances = [dict(one) for one in self._starts]
        pairs = times.sum()
        self._counts = [0.4 * pairs, 0.2 * pairs, self._all]

    def _strangers(self) -> dict[str, Floats]:
        starts = {name: one.shares for name, one in self._chance.items()}
        starts["family_and_place"] = _together(starts["family"], starts["place"])
        starts["name_in_address"] = _normal((0.98, 0.02))
        for name in FOUND_WHOLLY:
            starts[name] = _normal([1.0, *[1e-8] * (len(_STARTS[name]) - 1)])
        return starts

    def _same(self) -> dict[str, Floats]:
        starts = {name: _normal(shares) for name, shares in _STARTS.items()}
        starts["family_and_place"] = _together(_FAMILY_START, _PLACE_START)
        for name in RARITIES:
            starts[name] = self._chance[name].borne  # a rare name is as loyal as a common one
        return starts

    def _household(self, stranger: Mapping[str, Floats]) -> dict[str, Floats]:
        starts = {**stranger, **{n: _normal(s) for n, s in _HOUSEHOLD_STARTS.items()}}
        starts["family_and_place"] = _together(_FAMILY_OF_HOUSEHOLD, _PLACE_OF_HOUSEHOLD)
        starts["family_rarity"] = self._same()["family_rarity"]
        for name in NAMES_OF_RELATIVES:
            starts[name] = self._with_namesakes(name, stranger[name])
        return starts

    def run(self) -> Mixture:
        """Steps until the likelihood settles."""
        before = -np.inf
        for _ in range(MAX_STEPS):
            logs = log_shares(self._mixture(), self._vectors)
            top = logs.max(axis=1, keepdims=True)
            shares = np.exp(logs - top)
            total = shares.sum(axis=1, keepdims=True)
            likelihood = float((self._times * (np.log(total) + top)[:, 0]).sum())
            self._maximise(shares / total * self._times[:, None])
            if abs(likelihood - before) <= SETTLED * abs(likelihood):
                break
            before = likelihood
        return self._mixture()

    def _mixture(self) -> Mixture:
        same, household, every = map(float, self._counts)
        return Mixture([dict(one) for one in self._chances], (same, household, every))

    def _maximise(self, pairs: Floats) -> None:
        self._counts[SAME] = pairs[:, SAME].sum() + 1
        self._counts[HOUSEHOLD] = max(
            pairs[:, HOUSEHOLD].sum(), self._counts[SAME] * LEAST_RELATIVES
        )
        for column, comparison in enumerate(COMPARISONS):
            name, size = comparison.name, len(comparison.levels)
            seen = [_by_level(self._vectors[:, column], pairs[:, one], size) for one in range(3)]
            self._chances[SAME][name] = self._learned(SAME, name, seen[SAME])
            stranger = self._stranger(name, seen[STRANGER])
            self._chances[STRANGER][name] = stranger
            if name in SHARED_IN_A_HOUSEHOLD:
                stranger = self._learned(HOUSEHOLD, name, seen[HOUSEHOLD])
            elif name in NAMES_OF_RELATIVES:
                stranger = self._with_namesakes(name, stranger)
            self._chances[HOUSEHOLD][name] = stranger

    def _learned(self, which: int, name: str, seen: Floats) -> Floats:
        start = self._starts[which][name]
        if name != "family_and_place":
            return _normal(seen + BELIEF * start)
        # Where one of the two is not known, the pair counts for all that it may be.
        now = _both_known(self._chances[which][name])
        table = np.concatenate([[0.0], seen]).reshape(FAMILY_LEVELS, PLACE_LEVELS)
        counts = table[1:, 1:] + BELIEF * _both_known(start)
        counts += table[1:, :1] * now / now.sum(axis=1, keepdims=True)
        counts += table[:1, 1:] * now / now.sum(axis=0, keepdims=True)
        return _with_unknown(_normal(counts))

    def _stranger(self, name: str, seen: Floats) -> Floats:
        if name in FOUND_WHOLLY:
            known = self._chance[name].known * self._all
            agreeing = (seen[1:] + LEAST) / max(known, 1.0)
            typo = LETTERS_OFF[name] - 1
            by_chance = self._chance[name].shares - self._of_others(name)
            agreeing[typo] = max(agreeing[typo], by_chance[typo + 1])
            return np.concatenate([[max(1 - agreeing.sum(), LEAST)], agreeing])
        if name == "family_and_place":
            return _together(self._left("family", 1), self._left("place", 0))
        if name in RARITIES or name == "name_in_address":
            return self._starts[STRANGER][name]
        return self._left(name)

    def _with_namesakes(self, name: str, by_chance: Floats) -> Floats:
        """Given names as relatives bear them: by chance, but for those named for each other.

        A name that was passed on is as rare as any; one that two bear by chance is common.
        """
        if name == "given_name":
            named = (1 - NAMESAKES) * by_chance
            named[-1] += NAMESAKES
            return named
        agreeing = float(self._chance["given_name"].shares[-GIVEN_NAMES_AGREE:].sum())
        passed_on = NAMESAKES / (NAMESAKES + agreeing)
        rarity: Floats = passed_on * self._chance[name].borne + (1 - passed_on) * by_chance
        return rarity

    def _left(self, name: str, axis: int | None = None) -> Floats:
        """The shares of pairs drawn at random, without those who are one person or household."""
        drawn = self._chance[name].shares
        left = np.maximum(drawn - self._of_others(name, axis), drawn * LEFT_AT_LEAST)
        return _normal(left)

    def _of_others(self, name: str, axis: int | None = None) -> Floats:
        """What those who are one person or household add to the pairs drawn at random."""
        others = np.zeros(len(self._chance[name].shares))
        for which in (SAME, HOUSEHOLD):
            chances = self._chances[which]
            theirs = (
                chances[name]
                if axis is None
                else _both_known(chances["family_and_place"]).sum(axis=axis)
            )
            others += self._counts[which] / self._all * theirs
        return others


def _by_level(levels: Levels, pairs: Floats, size: int) -> Floats:
    known = levels >= 0
    return np.bincount(levels[known], weights=pairs[known], minlength=size).astype(np.float64)
