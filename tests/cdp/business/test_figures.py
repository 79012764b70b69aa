"""Figures of the business: equal to a recomputation from the orders, and right in small cases."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.activity import MONTH_DAYS
from cdp.business.campaign_costs import state_cost, withdraw_cost
from cdp.business.purchases import CHURN_WINDOW_DAYS
from cdp.business.report import Figures, read_campaigns, read_figures
from cdp.errors import CdpError
from tests.cdp.business.shop import (
    NOW,
    ZONE,
    Order,
    Row,
    a_shop,
    at,
    by_shopper,
    cents,
    net,
    open_shop,
)
from tests.cdp.ingesting import take, take_mixed

pytestmark = pytest.mark.anyio

MOMENTS = (
    NOW,
    NOW - timedelta(days=3),
    datetime(2026, 3, 31, 22, 0, 0, tzinfo=UTC),
    datetime(2025, 9, 1, tzinfo=UTC),
    datetime(2019, 1, 1, tzinfo=UTC),
)


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# Against a recomputation ----------------------------------------------------------------------


def money_of(mine: Sequence[Order], moment: datetime) -> Sequence[Decimal]:
    """What one customer is told: gross spend, what was given back, and net of qualifying orders."""
    priced = [one for one in mine if one.stands(moment) and one.rate is not None]
    gross = sum((one.total * (one.rate or 0) for one in priced), Decimal(0))
    qualifying = [one for one in priced if one.qualifies(moment)]
    back = gross - net(priced, moment)
    return [cents(gross), cents(back), cents(net(qualifying, moment))]


def purchases(orders: Sequence[Order], moment: datetime) -> Figures:
    """The sums of what each customer is told, to the cent."""
    told = [money_of(mine, moment) for mine in by_shopper(orders).values()]
    gross, back, kept = (sum(each, Decimal(0)) for each in zip(*told, strict=True))
    counts = {
        shopper: sum(one.qualifies(moment) for one in mine)
        for shopper, mine in by_shopper(orders).items()
    }
    buyers = sum(count > 0 for count in counts.values())
    repeat = sum(count > 1 for count in counts.values())
    standing = [one for one in orders if one.stands(moment)]
    priced = [one for one in standing if one.rate is not None]
    qualifying = [one for one in priced if one.qualifies(moment)]
    return {
        "buyers": buyers,
        "repeat_buyers": repeat,
        "repeat_purchase_rate": share(repeat, buyers),
        "orders": sum(counts.values()),
        "orders_per_customer": share(sum(counts.values()), buyers),
        "gross_spend": gross,
        "refunded": back,
        "net_revenue": gross - back,
        "average_order_value": cents(kept / len(qualifying)) if qualifying else None,
        "unpriced_count": len(standing) - len(priced),
    }


def churn(orders: Sequence[Order], moment: datetime) -> Figures:
    today = moment.astimezone(ZONE).date()
    ages = {
        shopper: {
            (today - one.on).days // CHURN_WINDOW_DAYS for one in mine if one.qualifies(moment)
        }
        for shopper, mine in by_shopper(orders).items()
    }
    before = [windows for windows in ages.values() if 1 in windows]
    kept = sum(0 in windows for windows in before)
    return {
        "window_days": CHURN_WINDOW_DAYS,
        "active_before": len(before),
        "retained": kept,
        "active": sum(0 in windows for windows in ages.values()),
        "retention_rate": share(kept, len(before)),
        "churn_rate": share(len(before) - kept, len(before)),
    }


def spread(orders: Sequence[Order], moment: datetime) -> Figures:
    values = sorted(
        money_of(mine, moment)[0] - money_of(mine, moment)[1]
        for mine in by_shopper(orders).values()
        if any(one.qualifies(moment) for one in mine)
    )
    total, count = sum(values, Decimal(0)), len(values)

    def reached(percent: int) -> Decimal | None:
        return values[max(-(-percent * count // 100) - 1, 0)] if values else None

    best = sum((one for one in values[count - -(-count // 10) :] if one > 0), Decimal(0))
    above = sum((one for one in values if one > 0), Decimal(0))
    return {
        "customers": count,
        "total": total,
        "mean": cents(total / count) if count else None,
        "p10": reached(10),
        "p25": reached(25),
        "median": reached(50),
        "p75": reached(75),
        "p90": reached(90),
        "highest": max(values, default=None),
        "top_tenth_share": float(best / above) if above else None,
    }


async def test_figures_of_orders_are_those_of_a_recomputation_at_any_moment(
    connection: AsyncConnection,
) -> None:
    orders = a_shop(seed=1, shoppers=50, orders=320, days=420)
    await open_shop(connection, orders)
    for moment in MOMENTS:
        for group, recomputed in (
            ("purchases", purchases),
            ("retention", churn),
            ("historic_value", spread),
        ):
            told = await read_figures(connection, group, at(moment))
            wanted = recomputed(orders, moment)
            assert told.keys() == wanted.keys()
            for name, value in wanted.items():
                is_close = pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
                assert told[name] == is_close, (group, name, moment)
                assert type(told[name]) is type(value), name


async def test_predicted_values_are_all_told_or_none_by_the_moment_of_the_model(
    connection: AsyncConnection,
) -> None:
    """Whoever is scored anew since, by the same model, is in the sum of every moment of its."""
    names = ("customers", "total", "median", "highest", "top_tenth_share", "reason")

    async def told(days: float) -> list[object]:
        figures = await read_figures(connection, "predicted_value", at(NOW - timedelta(days=days)))
        return [figures[name] for name in names]

    nothing = [None, None, None, None, None]
    assert await told(0) == [*nothing, "NOT_SCORED"]
    await a_model(connection, 1, NOW - timedelta(days=9))
    rows = [
        {"customer_id": n, "computed_at": NOW - timedelta(days=n), "predicted": value}
        for n, value in enumerate([Decimal("10.5"), Decimal(30), None, Decimal("9.5")])
    ]
    await connection.execute(tables.score.insert(), rows)
    everybody = [3, 50, Decimal("10.5"), 30, 0.6, None]
    assert await told(0) == await told(8) == everybody
    assert await told(10) == [*nothing, "NOT_SCORED"]
    await a_model(connection, 2, NOW - timedelta(days=5), tables.ForecastGap.TOO_FEW_CUSTOMERS)
    assert await told(8) == [*nothing, "NOT_SCORED"]
    assert await told(0) == [*nothing, "TOO_FEW_CUSTOMERS"]


async def a_model(
    connection: AsyncConnection,
    version: int,
    moment: datetime,
    gap: tables.ForecastGap | None = None,
) -> None:
    """A model that is in force from the moment; `gap`: it has no forecast."""
    await connection.execute(
        tables.score_model.insert().values(
            version=version,
            computed_at=moment,
            as_of=moment,
            horizon_days=365,
            discount_rate=0,
            margin=1,
            currency="EUR",
            shortfalls=[],
            plans={},
        )
    )
    await connection.execute(tables.score_basis.delete())
    await connection.execute(tables.score_basis.insert().values(id=1, version=version, gap=gap))


# Small cases ----------------------------------------------------------------------------------


async def figures(connection: AsyncConnection, group: str, days: float = 0) -> Figures:
    """A group as it was so many days before NOW."""
    return await read_figures(connection, group, at(NOW - timedelta(days=days)))


def a_customer(key: str) -> tuple[str, Row]:
    return "customers", {"id": key, "email": f"{key}@example.com"}


def an_order(key: str, customer: str, days: float, total: str = "10") -> tuple[str, Row]:
    return "orders", {
        "id": key,
        "customer_id": customer,
        "placed_at": days_ago(days),
        "currency": "EUR",
        "total": total,
    }


async def test_churn_is_of_those_who_bought_in_the_window_before(
    connection: AsyncConnection,
) -> None:
    people = ("ann", "bo", "cy", "dee")
    orders = [
        an_order("1", "ann", 100),  # stays
        an_order("2", "ann", 5),
        an_order("3", "bo", 120),  # is silent since
        an_order("4", "cy", 300),  # left before that
        an_order("5", "dee", 10),  # is new
    ]
    await take_mixed(connection, [*map(a_customer, people), *orders])
    told = await figures(connection, "retention")
    assert (told["active_before"], told["retained"], told["active"]) == (2, 1, 2)
    assert (told["churn_rate"], told["retention_rate"]) == (0.5, 0.5)
    nobody = await figures(connection, "retention", days=1_000)
    assert (nobody["churn_rate"], nobody["retention_rate"]) == (None, None)


def an_answer(key: str, kind: str, score: str, days: float, who: str | None) -> tuple[str, Row]:
    row: dict[str, object] = {"id": key, "kind": kind, "score": score, "given_at": days_ago(days)}
    return "feedback", row if who is None else {**row, "customer_id": who}


def adjusted_wald(promoters: int, detractors: int, answers: int) -> tuple[object, object]:
    """Rocks' interval, once more."""
    n = answers + 3
    p, d = (promoters + 0.75) / n, (detractors + 0.75) / n
    half = 1.959964 * math.sqrt((p + d - (p - d) ** 2) / n)
    return pytest.approx(100 * (p - d - half)), pytest.approx(100 * (p - d + half))


