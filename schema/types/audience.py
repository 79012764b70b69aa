"""Audiences: segments that were written to, and what came of it against those held out."""

from typing import Final

import strawberry
from sqlalchemy import select

from cdp import tables
from cdp.audiences.effect import GROUPS, HELD, MAX_DAYS, WRITTEN, effect_of
from schema.edges import (
    Arguments,
    Branch,
    One,
    OneBy,
    Roots,
    Row,
    Scene,
    argument,
    column,
    planned,
    row_of,
)
from schema.scalars import DateTime, Decimal
from schema.types.records import money
from schema.types.segment import permitted

EFFECT_PRICE: Final = 50  # orders of a whole audience are read
FIGURES: Final = (
    "customers",
    "pending",
    "conversions",
    "rate",
    "revenue",
    "revenue_per_customer",
)


def _group(name: str) -> One:
    """One of the two groups of an effect, as a row of its own."""
    assert name in GROUPS

    def branch(effect: Row) -> Branch:
        columns = (effect.table.c[f"{name}_{figure}"].label(figure) for figure in FIGURES)
        group = select(*columns).correlate(effect.table).subquery()
        row = Row(group, "audience_group", effect.scene)
        return Branch("AudienceGroup", row, select().select_from(group))

    return One(branch)


@strawberry.type(description="What one of the two groups of an audience bought.")
class AudienceGroup:
    """Half a row of `effect_of`."""

    customers: int = column("customers", "How many were assigned to it.")
    pending: int = column(
        "pending", "Of them, those whose days are not over yet: they count with what is known."
    )
    conversions: int = column(
        "conversions", "Of them, those with a qualifying order within the days."
    )
    rate: float | None = column(
        "rate", "Conversions per customer, between 0 and 1; null for an empty group."
    )
    revenue: Decimal = planned(
        money("revenue"),
        "What is left of those orders after refunds, in the workspace's currency. An order without"
        " a rate of exchange has none.",
    )
    revenue_per_customer: Decimal | None = planned(
        money("revenue_per_customer"),
        "Revenue per customer of the group, buyers or not; null for an empty group.",
    )


@strawberry.type(
    description="What writing to an audience did. Everybody counts from their own assignment on, in"
    " the group that they were assigned to, whatever became of the message. The groups differ by"
    " chance alone, so that a difference beyond its interval is the message's."
)
class AudienceEffect:
    """The row of `effect_of`."""

    written_to: AudienceGroup = planned(_group(WRITTEN), "Those in the file.")
    held_out: AudienceGroup = planned(_group(HELD), "Those kept out of it, to compare with.")
    difference: float | None = column(
        "difference",
        "The rate of those written to less the rate of those held out. Null where a group is"
        " empty, as without a holdout.",
    )
    difference_low: float | None = column(
        "difference_low",
        "The lower end of the difference's 95 % interval, by Newcombe's hybrid score (1998, method"
        " 10). Null where a group is empty.",
    )
    difference_high: float | None = column(
        "difference_high", "The upper end of that interval. Null where a group is empty."
    )
    lift: float | None = column(
        "lift",
        "The difference per rate of those held out: 0.1 is a tenth more buyers. Null where nobody"
        " who was held out bought.",
    )


def _effect(audience: Row, arguments: Arguments) -> Branch:
    scene = audience.scene
    days = arguments.now("days")
    effect = effect_of(audience.table.c.id, days, scene.as_of, scene.workspace).subquery()
    return Branch(
        "AudienceEffect", Row(effect, "audience_effect", scene), select().select_from(effect)
    )


@strawberry.type(
    description="What `cdp export audience:SLUG` made of a segment: whoever consents to a purpose"
    " on a channel, some of them held out."
)
class Audience:
    """A row of audience."""

    slug: str = column("slug", "The segment's slug.")
    channel: str = column("channel", "Where it is written to, such as `email`.")
    purpose: str = column("purpose", "What was consented to, such as `marketing`.")
    held_out_percent: float = column(
        "held_out_percent", "How many of those who are new to it are held out, in percent."
    )
    created_at: DateTime = column("created_at", "When it was exported for the first time.")
    exported_at: DateTime = column("exported_at", "When it was exported last.")
    effect: AudienceEffect = planned(
        OneBy(_effect, EFFECT_PRICE),
        "What came of it within some days.",
        [argument("days", int, f"Days after each customer's assignment, 1 to {MAX_DAYS}.")],
    )


def _audiences(scene: Scene, _: Arguments) -> Branch:
    permitted(scene)
    audience = tables.audience.alias()
    order = (audience.c.slug, audience.c.channel, audience.c.purpose)
    return Branch(
        "Audience", row_of(audience, scene), select().select_from(audience).order_by(*order)
    )


def audiences_by(business: Row, arguments: Arguments) -> Branch:
    """The audiences that had been exported by the moment of a business, the latest first."""
    scene = business.scene
    permitted(scene)
    audience = tables.audience.alias()
    query = (
        select()
        .select_from(audience)
        .where(audience.c.created_at <= scene.as_of)
        .order_by(audience.c.created_at.desc(), audience.c.id.desc())
        .limit(arguments.page_size())
    )
    return Branch("Audience", row_of(audience, scene), query)


AUDIENCES: Final = planned(
    Roots(_audiences),
    "The audiences that were exported, by slug; at most 250. Not for the role frontend.",
)
