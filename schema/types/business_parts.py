"""The groups of figures of the whole business, each the row of a query of its own."""

from collections.abc import Callable
from typing import Any, Final

import strawberry
from sqlalchemy import ColumnElement, Select, literal_column, select

from cdp.business.campaigns import ATTRIBUTION_DAYS, MAX_CAMPAIGNS, campaigns_query
from cdp.business.feedback import FEEDBACK_WINDOW_DAYS
from cdp.business.moment import Moment
from cdp.business.purchases import (
    CHURN_WINDOW_DAYS,
    distribution_query,
    forecast_gap_at,
    historic_value,
    predicted_query,
)
from cdp.tables import ForecastGap
from schema.edges import Arguments, Branch, Leaf, One, Row, column, planned
from schema.moments import moment_in
from schema.scalars import BigInt, DateTime, Decimal
from schema.types.records import money, source_name

GROUP_PRICE: Final = 25  # each group reads the customers, the answers or the points whole

_MONEY: Final = "in the workspace's currency, each order at the rate of its day"


def group(type_name: str, name: str, query: Callable[[Moment], Select[Any]]) -> One:
    """The one row of a query over everything."""

    def branch(business: Row) -> Branch:
        # The fence keeps PostgreSQL from counting anew wherever a figure is mentioned.
        found = query(moment_in(business.scene)).offset(literal_column("0")).subquery()
        row = Row(found, name, business.scene)
        return Branch(type_name, row, select().select_from(found))

    return One(branch, GROUP_PRICE)


@strawberry.type(
    description="What all customers together have bought, from the first order to `asOf`. Only"
    " qualifying orders are counted: not void, and something is left of them after refunds."
)
class BusinessPurchases:
    """The row of `purchases_query`."""

    buyers: int = column("buyers", "Customers with a qualifying order.")
    repeat_buyers: int = column("repeat_buyers", "Customers with two or more.")
    repeat_purchase_rate: float | None = column(
        "repeat_purchase_rate",
        "Repeat buyers per buyer, 0 to 1, however long it took; null without a buyer.",
    )
    orders: int = column("orders", "Qualifying orders.")
    orders_per_customer: float | None = column(
        "orders_per_customer", "Orders per buyer; null without a buyer."
    )
    gross_spend: Decimal = planned(
        money("gross_spend"), f"Totals of the orders that stand, before refunds, {_MONEY}."
    )
    refunded: Decimal = planned(
        money("refunded"),
        "What was given back on them by `asOf`, at the rates of the orders' days.",
    )
    net_revenue: Decimal = planned(money("net_revenue"), "Gross spend less refunds.")
    average_order_value: Decimal | None = planned(
        money("average_order_value"),
        "Net revenue of qualifying orders per such order that has a price in the workspace's"
        " currency; null without one.",
    )
    unpriced_count: int = column(
        "unpriced_count",
        "Orders and refunds without an exchange rate: counted, and left out of all money.",
    )


@strawberry.type(
    description="What was bought by nobody whom we know: orders that name neither a customer nor a"
    " contact point, or a customer whom their source has not told yet. They are apart since there"
    " is no customer to count them for, and are in no other figure; together with `purchases` they"
    " are what the business took."
)
class BusinessUnattributed:
    """The row of `unattributed_query`."""

    orders: BigInt = column("orders", "Qualifying orders.")
    gross_spend: Decimal = planned(
        money("gross_spend"), f"Totals of the orders that stand, before refunds, {_MONEY}."
    )
    refunded: Decimal = planned(
        money("refunded"),
        "What was given back on them by `asOf`, at the rates of the orders' days.",
    )
    net_revenue: Decimal = planned(
        money("net_revenue"),
        "Gross spend less refunds: with `purchases.netRevenue` it sums to the net revenue of all.",
    )
    unpriced_count: BigInt = column(
        "unpriced_count",
        "Orders and refunds without an exchange rate: counted, and left out of all money.",
    )


@strawberry.type(
    description="How customers are kept, where nobody tells a shop that they leave: of those"
    " who bought in the window before the last one, how many bought in the last one. A window is"
    f" {CHURN_WINDOW_DAYS} days; the last one ends with the day of `asOf`."
)
class BusinessRetention:
    """The row of `churn_query`."""

    window_days: int = column("window_days", "How long each of the two windows is.")
    active_before: int = column("active_before", "Customers who bought in the former window.")
    retained: int = column("retained", "Those of them who bought in the last one too.")
    active: int = column("active", "All who bought in the last window, new ones included.")
    retention_rate: float | None = column(
        "retention_rate", "Retained per active before, 0 to 1; null where nobody was."
    )
    churn_rate: float | None = column(
        "churn_rate", "1 less the retention rate: the customer churn rate; null with it."
    )


