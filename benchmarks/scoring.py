"""The models of value: in memory, from rows to stored scores, and as another library does it."""

import asyncio
import gc
import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from multiprocessing import get_context
from typing import Any, Final

import asyncpg
import numpy as np

from benchmarks.buyers import open_buyers
from benchmarks.command import run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground, execute
from benchmarks.processor import postgres_clock
from cdp.scoring.appraise import appraise
from cdp.scoring.beta_geometric import MBG_NBD
from cdp.scoring.forecast import LOWER, UPPER, Terms
from cdp.scoring.histories import Histories, Integers, OrderDays, merge_days, summarise
from cdp.scoring.intervals import NOMINAL
from cdp.scoring.model import OrderModel
from cdp.scoring.pareto import PARETO_NBD
from cdp.scoring.value import fit_value, forecast_value, scores

CUSTOMERS: Final = 1_000_000
SMALLEST: Final = 1_000  # a forecast needs some hundred
OLDEST_DAYS: Final = 104 * 7
SEED: Final = 20_240_229
LAST_DAY: Final = date(2026, 1, 1)
RATES: Final = (0.525, 43.3)  # CDNOW's customers as MBG/NBD has them: r, alpha in days, a, b
CHANCES: Final = (0.891, 1.614)
OFTEN: Final = (0.9, 45.0)  # who buy more often: five order days each
LOYAL: Final = (0.35, 3.0)  # and leave later
SPEND: Final = (6.25, 3.74, 15.44)  # and as Gamma-Gamma has them: p, q, gamma
MOST_ORDERS: Final = 10_000  # of one customer
WEEK: Final = 7
MONTHS: Final = 12
MEGABYTE: Final = 1e6
LONGEST_SECONDS: Final = 1_800  # of one scoring; beyond, it has failed
POLL_SECONDS: Final = 0.1
ROUNDS: Final = 3  # the quickest is told: what is beyond it is the neighbours'

_VERSION: Final = "SELECT max(version) FROM score_basis"


@dataclass(frozen=True, slots=True)
class _Took:
    """Seconds by the clock and of the processor."""

    wall: float
    processor: float


def scoring(ground: Ground, scale: float) -> Iterator[Figure]:
    """Customers whose order days lie in memory; CDNOW's parameters, ages up to two years.

    Then others, who buy more often, in a database: `cdp score` as a process of its own.
    """
    count = max(SMALLEST, round(CUSTOMERS * scale))
    yield from _stored(ground, count)
    order_days = made_up(count)
    histories = summarise(order_days, LAST_DAY.toordinal())
    for name, model in (("mbg", MBG_NBD), ("pareto", PARETO_NBD)):
        took = _quickest(partial(_fit_and_score, model, histories, Terms()))
        yield figure(f"scoring_{name}_wall", took.wall, "s")
        yield figure(f"scoring_{name}_processor", took.processor, "s")
    discounted = _quickest(partial(_fit_and_score, MBG_NBD, histories, Terms(discount_rate=0.1)))
    yield figure("scoring_mbg_discounted_processor", discounted.processor, "s")
    whole = _took(lambda: appraise(order_days, LAST_DAY, Terms()))
    yield figure("scoring_with_report_processor", whole.processor, "s")
    if importlib.util.find_spec("lifetimes"):
        theirs = _took(lambda: _by_lifetimes(histories))
        yield figure("lifetimes_processor", theirs.processor, "s")
        yield figure(
            "lifetimes_processor_times_ours", theirs.processor / discounted.processor, "ratio"
        )


def _stored(ground: Ground, count: int) -> Iterator[Figure]:
    """From rows to stored scores, of customers with five order days each."""
    with ground.database() as url:
        rows = _fill(url, count)
        execute(url, "VACUUM ANALYZE")
        yield figure("scoring_stored_order_days", rows, "rows")
        # The first also finds who is in which segment; the second replaces everybody's scores.
        yield from _scored(url, "scoring_stored")
        yield from _scored(url, "scoring_again")


def _scored(url: str, name: str) -> Iterator[Figure]:
    """What `cdp score` takes, and when its scores were in force: what follows is segments."""
    clock = postgres_clock(url)
    with ThreadPoolExecutor(1) as watcher:
        until = watcher.submit(asyncio.run, _seconds_until_scored(url))
        ran = run("score", variables={"CDP_DATABASE_URL": url}, clock=clock)
        yield figure(f"{name}_in_force_wall", until.result(), "s")
    yield figure(f"{name}_wall", ran.seconds, "s")
    yield figure(f"{name}_processor", ran.client_seconds, "s")
    if ran.postgres_seconds is not None:
        yield figure(f"{name}_postgres_processor", ran.postgres_seconds, "s")
    yield figure(f"{name}_peak_memory", ran.peak_bytes / MEGABYTE, "MB")