async def test_nps_counts_the_latest_answer_of_each_respondent(connection: AsyncConnection) -> None:
    answers = [
        an_answer("1", "nps", "2", 30, "ann"),
        an_answer("2", "nps", "10", 20, "ann"),
        an_answer("3", "nps", "7", 10, "bo"),
        an_answer("4", "nps", "6", 10, None),
        an_answer("5", "nps", "9", 10, None),
        an_answer("6", "nps", "0", 400, "cy"),  # too long ago
    ]
    await take_mixed(connection, [*map(a_customer, ("ann", "bo", "cy")), *answers])
    told = await figures(connection, "nps")
    assert [told[name] for name in ("answers", "promoters", "passives", "detractors")] == [
        4,
        2,
        1,
        1,
    ]
    assert told["score"] == 25
    assert (told["low"], told["high"]) == adjusted_wald(2, 1, 4)
    past = await figures(connection, "nps", days=25)
    assert (past["answers"], past["score"]) == (1, -100)
    assert (past["low"], past["high"]) == adjusted_wald(0, 1, 1)
    none = await figures(connection, "nps", days=900)
    assert (none["answers"], none["score"], none["low"], none["high"]) == (0, None, None, None)


async def test_csat_is_the_share_of_the_two_best_answers(connection: AsyncConnection) -> None:
    answers = [
        an_answer("1", "csat", "5", 3, "ann"),
        an_answer("2", "csat", "4", 3, "ann"),
        an_answer("3", "csat", "3", 3, None),
        ("feedback", {**an_answer("4", "csat", "9", 3, None)[1], "scale": "10"}),
    ]
    await take_mixed(connection, [a_customer("ann"), *answers])
    told = await figures(connection, "csat")
    assert (told["answers"], told["satisfied"], told["rate"]) == (4, 3, 0.75)
    assert told["mean"] == pytest.approx(4.125)
    # Wilson's interval of 3 in 4, as R's prop.test(3, 4, correct = FALSE) gives it.
    assert (told["low"], told["high"]) == (pytest.approx(0.3006418), pytest.approx(0.9544127))


