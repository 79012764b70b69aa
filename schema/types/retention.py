"""The retention grid: a cohort for each period, a cell for each period since."""

from typing import Final

import strawberry
from sqlalchemy import (
    Boolean,
    Float,
    Integer,
    Text,
    literal_column,
    select,
)
from sqlalchemy import Date as Day
from sqlalchemy.dialects.postgresql import JSONB

from cdp import tables
from cdp.business.retention import MAX_COHORTS, RetentionPeriod, retention_query
from cdp.filters import predicate
from schema.declare import Declared, enumeration
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Many,
    Root,
    Row,
    Scene,
    argument,
    column,
    planned,
    row_of,
)
from schema.filters import filter_json
from schema.moments import AS_OF, AS_OF_LATE, currency_of, moment_in, scene_at
from schema.objects import constant, items
from schema.scalars import Date, DateTime, Decimal
from schema.traits import CustomerFilter
from schema.types.records import money

READ_PRICE: Final = 50  # it reads the days of every customer

Period: Declared = enumeration(
    "RetentionPeriod",
    "How long a period of the retention grid is, in days of the workspace.",
    {
        "DAY": None,
        "WEEK": "From Monday on.",
        "MONTH": None,
        "QUARTER": "From January, April, July and October on.",
        "YEAR": None,
    },
)


@strawberry.type(
    description="What became of a cohort in one period. Its figures are null, never 0, where the"
    " period is still to come."
)
class RetentionCell:
    """An item of a cohort's `cells`."""

    index: int = column(
        "index", "How many periods after the first order; 0 is the period of the first order."
    )
    starts_on: Date = column("starts_on", "The first day of the period.")
    is_complete: bool = column(
        "is_complete", "Whether the period is over; until then its figures still grow."
    )
    customers: int | None = column(
        "customers", "How many of the cohort placed a qualifying order in the period."
    )
    rate: float | None = column(
        "rate", "Those as a share of the cohort, 0 to 1; also null for a cohort of nobody."
    )
    revenue: Decimal | None = planned(
        money("revenue"),
        "The cohort's orders of the period net of refunds, in the workspace's currency at the rates"
        " of the orders' days. A refund counts in the period of its order.",
    )


def _cells(cohort: Row, _: Arguments) -> Branch:
    cells = items(
        cohort.table.c.cells,
        {
            "index": Integer(),
            "starts_on": Day(),
            "is_complete": Boolean(),
            "customers": Integer(),
            "rate": Float(53),
            "revenue": Text(),
        },
    )
    query = select().select_from(cells).order_by(cells.c.position)
    return Branch("RetentionCell", Row(cells, "retention_cell", cohort.scene), query)


@strawberry.type(description="Everybody whose first qualifying order fell into one period.")
class RetentionCohort:
    """An item of a grid's `cohorts`."""

    starts_on: Date = column("starts_on", "The first day of the period.")
    size: int = column("size", "How many customers there are in it.")
    cells: list[RetentionCell] = planned(
        Many(_cells),
        "The periods from the first order's on, in order; as many for every cohort, so that the"
        " grid is a rectangle. Those still to come have null figures.",
    )


def _cohorts(grid: Row, _: Arguments) -> Branch:
    cohorts = items(grid.table.c.cohorts, {"starts_on": Day(), "size": Integer(), "cells": JSONB()})
    query = select().select_from(cohorts).order_by(cohorts.c.position)
    return Branch("RetentionCohort", Row(cohorts, "retention_cohort", grid.scene), query)


@strawberry.type(
    description="Cohorts of customers by the period of their first qualifying order, and how many"
    " of each came back in every period since."
)
class RetentionGrid:
    """The row of `retention_query`."""

    period: Period = column("period", "How long each period is.")
    as_of: DateTime = column("as_of", "Nothing that happened later counts.")
    currency: str = planned(Leaf(currency_of), "ISO 4217, of `revenue`: the workspace's.")
    cohorts: list[RetentionCohort] = planned(
        Many(_cohorts),
        f"The earliest first, without gaps, up to the period of `asOf`; the latest {MAX_COHORTS} of"
        " them. Empty where nobody has bought.",
    )
    earlier_customers: int = column(
        "earlier_customers", "Customers who first bought before the first cohort that is shown."
    )


def _retention(scene: Scene, arguments: Arguments) -> Branch:
    shown = scene_at(scene, arguments)
    period = RetentionPeriod[arguments.now("period").value]
    # The filter reads customers as they are now.
    people = row_of(tables.scored_customer.alias(), scene)
    condition = predicate(
        filter_json(arguments.now("filter")),
        people.scope,
        workspace=scene.workspace,
        may_see_personal=scene.viewer.may_see_personal,
    )
    query = retention_query(period, moment_in(shown), people.table, condition)
    # The fence keeps PostgreSQL from building the grid anew for each member of it.
    found = query.add_columns(constant(period.name).label("period")).offset(literal_column("0"))
    grid = found.subquery()
    return Branch("RetentionGrid", Row(grid, "retention_grid", shown), select().select_from(grid))


RETENTION: Final = Root(_retention, READ_PRICE, reads_all=True)
RETENTION_LATE: Final = AS_OF_LATE
RETENTION_ARGUMENTS: Final = (
    argument("period", Period, "How long each period is."),
    argument(
        "filter",
        CustomerFilter | None,
        "Which customers, as they are now; all of them unless told.",
    ),
    AS_OF,
)
