"""What a shop must have seen before a forecast says more than a guess."""

from dataclasses import dataclass
from typing import Final

from cdp.scoring.histories import Histories

LEAST_CUSTOMERS: Final = 500
LEAST_DAYS: Final = 180
LEAST_SPENDERS: Final = 100
LEAST_REGULARS: Final = 20
REGULAR_DAYS: Final = 3
"""Klaviyo asks for as many customers and days, and for some with three orders or more (help centre,
article 360020919731)."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One thing that is missing: a stable code, a sentence, and the two figures."""

    code: str
    message: str
    found: int
    needed: int


def shortfalls(histories: Histories) -> tuple[Shortfall, ...]:
    """What is missing for a forecast; empty where nothing is."""
    days = int(histories.age.max(initial=0))
    spenders = int((histories.spend > 0).sum())
    regulars = int((histories.repeats + 1 >= REGULAR_DAYS).sum())
    asked = (
        ("TOO_FEW_CUSTOMERS", "customers with an order", len(histories), LEAST_CUSTOMERS),
        ("TOO_SHORT_HISTORY", "days since the first order", days, LEAST_DAYS),
        ("TOO_FEW_PRICES", "customers with a priced order", spenders, LEAST_SPENDERS),
        ("TOO_FEW_REGULARS", "customers with three order days", regulars, LEAST_REGULARS),
    )
    return tuple(
        Shortfall(code, f"There are {found} {what}; a forecast needs {needed}.", found, needed)
        for code, what, found, needed in asked
        if found < needed
    )
