"""Ranks with ties: as those of scipy.stats, which takes longer to load than to rank."""

import numpy as np

from cdp.scoring.histories import Floats, Integers


def mean_ranks(values: Floats) -> Floats:
    """The rank of each from the lowest, 1 the first; equals share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def ranks_from_highest(values: Floats | Integers) -> Integers:
    """The rank of each from the highest, 1 the first; equals share the best of theirs."""
    _, place, count = np.unique(-values, return_inverse=True, return_counts=True)
    first = np.cumsum(count) - count + 1
    return first[place]