def a_plan(key: str, who: str, began: float, amount: str = "10", **more: object) -> tuple[str, Row]:
    return "subscriptions", {
        "id": key,
        "customer_id": who,
        "status": "active",
        "amount": amount,
        "currency": "EUR",
        "interval": "month",
        "started_at": days_ago(began),
        **more,
    }


async def test_contractual_churn_leaves_out_who_joined_since(connection: AsyncConnection) -> None:
    ended = {"status": "cancelled", "cancelled_at": days_ago(20), "ended_at": days_ago(10)}
    rows = [
        a_plan("1", "ann", 400, "120", interval="year"),
        a_plan("2", "bo", 100, "20", **ended),
        a_plan("3", "bo", 10, "5"),  # moves to a smaller plan
        a_plan("4", "cy", 90, **ended),  # leaves
        a_plan("5", "dee", 5),  # joins
        a_plan("6", "eve", 90, status="trialing"),
        a_plan("7", "fay", 90, status="cancelled", cancelled_at=days_ago(60)),  # left before
    ]
    people = ("ann", "bo", "cy", "dee", "eve", "fay")
    await take_mixed(connection, [*map(a_customer, people), *rows])
    told = await figures(connection, "subscriptions")
    assert (told["subscribers"], told["mrr"]) == (3, 25)
    assert (told["subscribers_before"], told["mrr_before"]) == (3, 40)
    assert (told["churned"], told["mrr_lost"]) == (1, 25)
    assert told["churn_rate"] == pytest.approx(1 / 3)
    assert told["annual_churn_rate"] == pytest.approx(1 - (2 / 3) ** 12)
    assert told["mrr_churn_rate"] == pytest.approx(25 / 40)
    before = await figures(connection, "subscriptions", days=MONTH_DAYS)
    assert (before["subscribers"], before["mrr"]) == (3, 40)
    assert (before["subscribers_before"], before["churned"]) == (4, 1)


