"""RFM: recency, frequency and monetary value as scores from 1 to 5, and the group they make."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from cdp.scoring.histories import Floats, Integers

QUINTILES: Final = (0.2, 0.4, 0.6, 0.8)


class RfmGroup(StrEnum):
    """What a customer's recency and frequency make them; every pair of scores is in one group."""

    CHAMPIONS = "CHAMPIONS"
    LOYAL = "LOYAL"
    POTENTIAL_LOYALIST = "POTENTIAL_LOYALIST"
    NEW = "NEW"
    PROMISING = "PROMISING"
    NEED_ATTENTION = "NEED_ATTENTION"
    ABOUT_TO_SLEEP = "ABOUT_TO_SLEEP"
    CANNOT_LOSE = "CANNOT_LOSE"
    AT_RISK = "AT_RISK"
    HIBERNATING = "HIBERNATING"
    PROSPECT = "PROSPECT"
    """No order yet, and so no scores."""


SHOPIFY_NAMES: Final[Mapping[RfmGroup, str]] = {
    RfmGroup.CHAMPIONS: "CHAMPIONS",
    RfmGroup.LOYAL: "LOYAL",
    RfmGroup.POTENTIAL_LOYALIST: "ACTIVE",
    RfmGroup.NEW: "NEW",
    RfmGroup.PROMISING: "PROMISING",
    RfmGroup.NEED_ATTENTION: "NEEDS_ATTENTION",
    RfmGroup.ABOUT_TO_SLEEP: "ALMOST_LOST",
    RfmGroup.CANNOT_LOSE: "PREVIOUSLY_LOYAL",
    RfmGroup.AT_RISK: "AT_RISK",
    RfmGroup.HIBERNATING: "DORMANT",
    RfmGroup.PROSPECT: "PROSPECTS",
}
"""The same groups by the names of Shopify's `CustomerRfmGroup`, one for one, by what its help says
of each; Shopify does not publish the scores at which its own groups begin."""

_ROWS: Final = (
    # F1            F2              F3                F4         F5
    ("HIBERNATING", "HIBERNATING", "AT_RISK", "AT_RISK", "CANNOT_LOSE"),  # R1
    ("HIBERNATING", "HIBERNATING", "AT_RISK", "AT_RISK", "CANNOT_LOSE"),  # R2
    ("ABOUT_TO_SLEEP", "ABOUT_TO_SLEEP", "NEED_ATTENTION", "LOYAL", "LOYAL"),  # R3
    ("PROMISING", "POTENTIAL_LOYALIST", "POTENTIAL_LOYALIST", "LOYAL", "LOYAL"),  # R4
    ("NEW", "POTENTIAL_LOYALIST", "POTENTIAL_LOYALIST", "CHAMPIONS", "CHAMPIONS"),  # R5
)

GROUPS: Final[Mapping[tuple[int, int], RfmGroup]] = {
    (recency, frequency): RfmGroup(name)
    for recency, row in enumerate(_ROWS, start=1)
    for frequency, name in enumerate(row, start=1)
}
"""From the scores of recency and frequency."""


@dataclass(frozen=True, slots=True)
class CutPoints:
    """Where the scores begin, for one moment; each has four values, from score 1|2 to score 4|5.

    A frequency or monetary value above a cut has the higher score, a recency (days) below it. Equal
    values thus share a score, whatever their share of the customers.
    """

    recency_days: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RfmScores:
    """Scores from 1 to 5, 5 the best; one element per customer."""

    recency: Integers
    frequency: Integers
    monetary: Integers


def cut_points(recency_days: Floats, frequency: Floats, monetary: Floats) -> CutPoints:
    """The quintiles of customers with an order: at most a fifth of them is above the last cut."""
    return CutPoints(
        tuple(-cut for cut in _cuts(-recency_days)), tuple(_cuts(frequency)), tuple(_cuts(monetary))
    )


def score_rfm(
    recency_days: Floats, frequency: Floats, monetary: Floats, cuts: CutPoints
) -> RfmScores:
    """One more than the cuts that a value is beyond."""
    latest_first = tuple(-cut for cut in cuts.recency_days)
    return RfmScores(
        _scores(-recency_days, latest_first),
        _scores(frequency, cuts.frequency),
        _scores(monetary, cuts.monetary),
    )


def _cuts(values: Floats) -> list[float]:
    return [float(cut) for cut in np.quantile(values, QUINTILES, method="inverted_cdf")]


def _scores(values: Floats, cuts: tuple[float, ...]) -> Integers:
    return 1 + np.searchsorted(np.array(cuts), values, side="left")
