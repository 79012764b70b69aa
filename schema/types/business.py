"""How the whole business does, as of a moment: groups of figures, each found when it is asked."""

from typing import Final

import strawberry
from sqlalchemy import select

from cdp.business.campaigns import MAX_CAMPAIGNS
from cdp.business.feedback import csat_query, nps_query
from cdp.business.programme import programme_query
from cdp.business.purchases import churn_query, purchases_query
from cdp.business.subscriptions import subscriptions_query
from cdp.business.unattributed import unattributed_query
from schema.edges import (
    Arguments,
    Branch,
    Embedded,
    Leaf,
    Many,
    Root,
    Row,
    Scene,
    argument,
    column,
    planned,
)
from schema.moments import AS_OF, AS_OF_LATE, currency_of, scene_at
from schema.scalars import DateTime
from schema.types.audience import Audience, audiences_by
from schema.types.business_parts import (
    BusinessCltv,
    BusinessLoyalty,
    BusinessPurchases,
    BusinessRetention,
    BusinessSubscriptions,
    BusinessUnattributed,
    CampaignEffect,
    CustomerSatisfaction,
    NetPromoterScore,
    campaigns_of,
    group,
)


@strawberry.type(
    description="How the whole business does. Each group is found only where it is asked for, and"
    " knows nothing that happened after `asOf`. Rates are fractions, 0 to 1."
)
class BusinessMetrics:
    """A row of the moment alone; each group brings its own."""

    as_of: DateTime = column("as_of", "Nothing that happened later counts.")
    currency: str = planned(Leaf(currency_of), "ISO 4217, of all money: the workspace's.")
    purchases: BusinessPurchases = planned(
        group("BusinessPurchases", "business_purchases", purchases_query),
        "Buyers, orders, money, and the repeat purchase rate: of customers.",
    )
    unattributed: BusinessUnattributed = planned(
        group("BusinessUnattributed", "business_unattributed", unattributed_query),
        "Orders of nobody, which are in no customer's figures.",
    )
    retention: BusinessRetention = planned(
        group("BusinessRetention", "business_retention", churn_query),
        "Retention and churn of customers who have no contract.",
    )
    cltv: BusinessCltv = planned(Embedded(), "How customer lifetime value is spread.")
    nps: NetPromoterScore = planned(
        group("NetPromoterScore", "net_promoter_score", nps_query),
        "The net promoter score, with its interval.",
    )
    csat: CustomerSatisfaction = planned(
        group("CustomerSatisfaction", "customer_satisfaction", csat_query),
        "Customer satisfaction, with its interval.",
    )
    loyalty: BusinessLoyalty = planned(
        group("BusinessLoyalty", "business_loyalty", programme_query),
        "Participation, redemption and breakage of the loyalty programme.",
    )
    subscriptions: BusinessSubscriptions = planned(
        group("BusinessSubscriptions", "business_subscriptions", subscriptions_query),
        "Contractual churn and monthly recurring revenue.",
    )
    campaigns: list[CampaignEffect] = planned(
        Many(campaigns_of),
        "What each campaign brought, the latest begun first.",
        [
            argument(
                "first", int | None, f"How many at most: 25 unless told, {MAX_CAMPAIGNS} at most."
            )
        ],
    )
    audiences: list[Audience] = planned(
        Many(audiences_by),
        "What writing to each audience did, against those who were held out of it: its `effect`"
        " tells the lift. The one exported first last. Not for the role frontend.",
        [argument("first", int | None, "How many at most: 25 unless told, 250 at most.")],
    )


def _business(scene: Scene, arguments: Arguments) -> Branch:
    shown = scene_at(scene, arguments)
    found = select(shown.as_of.label("as_of")).subquery()
    return Branch("BusinessMetrics", Row(found, "business", shown), select().select_from(found))


BUSINESS: Final = Root(_business, reads_all=True)
BUSINESS_LATE: Final = AS_OF_LATE
BUSINESS_ARGUMENTS: Final = (AS_OF,)
