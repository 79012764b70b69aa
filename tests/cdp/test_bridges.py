"""Weak bridges: all pairs between two groups have their say, none too loudly."""

import pytest

from cdp.identity.bridges import MOST_PROFILES, hold_together


@pytest.mark.parametrize(
    ("weights", "left", "right", "holds"),
    [
        ([5.0], 1, 1, True),
        ([5.0, -4.0], 1, 2, True),
        ([40.0, -9.0, -9.0], 1, 3, False),  # one heavy pair does not outvote two doubts
        ([3.0], 3, 4, False),  # eleven pairs were not worth a comparison
        ([8.0, 8.0], 2, 4, True),
        ([], 2, 4, True),  # nothing speaks against it
        ([20.0], 1, MOST_PROFILES, False),
    ],
)
def test_two_groups_hold_together_by_what_all_pairs_say(
    weights: list[float], left: int, right: int, *, holds: bool
) -> None:
    assert hold_together(weights, left, right) is holds