async def _seconds_until_scored(url: str) -> float:
    """From now until another version of the models is in force, or LONGEST_SECONDS."""
    started = time.monotonic()
    connection = await asyncpg.connect(url)
    try:
        before = await connection.fetchval(_VERSION)
        while time.monotonic() - started < LONGEST_SECONDS:
            if await connection.fetchval(_VERSION) != before:
                break
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await connection.close()
    return time.monotonic() - started


def _fill(url: str, count: int) -> int:
    """Returns the number of order days.

    By a process of its own: what a process has had, the peak memory of those it begins counts in.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as others:
        return others.submit(_filled, url, count).result()


def _filled(url: str, count: int) -> int:
    order_days = made_up(count, OFTEN, LOYAL)
    until_today = date.today() - LAST_DAY  # noqa: DTZ011  `cdp score` goes by the clock too
    open_buyers(url, order_days, count, until_today.days)
    return len(order_days.day)


def made_up(
    count: int, rates: tuple[float, float] = RATES, chances: tuple[float, float] = CHANCES
) -> OrderDays:
    """Order days of customers of all ages up to the oldest, MBG/NBD and Gamma-Gamma."""
    random = np.random.default_rng(SEED)
    age = random.integers(1, OLDEST_DAYS + 1, count)
    rate = random.gamma(rates[0], 1 / rates[1], count)
    chance = random.beta(*chances, count)
    scale = random.gamma(SPEND[1], 1 / SPEND[2], count)
    time_of, everyone = (OLDEST_DAYS - age).astype(np.float64), np.arange(count)
    customers, days = [everyone], [time_of.copy()]
    active = everyone[random.random(count) >= chance]
    for _ in range(MOST_ORDERS):
        time_of[active] += random.exponential(1 / rate[active])
        active = active[time_of[active] <= OLDEST_DAYS]
        if not len(active):
            break
        customers.append(active)
        days.append(time_of[active])
        active = active[random.random(len(active)) >= chance[active]]
    customer = np.concatenate(customers)
    spend = random.gamma(SPEND[0], size=len(customer)) / scale[customer]
    day = np.floor(np.concatenate(days)).astype(np.int64) + LAST_DAY.toordinal() - OLDEST_DAYS
    return merge_days(customer, day, spend)


def _fit_and_score(model: OrderModel, histories: Histories, terms: Terms) -> None:
    fitted = fit_value(model, histories)
    forecast = forecast_value(fitted, histories, terms, (LOWER, UPPER))
    scores(forecast, histories, terms, NOMINAL)


def _by_lifetimes(histories: Histories) -> None:
    """The same model, P(alive), expected orders and discounted value; bounds it does not have."""
    lifetimes: Any = importlib.import_module("lifetimes")
    series: Any = importlib.import_module("pandas").Series

    def weeks(days: Integers) -> Any:  # noqa: ANN401 (an untyped library's)
        return series(days / WEEK)

    repeats, recency, age = series(histories.repeats), histories.recency, histories.age
    with warnings.catch_warnings(action="ignore"):
        orders = lifetimes.ModifiedBetaGeoFitter().fit(repeats, weeks(recency), weeks(age))
        spend = lifetimes.GammaGammaFitter().fit(histories.priced, histories.mean_spend)
        orders.conditional_probability_alive(repeats, weeks(recency), weeks(age))
        orders.conditional_expected_number_of_purchases_up_to_time(
            52, repeats, weeks(recency), weeks(age)
        )
        spend.customer_lifetime_value(
            orders,
            repeats,
            weeks(recency),
            weeks(age),
            series(histories.mean_spend),
            time=MONTHS,
            freq="W",
        )


def _quickest(job: Callable[[], None]) -> _Took:
    rounds = [_took(job) for _ in range(ROUNDS)]
    return _Took(min(one.wall for one in rounds), min(one.processor for one in rounds))


def _took(job: Callable[[], object]) -> _Took:
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    job()
    return _Took(time.perf_counter() - wall, time.process_time() - processor)