async def test_points_of_a_sources_own_programme_are_given_spent_and_lost(
    connection: AsyncConnection,
) -> None:
    def entry(key: str, who: str, kind: str, points: int, days: float) -> Row:
        row = {"id": key, "customer_id": who, "kind": kind, "points": points}
        expires = {"expires_at": days_ago(days - 100)} if kind == "earn" else {}
        return {**row, **expires, "occurred_at": days_ago(days)}

    people = ("ann", "bo", "cy")
    orders = [an_order("1", "ann", 300), an_order("2", "bo", 300), an_order("3", "cy", 300)]
    await take_mixed(connection, [*map(a_customer, people), *orders])
    entries = [
        entry("1", "ann", "earn", 100, 250),
        entry("2", "ann", "redeem", -30, 200),
        entry("3", "ann", "expire", -70, 150),
        entry("4", "bo", "earn", 60, 140),  # 60 expire 40 days ago, and nobody says so
        entry("5", "bo", "earn", 40, 10),
    ]
    await take(connection, "loyalty_entries", entries)
    told = await figures(connection, "loyalty")
    names = ("members", "participants", "points_issued", "points_redeemed", "points_expired")
    assert [told[name] for name in names] == [2, 2, 200, 30, 130]
    assert told["participation_rate"] == pytest.approx(2 / 3)
    assert (told["redemption_rate"], told["breakage_rate"]) == (0.15, 0.65)
    past = await figures(connection, "loyalty", days=160)
    assert [past[name] for name in names] == [1, 1, 100, 30, 0]
    none = await figures(connection, "loyalty", days=500)
    assert [none[name] for name in names] == [0, 0, 0, 0, 0]
    assert (none["participation_rate"], none["breakage_rate"]) == (None, None)


def a_message(
    key: str, who: str, campaign: str | None, days: float, kind: str = "sent", **more: object
) -> tuple[str, Row]:
    return "messages", {
        "id": key,
        "customer_id": who,
        "campaign_id": campaign,
        "channel": "email",
        "kind": kind,
        "occurred_at": days_ago(days),
        **more,
    }


def a_campaign(key: str, days: float, cost: str | None = None) -> tuple[str, Row]:
    row = {"id": key, "name": key.upper(), "channel": "email", "started_at": days_ago(days)}
    return "campaigns", row if cost is None else {**row, "cost": cost, "currency": "EUR"}


async def test_an_order_is_credited_to_the_last_touch_of_the_week_before(
    connection: AsyncConnection,
) -> None:
    rows = [
        *map(a_customer, ("ann", "bo", "cy")),
        a_campaign("spring", 50, "50"),
        a_campaign("summer", 40),
        a_message("1", "ann", "spring", 50),
        a_message("2", "ann", "spring", 49, "opened", message_id="x"),
        a_message("3", "ann", "summer", 48.5),
        a_message("4", "bo", "spring", 50, message_id="y"),
        a_message("5", "bo", "spring", 49.9, "bounced", message_id="y"),
        a_message("6", "cy", "spring", 50),
        an_order("1", "ann", 48.9, "100"),  # spring: opened before, summer came after
        an_order("2", "ann", 48, "30"),  # summer, the last touch
        an_order("3", "ann", 41, "70"),  # more than a week after any
        an_order("4", "bo", 49, "80"),  # never reached
        an_order("5", "cy", 43.1, "60"),
        ("refunds", {"id": "r", "order_id": "5", "refunded_at": days_ago(20), "amount": "20",
                     "currency": "EUR"}),
    ]  # fmt: skip
    await take_mixed(connection, rows)
    summer, spring = await read_campaigns(connection, at(NOW), 10)
    names = ("key", "messages", "customers", "orders", "revenue", "cost")
    assert [spring[name] for name in names] == ["spring", 4, 2, 2, 140, 50]
    assert spring["roi"] == pytest.approx((140 - 50) / 50)
    assert [summer[name] for name in names] == ["summer", 1, 1, 1, 30, None]
    assert summer["roi"] is None
    (only,) = await read_campaigns(connection, at(NOW - timedelta(days=42)), 10)
    assert [only[name] for name in names] == ["spring", 4, 2, 2, 160, 50]
    (first,) = await read_campaigns(connection, at(NOW - timedelta(days=49.5)), 10)
    assert [first[name] for name in names] == ["spring", 3, 2, 0, 0, 50]
    assert first["roi"] == -1
    (latest,) = await read_campaigns(connection, at(NOW), 1)
    assert latest["key"] == "summer"


