"""Weak bridges: whether two groups of source profiles hold together by all that ties them.

One heavy pair may tie two groups whose other members are strangers: a nameless record that fits
father and son, a typo that makes a name another's. Joined by their best pair alone, groups chain
into customers of many people. So every pair that was scored between them has its say.
"""

from collections.abc import Iterable
from typing import Final

MOST_SAID: Final = 10.0
"""What one pair may say for or against, in log2 of odds: a thousand to one. Beyond that a heavier
pair does not outvote the doubts of others."""

UNSEEN: Final = -0.4
"""What a pair says that was not worth a comparison: people who are one are mostly alike enough to
be compared, so that silence speaks a little against it."""

MOST_PROFILES: Final = 30
"""Source profiles that likeness may bring together in one customer: more are a chain more often
than a person, and a person should look at it."""


def hold_together(weights: Iterable[float], left: int, right: int) -> bool:
    """Whether the pairs between two groups of `left` and `right` members speak for one person.

    `weights` are those of the scored pairs between them, in log2 of odds; the sum of what all
    pairs say must not be below zero. With no scored pair nothing speaks against it.
    """
    if left + right > MOST_PROFILES:
        return False
    said, seen = 0.0, 0
    for weight in weights:
        said += max(-MOST_SAID, min(MOST_SAID, weight))
        seen += 1
    return seen == 0 or said + UNSEEN * (left * right - seen) >= 0
