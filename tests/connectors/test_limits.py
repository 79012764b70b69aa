"""Requests stay within what a vendor allows; time is a number that the tests move."""

import pytest

from connectors.limits import MAX_RATE, Adaptive, CostBucket, Windows

pytestmark = pytest.mark.anyio


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


async def test_two_windows_hold_at_once() -> None:
    time = Time()
    limiter = Windows((5, 1.0), (20, 60.0), clock=time, sleep=time.sleep)
    sent = []
    for _ in range(45):
        await limiter.acquire()
        sent.append(time.now)
    for count, seconds in ((5, 1.0), (20, 60.0)):
        assert all(
            later - earlier >= seconds for earlier, later in zip(sent, sent[count:], strict=False)
        )
    assert sent[19] < 5
    assert sent[44] < 125


async def test_rate_climbs_until_it_is_refused_and_then_slowly() -> None:
    time = Time()
    limiter = Adaptive(10.0, clock=time, sleep=time.sleep)
    for _ in range(40):
        await limiter.acquire()
        limiter.succeeded()
    assert limiter.rate == MAX_RATE
    limiter.throttled()
    assert limiter.rate == MAX_RATE / 2
    before = time.now
    for _ in range(50):
        await limiter.acquire()
        limiter.succeeded()
    assert MAX_RATE / 2 < limiter.rate < MAX_RATE / 2 + 1.5
    assert 0.9 < time.now - before < 1.1


async def test_bucket_waits_for_what_the_next_request_costs() -> None:
    time = Time()
    bucket = CostBucket(clock=time, sleep=time.sleep)
    await bucket.acquire()
    assert time.now == 0
    bucket.learn(needed=500, available=100, maximum=2_000, restore_rate=100)
    await bucket.acquire()
    assert time.now == pytest.approx(4.0)


async def test_bucket_smaller_than_a_request_does_not_wait_for_ever() -> None:
    time = Time()
    bucket = CostBucket(clock=time, sleep=time.sleep)
    bucket.learn(needed=5_000, available=0, maximum=1_000, restore_rate=100)
    await bucket.acquire()
    assert time.now == pytest.approx(10.0)