@strawberry.type(
    description="How an amount of money is spread among customers. A percentile is the amount of a"
    " customer: so many of them have at most that. Amounts are null where there is nobody."
)
class MoneyDistribution:
    """The row of `distribution_query`."""

    customers: int = column("customers", "How many customers are counted.")
    total: Decimal = planned(money("total"), "The sum of all of them.")
    mean: Decimal | None = planned(money("mean"), "Per customer, to the smallest unit.")
    p10: Decimal | None = planned(money("p10"), "A tenth of the customers have at most that.")
    p25: Decimal | None = planned(money("p25"), "A quarter have at most that.")
    median: Decimal | None = planned(money("median"), "Half have at most that.")
    p75: Decimal | None = planned(money("p75"), "Three quarters have at most that.")
    p90: Decimal | None = planned(money("p90"), "Nine tenths have at most that.")
    highest: Decimal | None = planned(money("highest"), "The most that a customer has.")
    top_tenth_share: float | None = column(
        "top_tenth_share",
        "The share, 0 to 1, that the best tenth of customers holds of all amounts above zero; null"
        " where there is none.",
    )


def _historic(moment: Moment) -> Select[Any]:
    return distribution_query(historic_value(moment).subquery(), moment.workspace)


def _predicted(business: Row) -> Branch:
    found = predicted_query(moment_in(business.scene)).offset(literal_column("0")).subquery()
    row = Row(found, "money_distribution", business.scene)
    told = select().select_from(found).where(found.c.reason.is_(None))
    return Branch("MoneyDistribution", row, told)


def _predicted_reason(business: Row) -> ColumnElement[ForecastGap]:
    return forecast_gap_at(moment_in(business.scene))


@strawberry.type(description="How customer lifetime value is spread among customers.")
class BusinessCltv:
    """Of the row of the business."""

    historic: MoneyDistribution = planned(
        group("MoneyDistribution", "money_distribution", _historic),
        f"Net spend of each customer with a qualifying order up to `asOf`, {_MONEY}.",
    )
    predicted: MoneyDistribution | None = planned(
        One(_predicted, GROUP_PRICE),
        "What the model in force expects of each scored customer over its horizon, as"
        " `Cltv.predicted` is now: of all of them, or null where `predictedReason` says why. Former"
        " models' forecasts are not kept: null at any moment before the one in force.",
    )
    predicted_reason: ForecastGap | None = planned(
        Leaf(_predicted_reason),
        "Why `predicted` is null; null where it is not. NOT_SCORED: the model in force is younger"
        " than `asOf`, or there is none. The others: it had too little to go by.",
    )


@strawberry.type(
    description="The net promoter score of the latest answer of each respondent in the"
    f" {FEEDBACK_WINDOW_DAYS} days before `asOf`; of who is not known, each answer."
)
class NetPromoterScore:
    """The row of `nps_query`."""

    window_days: int = column("window_days", "How far back answers count.")
    answers: int = column("answers", "How many respondents there are.")
    promoters: int = column("promoters", "Those who gave 9 or 10.")
    passives: int = column("passives", "Those who gave 7 or 8.")
    detractors: int = column("detractors", "Those who gave 0 to 6.")
    score: float | None = column(
        "score",
        "The percentage of promoters less that of detractors, -100 to 100; null without an answer.",
    )
    low: float | None = column(
        "low",
        "The lower end of the 95 % interval (adjusted Wald, Rocks 2016); null without an answer.",
    )
    high: float | None = column("high", "The upper end; null without an answer.")


@strawberry.type(
    description="Customer satisfaction: every answer to a CSAT question in the"
    f" {FEEDBACK_WINDOW_DAYS} days before `asOf`, on a scale up to 5, whatever scale it was asked"
    " on."
)
class CustomerSatisfaction:
    """The row of `csat_query`."""

    window_days: int = column("window_days", "How far back answers count.")
    answers: int = column("answers", "How many answers there are.")
    satisfied: int = column("satisfied", "Those of 4 or 5.")
    rate: float | None = column(
        "rate", "Satisfied per answer, 0 to 1: the CSAT score; null without an answer."
    )
    low: float | None = column(
        "low", "The lower end of the rate's 95 % interval (Wilson 1927); null without an answer."
    )
    high: float | None = column("high", "The upper end; null without an answer.")
    mean: float | None = column("mean", "The mean answer, 1 to 5; null without any.")


