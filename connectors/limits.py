"""Keeps requests within what a vendor allows: time windows, an adaptive rate, a bucket of cost."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

MIN_RATE: Final = 0.5  # requests a second: slower than that, the vendor should say how long to wait
MAX_RATE: Final = 100.0
EPSILON_SECONDS: Final = 0.001  # clocks are coarse: waking a little late spares a second round
MAX_POLITE_SECONDS: Final = 300.0  # one wait for budget; a longer one means the numbers are wrong


class Limiter(Protocol):
    """Asked before each request and told of each answer."""

    async def acquire(self) -> None:
        """Wait until one more request may go out."""
        ...

    def succeeded(self) -> None:
        """The vendor took the last request."""
        ...

    def throttled(self) -> None:
        """The vendor said that it was one too many."""
        ...


class Unlimited:
    """For a server that publishes no limit: what it answers is the only guide."""

    async def acquire(self) -> None:
        """Go ahead."""

    def succeeded(self) -> None:
        """Nothing to learn."""

    def throttled(self) -> None:
        """The runner waits."""


class Windows:
    """So many requests in so many seconds, for several windows at once."""

    def __init__(
        self,
        *windows: tuple[int, float],
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._windows = windows
        self._sent: deque[float] = deque(maxlen=max(count for count, _ in windows))
        self._clock = clock
        self._sleep = sleep

    async def acquire(self) -> None:
        """Wait until every window has room."""
        while (seconds := self._wait_seconds()) > 0:
            await self._sleep(seconds + EPSILON_SECONDS)
        self._sent.append(self._clock())

    def succeeded(self) -> None:
        """The windows are fixed."""

    def throttled(self) -> None:
        """Somebody else uses the same account: the vendor says how long to wait."""

    def _wait_seconds(self) -> float:
        """Until the request that stands `count` places back has left its window."""
        now = self._clock()
        waits = [
            self._sent[-count] + seconds - now
            for count, seconds in self._windows
            if len(self._sent) >= count
        ]
        return max(waits, default=0.0)


class Adaptive:
    """A rate found by trying (AIMD): it climbs until the vendor refuses, and is halved then.

    Up to the first refusal it climbs by a tenth with each answer, after that by one request a
    second each second.
    """

    def __init__(
        self, start: float = 20.0, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.rate = start
        self._was_refused = False
        self._next_at = 0.0
        self._clock = clock
        self._sleep = sleep

    async def acquire(self) -> None:
        """Keep the distance that the rate asks for."""
        now = self._clock()
        wait, self._next_at = self._next_at - now, max(now, self._next_at) + 1 / self.rate
        if wait > 0:
            await self._sleep(wait)

    def succeeded(self) -> None:
        """A little faster."""
        step = 1 / self.rate if self._was_refused else self.rate / 10
        self.rate = min(MAX_RATE, self.rate + step)

    def throttled(self) -> None:
        """Half as fast."""
        self._was_refused = True
        self.rate = max(MIN_RATE, self.rate / 2)


class CostBucket:
    """A leaky bucket of points whose state the vendor tells with each answer."""

    def __init__(self, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._available = float("inf")
        self._maximum = float("inf")
        self._restore_rate = 1.0
        self._at = 0.0
        self._needed = 0.0
        self._clock = clock
        self._sleep = sleep

    async def acquire(self) -> None:
        """Wait until the bucket holds what the last request asked for."""
        needed = min(self._needed, self._maximum)
        missing = needed - self._available - (self._clock() - self._at) * self._restore_rate
        if missing > 0:
            await self._sleep(min(missing / self._restore_rate, MAX_POLITE_SECONDS))

    def learn(self, needed: float, available: float, maximum: float, restore_rate: float) -> None:
        """Take the vendor's word for the state of the bucket; points, and points per second."""
        self._needed, self._available = needed, available
        self._maximum, self._restore_rate = maximum, max(restore_rate, EPSILON_SECONDS)
        self._at = self._clock()

    def seconds_until(self, needed: float) -> float:
        """How long until the bucket holds that many points."""
        return max(0.0, (min(needed, self._maximum) - self._available) / self._restore_rate)

    def succeeded(self) -> None:
        """The answer's own figures say more."""

    def throttled(self) -> None:
        """The answer's own figures say more."""
