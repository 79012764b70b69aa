"""Which tier is held when: a pure function of what qualified on which day, and the programme."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from cdp.loyalty.programme import Tiers
from cdp.loyalty.terms import add_months

NO_TIER: Final = -1


@dataclass(frozen=True, slots=True)
class Period:
    """A tier held from a day on; `until` is the first day without it, null while it is held.

    `rank` counts from the lowest tier, 0.
    """

    rank: int
    since: date
    until: date | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands on a day.

    `rank` is NO_TIER, and `since` null, where no tier is held. `until`: the first day on a lower
    tier, if nothing is added; null: never. `qualifying` is what the window holds.
    `next_change_on`: the next day on which time alone changes any of this. `history` has the
    periods up to the day, oldest first, those without a tier left out.
    """

    rank: int
    since: date | None
    until: date | None
    qualifying: Decimal
    next_change_on: date | None
    history: Sequence[Period]


def standing(amounts: Mapping[date, Decimal], tiers: Tiers, since: date, on: date) -> Standing:
    """Where somebody stands on a day, whose `amounts` qualified on the days that they name.

    `since`, not after `on`: when membership began; from then a tier without a threshold is held.
    A tier rises on the day that reaches it. When the window no longer holds enough for it, it is
    kept for the days of grace, and then falls as the policy says.
    """
    steps = _steps(amounts, tiers, since)
    changes = _changes(steps, tiers)
    past = [one for one in changes if one[0] <= on]
    _, rank = past[-1]
    later = [day for day, _ in (*steps, *changes) if day > on]
    return Standing(
        rank=rank,
        since=past[-1][0] if rank != NO_TIER else None,
        until=next((day for day, other in changes if day > on and other < rank), None),
        qualifying=next(total for day, total in reversed(steps) if day <= on),
        next_change_on=min(later, default=None),
        history=[
            Period(held, day, until)
            for (day, held), (until, _) in pairwise([*past, (None, NO_TIER)])
            if held != NO_TIER and day is not None
        ],
    )


def _steps(
    amounts: Mapping[date, Decimal], tiers: Tiers, since: date
) -> Sequence[tuple[date, Decimal]]:
    """What the window holds from each day on that changes it, past and to come."""
    changes: dict[date, Decimal] = {since: Decimal(0)}
    for day, amount in amounts.items():
        changes[day] = changes.get(day, Decimal(0)) + amount
        leaves = _leaves(day, tiers)
        if leaves is not None:
            changes[leaves] = changes.get(leaves, Decimal(0)) - amount
    total = Decimal(0)
    steps = []
    for day in sorted(changes):
        total += changes[day]
        steps.append((day, total))
    return steps


def _leaves(day: date, tiers: Tiers) -> date | None:
    """The first day whose window no longer holds what qualified on `day`; null: all will."""
    match tiers.window:
        case "rolling":
            return add_months(day, tiers.months)
        case "year":
            return date(day.year + 1, 1, 1)
        case "quarter":
            return add_months(date(day.year, day.month - (day.month - 1) % 3, 1), 3)
        case "lifetime":
            return None


def _changes(steps: Sequence[tuple[date, Decimal]], tiers: Tiers) -> Sequence[tuple[date, int]]:
    """From which day on which tier is held; the first is the day of the first step."""
    walk = _Walk(tiers, [(steps[0][0], NO_TIER)])
    thresholds = [level.threshold for level in tiers.levels]
    for day, total in steps:
        walk.fall_by(day)
        walk.earn(day, sum(total >= threshold for threshold in thresholds) - 1)
    walk.fall_by(date.max)
    return walk.changes


@dataclass(slots=True)
class _Walk:
    """The tier as days go by; `falls_on` is when grace is over, null while the tier is earned."""

    tiers: Tiers
    changes: list[tuple[date, int]]
    earned: int = NO_TIER
    falls_on: date | None = field(default=None)

    def earn(self, day: date, rank: int) -> None:
        """From a day on the window holds enough for this tier."""
        self.earned = rank
        if rank >= self.changes[-1][1]:
            self.falls_on = None
            self._hold(day, rank)
        elif self.falls_on is None and self.tiers.downgrade != "never":
            self.falls_on = day + timedelta(days=self.tiers.grace_days)
            self.fall_by(day)

    def fall_by(self, day: date) -> None:
        """Fall as often as grace is over by a day."""
        while self.falls_on is not None and self.falls_on <= day:
            fell_on = self.falls_on
            is_slow = self.tiers.downgrade == "one_step"
            rank = self.changes[-1][1] - 1 if is_slow else self.earned
            self.falls_on = None
            if rank > self.earned:
                self.falls_on = fell_on + timedelta(days=self.tiers.grace_days)
            self._hold(fell_on, rank)

    def _hold(self, day: date, rank: int) -> None:
        """Of several changes of one day the last one counts."""
        if self.changes[-1][0] == day and len(self.changes) > 1:
            self.changes.pop()
        if self.changes[-1][0] == day or self.changes[-1][1] != rank:
            if self.changes[-1][0] == day:
                self.changes.pop()
            self.changes.append((day, rank))
