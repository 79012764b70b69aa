"""How long subscriptions last, by plan, and how likely one ends within a horizon.

The curve of Kaplan and Meier ("Nonparametric Estimation from Incomplete Observations", 1958): of
those that had lasted so long, the share that did not end then. Subscriptions that go on count for
as long as they have been seen. Beyond the longest that was seen, endings go on at the mean rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cdp.scoring.histories import Booleans, Floats, Integers

LEAST_ENDED: Final = 10  # of a plan, before its own curve says more than that of all plans
ALL_PLANS: Final = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """From days (rising) to the share that has lasted longer; `rate` of endings a day beyond."""

    days: tuple[int, ...]
    lasting: tuple[float, ...]
    rate: float

    def beyond(self, days: Floats) -> Floats:
        """The share that lasts longer than so many days."""
        known = np.array(self.days, dtype=np.float64)
        lasting = np.concatenate([[1.0], self.lasting])
        share = lasting[np.searchsorted(known, days, side="right")]
        lasts: Floats = share * np.exp(-self.rate * np.maximum(days - known[-1], 0.0))
        return lasts


def survival(days: Integers, has_ended: Booleans) -> Curve | None:
    """The curve of subscriptions that lasted, or have lasted so far; None where none has ended."""
    exposure = float(days.sum())
    if not has_ended.any() or not exposure:
        return None
    longest = int(days.max())
    seen = np.bincount(days, minlength=longest + 1)
    ended = np.bincount(days[has_ended], minlength=longest + 1)
    at_risk = seen[::-1].cumsum()[::-1]
    lasting = np.cumprod(1.0 - ended / at_risk)
    # A curve that ends at zero, because the longest one ended, would make those beyond certain.
    steps = np.flatnonzero((ended > 0) & (lasting > 0))
    kept = np.append(steps, longest) if longest not in steps else steps
    shares = np.where(lasting[kept] > 0, lasting[kept], lasting[steps[-1]] if len(steps) else 1.0)
    return Curve(
        tuple(kept.tolist()), tuple(float(share) for share in shares), float(ended.sum()) / exposure
    )


def survival_by_plan(
    plans: Sequence[str], days: Integers, has_ended: Booleans
) -> Mapping[str, Curve]:
    """The curve of each plan with enough endings, and under `ALL_PLANS` that of all together."""
    found = {ALL_PLANS: survival(days, has_ended)}
    names = np.array(plans, dtype=np.str_)
    for plan in sorted(set(plans) - {ALL_PLANS}):
        chosen = names == plan
        if has_ended[chosen].sum() >= LEAST_ENDED:
            found[plan] = survival(days[chosen], has_ended[chosen])
    return {plan: curve for plan, curve in found.items() if curve is not None}


def ending(curves: Mapping[str, Curve], plan: str, days: Integers, horizon: int) -> Floats:
    """The probability that subscriptions of a plan, so many days old, end within a horizon.

    Not a number where no curve is known.
    """
    curve = curves.get(plan, curves.get(ALL_PLANS))
    if curve is None:
        return np.full(len(days), np.nan)
    lasted = np.asarray(days, dtype=np.float64)
    return 1.0 - curve.beyond(lasted + horizon) / curve.beyond(lasted)
