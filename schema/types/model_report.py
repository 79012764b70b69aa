"""The report of the models of value: how they were chosen, how they did, whether to trust them."""

from typing import Any, Final

import strawberry
from sqlalchemy import ColumnElement, Integer, Text, cast, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cdp import tables
from cdp.errors import Forbidden
from cdp.money import digits_of_each, to_smallest_unit
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Root,
    Row,
    Scene,
    argument,
    is_given,
    planned,
)
from schema.ids import exact
from schema.objects import constant
from schema.scalars import DateTime, Decimal
from schema.types.model_parts import (
    BOUNDS,
    CALIBRATION,
    CUTS,
    FIT,
    NUMBER,
    PERIOD,
    REASON,
    SHORTFALL,
    TOTAL,
    TRIAL,
    WHOLE,
    FittedModel,
    ModelBacktest,
    ModelBounds,
    ModelCalibration,
    ModelPeriod,
    ModelReason,
    ModelShortfall,
    ModelTotal,
    PartColumns,
    RfmCutPoints,
    Verdict,
    one,
    said,
    some,
)


@strawberry.type(
    description="A version of the models behind `cltv`, `churn` and `rfm`: how they were chosen,"
    " how they did in the past, and whether to trust them. What a forecast needs is null where"
    " `shortfalls` say that there is too little for one."
)
class ModelReport:
    """A row of score_model."""

    version: int = said("version", "Its number, as `cltv.model` ends with it.")
    is_in_force: bool = said("is_in_force", "Whether customers show its scores.")
    computed_at: DateTime = said("computed_at", "When it was made.")
    as_of: DateTime = said("as_of", "What had not happened by then was left out.")
    horizon_days: int = said("horizon_days", "How far `cltv.predicted` looks ahead.")
    discount_rate: float = said("discount_rate", "Of a year; 0: not discounted.")
    margin: float = said("margin", "The share of net spend that counts as value.")
    currency: str = said("currency", "The workspace's then: ISO 4217.")
    model: str | None = said("kind", "`MBG_NBD`, `PARETO_NBD` or `BG_NBD`; null without one.")
    verdict: Verdict | None = said("verdict", "What it comes to; null without a model.")
    reasons: list[ModelReason] = some(
        "reasons", "ModelReason", REASON, "What speaks against the forecasts; empty where nothing."
    )
    shortfalls: list[ModelShortfall] = some(
        "shortfalls", "ModelShortfall", SHORTFALL, "What is missing for a forecast."
    )
    customer_count: int | None = said("customer_count", "Customers with an order.")
    repeater_count: int | None = said("repeater_count", "Those of them who came back.")
    history_days: int | None = said("history_days", "Days since the first order of all.")
    orders: FittedModel | None = one("orders", "FittedModel", FIT, "The model of order days.")
    spend: FittedModel | None = one("spend", "FittedModel", FIT, "The model of spend a day.")
    correlation: float | None = said(
        "correlation", "Of spend a day with frequency, which the models take as independent."
    )
    total_orders: ModelTotal | None = one(
        "total_orders", "ModelTotal", TOTAL, "Expected order days of all within the horizon."
    )
    total_predicted: Decimal | None = planned(
        Leaf(lambda row: exact(row.table.c.total_predicted)),
        "`cltv.predicted` of all together when they were scored.",
    )
    backtests: list[ModelBacktest] = some(
        "trials",
        "ModelBacktest",
        TRIAL,
        "Each model and each naive rule at several past moments; empty for a short history.",
    )
    calibration: ModelCalibration | None = one(
        "calibration", "ModelCalibration", CALIBRATION, "Null without a backtest."
    )
    bounds: ModelBounds | None = one("bounds", "ModelBounds", BOUNDS, "Null without a backtest.")
    periods: list[ModelPeriod] = some(
        "periods", "ModelPeriod", PERIOD, "The calendar of repeat orders, from the earliest."
    )
    rfm_cut_points: RfmCutPoints | None = one(
        "cut_points", "RfmCutPoints", CUTS, "Null where nobody had ordered."
    )


_MEMBERS: Final = (
    "reasons", "orders", "spend", "total_orders", "trials", "calibration", "bounds", "periods",
)  # fmt: skip
"""Members of the stored report that are lists or objects."""

_UNSAID: Final = ("report", "estimate", "plans", "cut_points")

_FIGURES: Final[PartColumns] = {
    "customer_count": WHOLE, "repeater_count": WHOLE, "history_days": WHOLE,
    "correlation": NUMBER,
}  # fmt: skip


def _cut_points() -> ColumnElement[Any]:
    """As they are stored, those of money to the smallest unit of the currency of their time."""
    model = tables.score_model.c
    cut = (
        func.jsonb_array_elements_text(model.cut_points["monetary"])
        .table_valued("value", with_ordinality="place", name="cut")
        .render_derived()
    )
    shown = cast(to_smallest_unit(cut.c.value, digits_of_each(model.currency)), Text)
    listed = select(func.jsonb_agg(aggregate_order_by(shown, cut.c.place))).scalar_subquery()
    return model.cut_points.op("||")(func.jsonb_build_object(constant("monetary"), listed))


def _found(scene: Scene, arguments: Arguments) -> Branch:
    if not scene.viewer.may_read_everything:
        raise Forbidden(f"The role {scene.viewer.role.value} does not read the model report.")
    model, basis = tables.score_model.c, tables.score_basis.c
    report = model.report
    money = to_smallest_unit(report["total_spend"].astext, digits_of_each(model.currency))
    stored = select(
        *(each for each in tables.score_model.c if each.name not in _UNSAID),
        _cut_points().label("cut_points"),
        *(report[name].label(name) for name in _MEMBERS),
        *(cast(report[name].astext, type_).label(name) for name, type_ in _FIGURES.items()),
        money.label("total_predicted"),
        func.coalesce(basis.version == model.version, False).label("is_in_force"),
    ).select_from(tables.score_model.outerjoin(tables.score_basis, basis.version == model.version))
    versions = stored.subquery("versions")
    query = select().select_from(versions).order_by(versions.c.version.desc())
    version = arguments.later("version", Integer(), int)
    if version is not None:
        query = query.where(versions.c.version == version)
    return Branch("ModelReport", Row(versions, "model_report", scene), query)


MODEL_REPORT: Final = planned(
    Root(_found),
    "How the models of value were chosen and how they did: the latest version, or a former one."
    " Null before the first `cdp score`. Not for the role frontend.",
    [argument("version", int | None, "The latest unless told.")],
    {"version": is_given},
)