@strawberry.type(
    description="The loyalty programme as a whole, ours and those of sources together: who takes"
    " part, and what became of the points that were given by `asOf`."
)
class BusinessLoyalty:
    """The row of `programme_query`."""

    members: int = column("members", "Customers who have ever been given points.")
    participants: int = column("participants", "Those of them who also have a qualifying order.")
    participation_rate: float | None = column(
        "participation_rate", "Participants per buyer, 0 to 1; null without a buyer."
    )
    points_issued: BigInt = column("points_issued", "Points given, less what was taken back.")
    points_redeemed: BigInt = column("points_redeemed", "Points spent.")
    points_expired: BigInt = column("points_expired", "Points that expired unspent.")
    redemption_rate: float | None = column(
        "redemption_rate", "Points redeemed per point issued; null where none were issued."
    )
    breakage_rate: float | None = column(
        "breakage_rate", "Points expired per point issued; null where none were issued."
    )


@strawberry.type(
    description="Subscriptions that are paid for (trials are not), at `asOf` and a month before it"
    " (30.4375 days). A source tells what a subscription is now, not what it was: amounts of the"
    " past are today's."
)
class BusinessSubscriptions:
    """The row of `subscriptions_query`."""

    subscribers: int = column("subscribers", "Customers who pay for a subscription.")
    mrr: Decimal = planned(
        money("mrr"),
        "Monthly recurring revenue: what they pay a month, in the workspace's currency.",
    )
    subscribers_before: int = column("subscribers_before", "Customers who paid a month before.")
    mrr_before: Decimal = planned(money("mrr_before"), "What they paid a month.")
    churned: int = column("churned", "Those of them who pay for none any more.")
    mrr_lost: Decimal = planned(
        money("mrr_lost"), "What those who paid then pay less now, cancelled or contracted."
    )
    churn_rate: float | None = column(
        "churn_rate",
        "Churned per subscriber before, 0 to 1: contractual churn of the month. Who joined since"
        " counts in neither. Null where nobody paid then.",
    )
    annual_churn_rate: float | None = column(
        "annual_churn_rate", "What a year of such months comes to: 1 - (1 - rate)^12; null with it."
    )
    mrr_churn_rate: float | None = column(
        "mrr_churn_rate", "MRR lost per MRR before; null where there was none."
    )


@strawberry.type(
    description="What a campaign brought, by last touch: a qualifying order is credited, whole, to"
    " the campaign of the message that reached its customer last in the"
    f" {ATTRIBUTION_DAYS} days before it (sent and not bounced, delivered, opened, clicked or"
    " answered); to none where that message is of no campaign. What one event of a message says of"
    " its campaign is true of all of them. No order is credited twice; that it would not have come"
    " without the message is not said."
)
class CampaignEffect:
    """A row of `campaigns_query`."""

    source: str = planned(Leaf(source_name), "The name of the source that tells of it.")
    key: str = column("key", "The campaign's id in its source.")
    name: str | None = column("name", "As the source names it.")
    channel: str | None = column("channel", "Such as `email` or `sms`.")
    started_at: DateTime | None = column("started_at", "When it began, if the source tells.")
    messages: int = column("messages", "Messages of it, bounced ones included.")
    customers: int = column("customers", "Customers whom one of them reached.")
    attributed_orders: int = column("orders", "Orders that are credited to it.")
    revenue: Decimal = planned(money("revenue"), f"Those orders net of refunds, {_MONEY}.")
    cost: Decimal | None = planned(
        money("cost"),
        "In the workspace's currency at the rate of the day when it began: as the source tells it,"
        " else as a person has stated it (`cdp campaign cost`). Null where nobody tells it, or"
        " there is no rate.",
    )
    roi: float | None = column(
        "roi",
        "Return on investment: (revenue - cost) / cost. On revenue, not on margin. Null without a"
        " cost.",
    )


def campaigns_of(business: Row, arguments: Arguments) -> Branch:
    """As many as are asked for, the latest begun first."""
    count = min(arguments.page_size(), MAX_CAMPAIGNS)
    found = campaigns_query(moment_in(business.scene), count).subquery()
    order = (found.c.started_at.desc().nulls_last(), found.c.source_id, found.c.key)
    row = Row(found, "campaign_effect", business.scene)
    return Branch("CampaignEffect", row, select().select_from(found).order_by(*order))
