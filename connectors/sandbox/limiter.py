"""The two ways in which vendors count: a leaky bucket of points and windows of requests."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil

from connectors.sandbox.state import Clock


class LeakyBucket:
    """Points that refill continuously, as Shopify's query budget does."""

    def __init__(self, maximum: float, restore_rate: float, clock: Clock) -> None:
        self.maximum = maximum
        self.restore_rate = restore_rate
        self._clock = clock
        self._level = maximum
        self._at = clock()

    @property
    def available(self) -> float:
        """Points at hand now."""
        now = self._clock()
        gained = max(0.0, (now - self._at).total_seconds()) * self.restore_rate
        self._level = min(self.maximum, self._level + gained)
        self._at = now
        return self._level

    def take(self, points: float) -> bool:
        """Take points if they are there; negative points are given back."""
        if points > self.available:
            return False
        self._level = min(self.maximum, self._level - points)
        return True


@dataclass(slots=True)
class FixedWindow:
    """At most `limit` requests in each window of `seconds`, counted from the epoch."""

    limit: int
    seconds: int
    number: int = -1
    used: int = 0

    def roll(self, now: datetime) -> None:
        """Begin the window that now lies in."""
        number = int(now.timestamp()) // self.seconds
        if number != self.number:
            self.number = number
            self.used = 0

    @property
    def remaining(self) -> int:
        """Requests left in this window."""
        return max(0, self.limit - self.used)

    @property
    def ends_at(self) -> int:
        """Epoch second at which the next window begins."""
        return (self.number + 1) * self.seconds

    def seconds_left(self, now: datetime) -> int:
        """Whole seconds until the next window, at least one."""
        return max(1, ceil(self.ends_at - now.timestamp()))


class Windows:
    """Several windows at once; a request counts in all of them or in none."""

    def __init__(self, limits: tuple[tuple[int, int], ...], multiplier: float) -> None:
        self.windows = [
            FixedWindow(max(1, int(limit * multiplier)), seconds) for limit, seconds in limits
        ]

    def take(self, now: datetime) -> FixedWindow | None:
        """Count one request; return the spent window that refuses it, None when it may pass."""
        for window in self.windows:
            window.roll(now)
        spent = [window for window in self.windows if not window.remaining]
        if spent:
            return max(spent, key=lambda window: window.ends_at)
        for window in self.windows:
            window.used += 1
        return None
