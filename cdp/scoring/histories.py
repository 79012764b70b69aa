"""What the models know of each customer: repeat order days, the day of the last one, age, spend."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]

BLOCK: Final = 8_192  # rows at once
MANY_ROWS: Final = 16 * BLOCK  # from which two threads are quicker than one
SAMPLE: Final = 20_000  # customers from which a fit of more of them begins


@dataclass(frozen=True, slots=True)
class OrderDays:
    """One element per customer and day with a qualifying order, sorted by customer, then day.

    `customer` is any number; `day` counts days from any fixed day; `spend` is the net spend of the
    day in the workspace's currency, not a number where no order of the day has a price.
    """

    customer: Integers
    day: Integers
    spend: Floats

    def until(self, as_of: int) -> "OrderDays":
        """Those up to and including a day."""
        return self._where(self.day <= as_of)

    def of(self, customers: Integers) -> "OrderDays":
        """Those of some customers."""
        return self._where(np.isin(self.customer, customers))

    def _where(self, kept: Booleans) -> "OrderDays":
        return OrderDays(self.customer[kept], self.day[kept], self.spend[kept])


@dataclass(frozen=True, slots=True)
class Histories:
    """One element per customer with an order day, as of one day; durations in whole days.

    `repeats` are the order days after the first (x), `recency` the days from the first to the last
    (t_x), `age` those from the first to the moment (T). `spend` sums the `priced` order days.
    """

    customer: Integers
    repeats: Integers
    recency: Integers
    age: Integers
    spend: Floats
    priced: Integers

    def __len__(self) -> int:
        """How many customers."""
        return len(self.customer)

    @property
    def mean_spend(self) -> Floats:
        """Per priced order day; not a number without one."""
        none = np.full(len(self), np.nan)
        mean: Floats = np.divide(self.spend, self.priced, out=none, where=self.priced > 0)
        return mean

    def every(self, stride: int) -> "Histories":
        """Each `stride`-th customer: a sample that is the same every time."""
        return self.where(slice(None, None, stride))

    def where(self, kept: Booleans | slice) -> "Histories":
        """Those of some customers."""
        return Histories(*(getattr(self, name)[kept] for name in self.__slots__))


def merge_days(customer: Integers, day: Integers, spend: Floats) -> OrderDays:
    """Order days from rows in any order; rows of one customer and day become one.

    A day keeps what its priced rows sum up to; without a priced row it has no price.
    """
    order = _by_customer_and_day(customer, day)
    customer, day, spend = customer[order], day[order], spend[order]
    is_new = np.ones(len(day), dtype=np.bool_)
    is_new[1:] = (customer[1:] != customer[:-1]) | (day[1:] != day[:-1])
    starts = np.flatnonzero(is_new)
    is_priced = ~np.isnan(spend)
    total = _sums(np.where(is_priced, spend, 0.0), starts)
    total[_sums(is_priced.astype(np.int64), starts) == 0] = np.nan
    return OrderDays(customer[starts], day[starts].astype(np.int64), total)


def _by_customer_and_day(customer: Integers, day: Integers) -> Integers:
    """The order of rows, by one number made of both: sorted in a third of the time."""
    if not len(day):
        return np.empty(0, dtype=np.int64)
    days = int(np.ptp(day)) + 1
    assert int(np.ptp(customer)) < 2**63 // days, "a customer and a day no longer fit into one"
    return np.argsort((customer - customer.min()) * days + (day - day.min()), kind="stable")


def summarise(order_days: OrderDays, as_of: int) -> Histories:
    """What was known at the end of a day, of those who had ordered by then."""
    seen = order_days.until(as_of)
    is_first = np.ones(len(seen.day), dtype=np.bool_)
    is_first[1:] = seen.customer[1:] != seen.customer[:-1]
    starts = np.flatnonzero(is_first)
    ends = np.append(starts[1:], len(seen.day))[: len(starts)] - 1
    is_priced = ~np.isnan(seen.spend)
    return Histories(
        customer=seen.customer[starts],
        repeats=ends - starts,
        recency=seen.day[ends] - seen.day[starts],
        age=as_of - seen.day[starts],
        spend=_sums(np.where(is_priced, seen.spend, 0.0), starts),
        priced=_sums(is_priced.astype(np.int64), starts),
    )


_Number = TypeVar("_Number", np.int64, np.float64)


def _sums(values: NDArray[_Number], starts: Integers) -> NDArray[_Number]:
    return np.add.reduceat(values, starts) if len(starts) else values[:0]


@dataclass(frozen=True, slots=True)
class Patterns:
    """The distinct (repeats, recency, age, priced), and how many customers show each.

    Two customers of one pattern are one row to the likelihood and to every forecast of orders, and
    what they will spend differs by a factor; a million customers of a shop show a third as many
    patterns. `of_customer` maps back.
    """

    repeats: Integers
    recency: Integers
    age: Integers
    priced: Integers
    count: Floats
    of_customer: Integers

    def __len__(self) -> int:
        """How many patterns."""
        return len(self.count)

    def blocks(self) -> Iterator["Patterns"]:
        """Some at a time, in order, so that what is made of them stays in the processor's caches.

        Their `of_customer` is empty. (Sums over more rows would also wake the threads of BLAS,
        which cost more than they save.)
        """
        for start in range(0, len(self), BLOCK):
            rows = slice(start, start + BLOCK)
            yield Patterns(
                self.repeats[rows],
                self.recency[rows],
                self.age[rows],
                self.priced[rows],
                self.count[rows],
                self.of_customer[:0],
            )

    @property
    def are_many(self) -> bool:
        """Whether two threads are quicker with them than one."""
        return len(self) >= MANY_ROWS

    @property
    def customer_count(self) -> int:
        """How many customers show them."""
        return len(self.of_customer)


def group(histories: Histories) -> Patterns:
    """Group customers whose order days look the same to the models."""
    ages = int(histories.age.max(initial=0)) + 1
    most = int(histories.repeats.max(initial=0)) + 2
    assert (ages * most) ** 2 < 2**63, "four whole numbers of days no longer fit into one"
    code = histories.repeats * most + histories.priced
    code = (code * ages + histories.recency) * ages + histories.age
    distinct, of_customer, count = np.unique(code, return_inverse=True, return_counts=True)
    rest, age = np.divmod(distinct, ages)
    rest, recency = np.divmod(rest, ages)
    repeats, priced = np.divmod(rest, most)
    return Patterns(repeats, recency, age, priced, count.astype(np.float64), of_customer)