async def test_an_order_is_credited_to_the_last_message_whatever_its_events_name(
    connection: AsyncConnection,
) -> None:
    rows = [
        *map(a_customer, ("ann", "bo")),
        a_campaign("spring", 50),
        a_message("1", "ann", "spring", 50, message_id="x"),
        a_message("2", "ann", None, 48, message_id="y"),
        an_order("1", "ann", 47, "20"),  # the last message was of no campaign
        a_message("3", "bo", "spring", 50, message_id="z"),
        a_message("4", "bo", None, 42, "clicked", message_id="z"),
        an_order("2", "bo", 41, "50"),  # answers the click, which names no campaign
    ]
    await take_mixed(connection, rows)
    (spring,) = await read_campaigns(connection, at(NOW), 10)
    names = ("messages", "customers", "orders", "revenue")
    assert [spring[name] for name in names] == [2, 2, 1, 50]


async def test_a_stated_cost_fills_the_gap_that_the_source_leaves(
    connection: AsyncConnection,
) -> None:
    rate = {"on": days_ago(51)[:10], "currency": "USD", "base": "EUR", "rate": "0.8"}
    await take_mixed(connection, [("exchange_rates", rate), a_campaign("spring", 50)])

    async def state(currency: str) -> None:
        await state_cost(
            connection, "shop", "spring", amount=Decimal(100), currency=currency, actor="cli:ann"
        )

    await state("USD")
    (spring,) = await read_campaigns(connection, at(NOW), 10)
    assert (spring["cost"], spring["roi"]) == (80, -1)
    await take_mixed(connection, [("campaigns", {"id": "spring", "name": "Spring again"})])
    (spring,) = await read_campaigns(connection, at(NOW), 10)
    assert (spring["name"], spring["cost"]) == ("Spring again", None), "no day, no rate of it"
    await take_mixed(connection, [a_campaign("spring", 50, "7")])
    (spring,) = await read_campaigns(connection, at(NOW), 10)
    assert spring["cost"] == 7, "what the source tells goes first"
    await take_mixed(connection, [a_campaign("spring", 50)])
    await state("EUR")
    (spring,) = await read_campaigns(connection, at(NOW), 10)
    assert spring["cost"] == 100
    await withdraw_cost(connection, "shop", "spring")
    (spring,) = await read_campaigns(connection, at(NOW), 10)
    assert spring["cost"] is None


@pytest.mark.parametrize(
    ("source", "key", "amount", "currency", "said"),
    [
        ("shop", "autumn", "1", "EUR", "no campaign 'autumn'"),
        ("mall", "spring", "1", "EUR", "no campaign 'spring'"),
        ("shop", "spring", "-1", "EUR", "cannot be a cost"),
        ("shop", "spring", "NaN", "EUR", "cannot be a cost"),
        ("shop", "spring", "1", "EURO", "not a currency"),
    ],
)
async def test_a_cost_that_cannot_be_stated_is_refused(
    connection: AsyncConnection, source: str, key: str, amount: str, currency: str, said: str
) -> None:
    await take_mixed(connection, [a_campaign("spring", 50)])
    with pytest.raises(CdpError, match=said):
        await state_cost(
            connection, source, key, amount=Decimal(amount), currency=currency, actor="cli:ann"
        )


SHOPPERS = 40
ROUNDED_TIMES = Decimal("0.01")  # gross spend and refunds of each, by half a cent at most


async def test_orders_of_nobody_are_told_apart_from_those_of_customers(
    connection: AsyncConnection,
) -> None:
    orders = a_shop(seed=2, shoppers=SHOPPERS, orders=200, days=420)
    nobodys = orders[::2]
    await open_shop(connection, orders, {order.key for order in nobodys})
    for moment in MOMENTS:
        told = await read_figures(connection, "unattributed", at(moment))
        whole = purchases(nobodys, moment)
        gross, back, _ = money_of(nobodys, moment)
        counts = {name: whole[name] for name in ("orders", "unpriced_count")}
        money = {"gross_spend": gross, "refunded": back, "net_revenue": gross - back}
        assert told == counts | money, moment
        of_customers = await read_figures(connection, "purchases", at(moment))
        together = told["net_revenue"] + of_customers["net_revenue"]
        assert abs(together - net(orders, moment)) <= ROUNDED_TIMES * (SHOPPERS + 1)
