"""Customers to fit models to: public data sets, and made-up ones whose truth is known."""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from cdp.scoring.histories import Floats, Histories, Integers, OrderDays, Patterns, merge_days

WEEK: Final = 7
MOST_ROUNDS: Final = 10_000  # orders of one made-up customer


@dataclass(frozen=True, slots=True)
class DataSet:
    """A shop's order days, split where a published study splits them."""

    order_days: OrderDays
    as_of: date
    horizon_days: int

    @property
    def moment(self) -> int:
        """The split as a day."""
        return self.as_of.toordinal()


SPLITS: Final = {
    "cdnow_sample": (date(1997, 9, 30), 39 * WEEK),
    "cdnow": (date(1997, 9, 30), 39 * WEEK),
    "online_retail_ii": (date(2010, 12, 9), 52 * WEEK),
}


def read_data_set(shared_data: Path, name: str) -> DataSet:
    """One of the shared transaction files; several rows of a customer and day are one order day."""
    path = shared_data / "transactions" / name / "transactions.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    customer = np.array([int(float(row["cust"])) for row in rows])
    day = np.array([date.fromisoformat(row["date"]).toordinal() for row in rows])
    spend = np.array([float(row["amount"]) for row in rows])
    as_of, horizon_days = SPLITS[name]
    return DataSet(merge_days(customer, day, spend), as_of, horizon_days)


def to_come(data: DataSet, histories: Histories) -> tuple[Floats, Floats]:
    """Order days and spend of each customer within the horizon; counted one by one."""
    orders = dict.fromkeys(histories.customer.tolist(), 0)
    spend: dict[int, float] = {}
    rows = zip(data.order_days.customer, data.order_days.day, data.order_days.spend, strict=True)
    for customer, day, amount in rows:
        if customer in orders and 0 < day - data.moment <= data.horizon_days:
            orders[customer] += 1
            spend[customer] = spend.get(customer, 0.0) + amount
    return (
        np.array([float(count) for count in orders.values()]),
        np.array([spend.get(customer, 0.0) for customer in orders]),
    )


def pattern(repeats: int, recency: int, age: int) -> Patterns:
    """One customer, whose every order day has a price."""
    return patterns([(repeats, recency, age)])


def patterns(histories: Sequence[tuple[int, int, int]]) -> Patterns:
    """Of (repeats, recency, age): one customer of the first, two of the second and so on."""
    repeats, recency, age = np.array(histories).T
    count = np.arange(1, len(histories) + 1)
    of_customer = np.repeat(np.arange(len(histories)), count)
    return Patterns(repeats, recency, age, repeats + 1, count.astype(np.float64), of_customer)


@dataclass(frozen=True, slots=True)
class World:
    """How made-up customers behave: MBG/NBD or BG/NBD (`first_coins` 1 or 0), and Gamma-Gamma."""

    rates: tuple[float, float] = (0.8, 60.0)
    chances: tuple[float, float] = (0.7, 2.5)
    first_coins: int = 1
    spend: tuple[float, float, float] = (6.25, 3.74, 15.44)


def simulate(world: World, ages: Integers, horizon: int, seed: int) -> OrderDays:
    """Order days of customers of some ages at day `max(ages)`, up to `horizon` days beyond it.

    Two orders on one day make one order day, so that the made-up world is a little off the models'.
    """
    random = np.random.default_rng(seed)
    n, end = len(ages), int(ages.max())
    start = (end - ages).astype(np.float64)
    rate = random.gamma(world.rates[0], 1 / world.rates[1], n)
    chance = random.beta(*world.chances, n)
    scale = random.gamma(world.spend[1], 1 / world.spend[2], n)
    customers, days = [np.arange(n)], [start]
    active = np.flatnonzero(random.random(n) >= chance) if world.first_coins else np.arange(n)
    time = start.copy()
    for _ in range(MOST_ROUNDS):
        time[active] += random.exponential(1 / rate[active])
        active = active[time[active] < end + horizon + 1]
        if not len(active):
            break
        customers.append(active)
        days.append(time[active])
        active = active[random.random(len(active)) >= chance[active]]
    customer = np.concatenate(customers)
    spend = random.gamma(world.spend[0], size=len(customer)) / scale[customer]
    return merge_days(customer, np.floor(np.concatenate(days)).astype(np.int64), spend)
