"""What a customer may want next, and because of which purchase."""

from collections.abc import Callable
from typing import Final

import strawberry
from sqlalchemy import select

from cdp import tables
from cdp.recommendations import LEAST_CUSTOMERS, MAX_PAIRS, recommended
from schema.edges import (
    Arguments,
    Branch,
    Embedded,
    Many,
    One,
    Row,
    argument,
    column,
    planned,
    row_of,
)
from schema.scalars import DateTime, Decimal
from schema.types.records import money, profiles_of


@strawberry.type(
    description="Something that is sold: one article, also where several sources sell it under one"
    " SKU."
)
class Product:
    """A row of article."""

    sku: str | None = column("sku", "The stock-keeping unit; null where its source tells none.")
    title: str | None = column("title", "What it is called.")
    category: str | None = column("category", "The category, as the source tells it.")
    price: Decimal | None = planned(
        money("price"), "As its record tells it, in `currency`; null where there is no record."
    )
    currency: str | None = column("currency", "ISO 4217, of the price.")
    customers: int = column("customers", "How many customers have bought it.")


def _article(name: str) -> Callable[[Row], Branch]:
    """The article whose code stands in a column."""

    def branch(row: Row) -> Branch:
        article = tables.article.alias()
        query = select().select_from(article).where(article.c.code == row.table.c[name])
        return Branch("Product", row_of(article, row.scene), query)

    return branch


@strawberry.type(description="The purchase that a recommendation follows from.")
class RecommendationReason:
    """Of the row of a recommendation."""

    product: Product = planned(One(_article("code")), "What the customer bought.")
    bought_at: DateTime = column("bought_at", "When they bought it last.")
    customers: int = column(
        "customers", f"How many customers bought both products: at least {LEAST_CUSTOMERS}."
    )
    lift: float = column(
        "lift",
        "So many customers bought both, per as many as would if the one said nothing of the other:"
        " 3 is three times as many as by chance.",
    )


@strawberry.type(
    description="A product that the customer has not bought, and that customers like this one buy:"
    " it goes with something that was bought."
)
class Recommendation:
    """A row of `recommended`."""

    product: Product = planned(One(_article("other_code")), "What to recommend.")
    score: float = column(
        "score",
        "How sure it is, above 1: the lift that would be left if one standard deviation fewer"
        " customers had bought both. The list is sorted by it.",
    )
    because: RecommendationReason = planned(
        Embedded(), "The purchase that speaks most for it: show it as the reason."
    )
    computed_at: DateTime = column(
        "computed_at", "When it was last counted what customers buy together."
    )


def _recommendations(customer: Row, arguments: Arguments) -> Branch:
    scene = customer.scene
    found = recommended(
        profiles_of(customer), scene.workspace, scene.as_of, arguments.page_size()
    ).subquery()
    query = select().select_from(found).order_by(found.c.score.desc(), found.c.other_code)
    return Branch("Recommendation", Row(found, "recommendation", scene), query)


RECOMMENDATIONS: Final = Many(_recommendations)
RECOMMENDATIONS_ARGUMENTS: Final = (
    argument(
        "first", int | None, f"How many at most: 25 unless told, {MAX_PAIRS} follow from a product."
    ),
)
