"""A shop made up by chance, told in any order, and the plain recomputation of what it amounts to.

Nothing of it happens after NOW, so that what is stored is what was known then.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.business.moment import Moment, moment_of
from tests.cdp.ingesting import WORKSPACE, take_mixed

NOW: Final = datetime(2026, 6, 15, 12, tzinfo=UTC)
ZONE: Final = ZoneInfo(WORKSPACE.timezone)
USD_RATE: Final = Decimal("0.8")
VOID: Final = ("cancelled", "failed", "draft")

Row = Mapping[str, object]


def at(moment: datetime) -> Moment:
    """A moment of the tests' workspace, seen from NOW."""
    return moment_of(moment, NOW, WORKSPACE)


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back, in the order's currency."""

    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a shopper; `rate` is what one unit of its currency is worth, None: unknown."""

    key: str
    shopper: int
    placed_at: datetime
    total: Decimal
    currency: str
    status: str
    refunds: tuple[Refund, ...]

    @property
    def rate(self) -> Decimal | None:
        """In the workspace's currency."""
        return {"EUR": Decimal(1), "USD": USD_RATE}.get(self.currency)

    @property
    def on(self) -> date:
        """The workspace's day."""
        return self.placed_at.astimezone(ZONE).date()

    @property
    def updated_at(self) -> datetime:
        """When it came to its status."""
        return min(self.placed_at + timedelta(days=3), NOW)

    def given_back(self, moment: datetime) -> Decimal:
        """By then."""
        if self.status == "refunded" and not self.refunds:
            return self.total if self.updated_at <= moment else Decimal(0)
        return sum((one.amount for one in self.refunds if one.at <= moment), Decimal(0))

    def stands(self, moment: datetime) -> bool:
        """Placed by then, and not void."""
        return self.placed_at <= moment and self.status not in VOID

    def qualifies(self, moment: datetime) -> bool:
        """Stands, and something is left of it."""
        return self.stands(moment) and self.total - self.given_back(moment) > 0


def a_shop(seed: int, shoppers: int, orders: int, days: int) -> list[Order]:
    """Orders of the days before NOW; many on the very edges of days and months."""
    chance = random.Random(seed)
    made = []
    for number in range(orders):
        placed = NOW - timedelta(days=chance.random() ** 2 * days)
        if chance.random() < 0.3:  # a second around midnight of the first of a month
            local = placed.astimezone(ZONE).replace(day=1, hour=0, minute=0, second=0)
            placed = (local + timedelta(seconds=chance.choice([-1, 0, 1]))).astimezone(UTC)
        placed = min(placed, NOW).replace(microsecond=0)
        total = Decimal(chance.randrange(0, 20_000)) / 100
        made.append(
            Order(
                key=f"o{number}",
                shopper=int(chance.random() ** 2 * shoppers),
                placed_at=placed,
                total=total,
                currency=chance.choices(["EUR", "USD", "JPY"], [8, 2, 1])[0],
                status=chance.choices(["paid", "refunded", *VOID], [12, 1, 1, 1, 1])[0],
                refunds=_refunds(chance, placed, total),
            )
        )
    return made


def _refunds(chance: random.Random, placed: datetime, total: Decimal) -> tuple[Refund, ...]:
    if chance.random() > 0.3:
        return ()
    amounts = chance.choice([[total], [total / 2, total / 2], [Decimal(1)]])
    return tuple(
        Refund(min(placed + timedelta(days=chance.randrange(90)), NOW), amount)
        for amount in amounts
    )


async def open_shop(
    connection: AsyncConnection, orders: Sequence[Order], nobodys: Collection[str] = ()
) -> None:
    """Tell all of it, in an order of its own; every second shopper is known by two profiles.

    Of the orders `nobodys`, by key, some name nobody, the others a customer who is never told.
    """
    rows: list[tuple[str, Row]] = [
        (
            "exchange_rates",
            {"on": str(on), "currency": "USD", "base": "EUR", "rate": str(USD_RATE)},
        )
        for on in _week_starts(orders)
    ]
    for shopper in sorted({order.shopper for order in orders}):
        for side in range(1 + shopper % 2):
            email = f"s{shopper}@example.com"
            rows.append(("customers", {"id": f"{shopper}-{side}", "email": email}))
    for number, order in enumerate(orders):
        side = number % (1 + order.shopper % 2)
        stranger = "never-told" if order.shopper % 3 else None
        rows += _told(order, stranger if order.key in nobodys else f"{order.shopper}-{side}")
    random.Random(len(rows)).shuffle(rows)
    await take_mixed(connection, rows)


def _week_starts(orders: Sequence[Order]) -> list[date]:
    """A rate every fifth day is never more than seven days old."""
    first = min(order.on for order in orders) - timedelta(days=1)
    return [first + timedelta(days=5 * n) for n in range((NOW.date() - first).days // 5 + 1)]


def _told(order: Order, shopper: str | None) -> list[tuple[str, Row]]:
    row: dict[str, Any] = {
        "id": order.key,
        "customer_id": shopper,
        "placed_at": order.placed_at.isoformat(),
        "updated_at": order.updated_at.isoformat(),
        "currency": order.currency,
        "total": str(order.total),
        "status": order.status,
    }
    if shopper is None:
        del row["customer_id"]
    refunds: list[tuple[str, Row]] = [
        (
            "refunds",
            {
                "id": f"{order.key}-{number}",
                "order_id": order.key,
                "refunded_at": refund.at.isoformat(),
                "amount": str(refund.amount),
                "currency": order.currency,
            },
        )
        for number, refund in enumerate(order.refunds)
    ]
    return [("orders", row), *refunds]


def by_shopper(orders: Sequence[Order]) -> Mapping[int, Sequence[Order]]:
    """Each shopper's orders."""
    found: dict[int, list[Order]] = defaultdict(list)
    for order in orders:
        found[order.shopper].append(order)
    return found


def cents(amount: Decimal) -> Decimal:
    """To the smallest unit of the workspace's currency."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def net(orders: Sequence[Order], moment: datetime) -> Decimal:
    """What stayed of orders that stand, in the workspace's currency, where a rate is known."""
    return sum(
        (
            (order.total - order.given_back(moment)) * order.rate
            for order in orders
            if order.stands(moment) and order.rate is not None
        ),
        Decimal(0),
    )
