"""The report of the models of value: how they were chosen, how they did, whether to trust them."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import strawberry
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    Double,
    Integer,
    Numeric,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from cdp import tables
from cdp.errors import Forbidden
from schema.declare import Declared, enumeration
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Many,
    One,
    Root,
    Row,
    Scene,
    argument,
    is_given,
    planned,
)
from schema.ids import exact
from schema.objects import items
from schema.scalars import Date as DateScalar
from schema.scalars import DateTime, Decimal

Verdict: Declared = enumeration(
    "ModelVerdict",
    "Whether the forecasts may be relied on.",
    {
        "TRUSTED": "Nothing speaks against them.",
        "CAUTION": "Use them with the reasons in mind: for ranking rather than for totals.",
        "DO_NOT_USE": "In the past they were worse than a rule of thumb, or far off.",
    },
)

_Columns: TypeAlias = Mapping[str, TypeEngine[Any]]
"""The members of an object of the report, with their types in SQL."""

_NUMBER: Final[TypeEngine[Any]] = Double()
_WHOLE: Final = Integer()
_TEXT: Final = Text()
_OBJECT: Final = JSONB()

_JSON_NULL: Final = literal_column("'null'::jsonb", JSONB)


def said(name: str, description: str) -> Declared:
    """A member of the report: nothing in it is about a person, so nothing is masked."""
    return planned(Leaf(lambda row: row.table.c[name]), description)


def _rows(row: Row, values: ColumnElement[Any], type_name: str, columns: _Columns) -> Branch:
    found = items(values, columns)
    query = select().select_from(found).order_by(found.c.position)
    return Branch(type_name, Row(found, "model_report", row.scene), query)


def some(name: str, type_name: str, columns: _Columns, description: str) -> Declared:
    """A list of objects."""

    def branch(row: Row, _: Arguments) -> Branch:
        return _rows(row, func.nullif(row.table.c[name], _JSON_NULL), type_name, columns)

    return planned(Many(branch), description)


def one(name: str, type_name: str, columns: _Columns, description: str) -> Declared:
    """An object, or null."""

    def branch(row: Row) -> Branch:
        value = func.nullif(row.table.c[name], _JSON_NULL)
        listed = case((value.is_not(None), func.jsonb_build_array(value)))
        return _rows(row, listed, type_name, columns)

    return planned(One(branch), description)


_REASON: Final[_Columns] = {"verdict": _TEXT, "code": _TEXT, "message": _TEXT}
_SHORTFALL: Final[_Columns] = {"code": _TEXT, "message": _TEXT, "found": _WHOLE, "needed": _WHOLE}
_PARAMETER: Final[_Columns] = {
    "name": _TEXT, "value": _NUMBER, "standard_error": _NUMBER, "low": _NUMBER, "high": _NUMBER,
    "is_identified": Boolean(),
}  # fmt: skip
_FIT: Final[_Columns] = {
    "name": _TEXT, "parameters": _OBJECT, "log_likelihood": _NUMBER, "is_converged": Boolean(),
}  # fmt: skip
_TOTAL: Final[_Columns] = {"expected": _NUMBER, "low": _NUMBER, "high": _NUMBER}
_ACCURACY: Final[_Columns] = dict.fromkeys(
    ("mean_absolute_error", "root_mean_square_error", "bias", "spearman", "gini", "top_decile",
     "best_top_decile"),
    _NUMBER,
)  # fmt: skip
_TRIAL: Final[_Columns] = {
    "name": _TEXT, "origin": Date(), "horizon_days": _WHOLE, "customer_count": _WHOLE,
    "orders": _OBJECT, "spend": _OBJECT,
}  # fmt: skip
_BIN: Final[_Columns] = {
    "label": _TEXT, "customer_count": _WHOLE, "forecast": _NUMBER, "actual": _NUMBER,
}  # fmt: skip
_CALIBRATION: Final[_Columns] = dict.fromkeys(
    ("decile", "repeats", "spend_decile", "ordering"), _OBJECT
)
_COVERAGE: Final[_Columns] = {"within": _NUMBER, "above": _NUMBER, "below": _NUMBER}
_BOUNDS: Final[_Columns] = {
    "promised": _NUMBER, "nominal": _OBJECT, "measured": _OBJECT, "levels": _OBJECT,
}  # fmt: skip
_LEVELS: Final[_Columns] = {"lower": _NUMBER, "upper": _NUMBER}
_PERIOD: Final[_Columns] = {"starts_on": Date(), "expected": _NUMBER, "actual": _WHOLE}
_CUTS: Final[_Columns] = dict.fromkeys(("recency_days", "frequency", "monetary"), _OBJECT)


@strawberry.type(description="Something that speaks against the forecasts.")
class ModelReason:
    """A member of `reasons`."""

    verdict: Verdict = said("verdict", "How grave it is.")
    code: str = said("code", "A stable name, such as `ORDERS_BIASED`.")
    message: str = said("message", "A sentence for people, with the figures in it.")


@strawberry.type(description="What is missing for a forecast.")
class ModelShortfall:
    """A member of `shortfalls`."""

    code: str = said("code", "As `cltv.reason` names it.")
    message: str = said("message", "A sentence for people.")
    found: int = said("found", "How many there are.")
    needed: int = said("needed", "How many a forecast needs.")


@strawberry.type(description="A parameter of a model, as it was fitted; rates are per day.")
class ModelParameter:
    """A member of `parameters`."""

    name: str = said("name", "As its paper calls it.")
    value: float = said("value", "The maximum of the likelihood.")
    standard_error: float | None = said("standard_error", "Null where the data do not tell it.")
    low: float | None = said("low", "The lower bound at 80 %; null as the error is.")
    high: float | None = said("high", "The upper bound at 80 %; null as the error is.")
    is_identified: bool = said(
        "is_identified", "Whether the data tell it at all: if not, it is a guess."
    )


@strawberry.type(description="A model with its parameters.")
class FittedModel:
    """`orders` or `spend` of the report."""

    name: str = said("name", "`MBG_NBD`, `PARETO_NBD`, `BG_NBD`, or `GAMMA_GAMMA` for spend.")
    parameters: list[ModelParameter] = some(
        "parameters", "ModelParameter", _PARAMETER, "In the order of its paper."
    )
    log_likelihood: float = said("log_likelihood", "At the optimum, without constants of the data.")
    is_converged: bool = said("is_converged", "Whether the fit ended at an optimum.")


@strawberry.type(description="A sum over all customers, with its bounds at 80 %.")
class ModelTotal:
    """`total_orders` of the report."""

    expected: float = said("expected", "The mean.")
    low: float = said("low", "The lower bound.")
    high: float = said("high", "The upper bound.")


@strawberry.type(description="How well a forecast of each customer met what came.")
class ModelAccuracy:
    """`orders` or `spend` of a backtest."""

    mean_absolute_error: float = said("mean_absolute_error", "Per customer.")
    root_mean_square_error: float = said("root_mean_square_error", "Per customer.")
    bias: float | None = said(
        "bias", "The total forecast over the total that came, less one; null where nothing came."
    )
    spearman: float | None = said("spearman", "Correlation of ranks; 1 is a perfect ranking.")
    gini: float | None = said("gini", "Normalised Gini coefficient; 1 is a perfect ranking.")
    top_decile: float | None = said(
        "top_decile", "The share of all that came that is of the tenth forecast highest."
    )
    best_top_decile: float | None = said("best_top_decile", "What a perfect ranking gets of it.")


@strawberry.type(
    description="A model, or a rule without one, held against what came after a past moment."
)
class ModelBacktest:
    """A member of `trials`."""

    name: str = said(
        "name",
        "A model; or `OWN_RATE`: as often as since the first order; or `LAST_WINDOW`: as often as"
        " in as many days before.",
    )
    origin: DateScalar = said("origin", "What came later was not known to it.")
    horizon_days: int = said("horizon_days", "How far it forecast.")
    customer_count: int = said("customer_count", "Customers with an order by then.")
    orders: ModelAccuracy = one("orders", "ModelAccuracy", _ACCURACY, "Of order days.")
    spend: ModelAccuracy = one("spend", "ModelAccuracy", _ACCURACY, "Of net spend.")


@strawberry.type(description="Customers of about the same forecast.")
class CalibrationBin:
    """A member of a list of the calibration."""

    label: str = said("label", "Which: a decile from 1, the lowest; a tenth; a number of repeats.")
    customer_count: int = said("customer_count", "How many there were.")
    forecast: float = said("forecast", "The mean forecast.")
    actual: float = said("actual", "The mean of what came.")


@strawberry.type(
    description="Forecasts of the chosen model in the backtests beside what came, all origins"
    " together. Draw `actual` over `forecast`: a good model stays on the diagonal."
)
class ModelCalibration:
    """`calibration` of the report."""

    decile: list[CalibrationBin] = some(
        "decile", "CalibrationBin", _BIN, "Order days, by decile of the forecast."
    )
    repeats: list[CalibrationBin] = some(
        "repeats", "CalibrationBin", _BIN, "Order days, by repeat order days at the time."
    )
    spend_decile: list[CalibrationBin] = some(
        "spend_decile", "CalibrationBin", _BIN, "Spend, by decile of the forecast."
    )
    ordering: list[CalibrationBin] = some(
        "ordering",
        "CalibrationBin",
        _BIN,
        "Reliability: the share who ordered, by the probability of an order.",
    )


@strawberry.type(description="Shares of customers whose spend ended within bounds and beyond.")
class BoundsCoverage:
    """`nominal` or `measured` of the bounds."""

    within: float = said("within", "Within them.")
    above: float = said("above", "Above the upper one.")
    below: float = said("below", "Below the lower one.")


@strawberry.type(description="The probabilities at which the bounds are read off a forecast.")
class BoundsLevels:
    """`levels` of the bounds."""

    lower: float = said("lower", "Of `predictedLow`.")
    upper: float = said("upper", "Of `predictedHigh`.")


@strawberry.type(description="Whether the bounds on spend cover what they promise.")
class ModelBounds:
    """`bounds` of the report."""

    promised: float = said("promised", "The share that they are meant to cover.")
    nominal: BoundsCoverage = one(
        "nominal", "BoundsCoverage", _COVERAGE, "What the model's own bounds covered."
    )
    measured: BoundsCoverage = one(
        "measured",
        "BoundsCoverage",
        _COVERAGE,
        "What bounds at levels found at the other origins covered.",
    )
    levels: BoundsLevels = one("levels", "BoundsLevels", _LEVELS, "The levels in use.")


@strawberry.type(description="Four weeks: repeat order days of all customers.")
class ModelPeriod:
    """A member of `periods`."""

    starts_on: DateScalar = said("starts_on", "Its first day.")
    expected: float = said("expected", "As the model spreads them.")
    actual: int = said("actual", "As they were.")


@strawberry.type(
    description="Where RFM scores begin: four values each, from between 1 and 2 to between 4 and 5."
)
class RfmCutPoints:
    """`cut_points` of the report."""

    recency_days: list[int] = said("recency_days", "Days; fewer than a cut has the higher score.")
    frequency: list[int] = said("frequency", "Orders; more than a cut has the higher score.")
    monetary: list[Decimal] = said(
        "monetary", "Net spend in the workspace's currency; more than a cut has the higher score."
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
        "reasons", "ModelReason", _REASON, "What speaks against the forecasts; empty where nothing."
    )
    shortfalls: list[ModelShortfall] = some(
        "shortfalls", "ModelShortfall", _SHORTFALL, "What is missing for a forecast."
    )
    customer_count: int | None = said("customer_count", "Customers with an order.")
    repeater_count: int | None = said("repeater_count", "Those of them who came back.")
    history_days: int | None = said("history_days", "Days since the first order of all.")
    orders: FittedModel | None = one("orders", "FittedModel", _FIT, "The model of order days.")
    spend: FittedModel | None = one("spend", "FittedModel", _FIT, "The model of spend a day.")
    correlation: float | None = said(
        "correlation", "Of spend a day with frequency, which the models take as independent."
    )
    total_orders: ModelTotal | None = one(
        "total_orders", "ModelTotal", _TOTAL, "Expected order days of all within the horizon."
    )
    total_predicted: Decimal | None = planned(
        Leaf(lambda row: exact(row.table.c.total_predicted)), "`cltv.predicted` of all together."
    )
    backtests: list[ModelBacktest] = some(
        "trials",
        "ModelBacktest",
        _TRIAL,
        "Each model and each naive rule at several past moments; empty for a short history.",
    )
    calibration: ModelCalibration | None = one(
        "calibration", "ModelCalibration", _CALIBRATION, "Null without a backtest."
    )
    bounds: ModelBounds | None = one("bounds", "ModelBounds", _BOUNDS, "Null without a backtest.")
    periods: list[ModelPeriod] = some(
        "periods", "ModelPeriod", _PERIOD, "The calendar of repeat orders, from the earliest."
    )
    rfm_cut_points: RfmCutPoints | None = one(
        "cut_points", "RfmCutPoints", _CUTS, "Null where nobody had ordered."
    )


_MEMBERS: Final = (
    "reasons", "orders", "spend", "total_orders", "trials", "calibration", "bounds", "periods",
)  # fmt: skip
"""Members of the stored report that are lists or objects."""

_UNSAID: Final = ("report", "estimate", "plans")

_FIGURES: Final[_Columns] = {
    "customer_count": _WHOLE, "repeater_count": _WHOLE, "history_days": _WHOLE,
    "correlation": _NUMBER,
}  # fmt: skip


def _found(scene: Scene, arguments: Arguments) -> Branch:
    if not scene.viewer.may_read_everything:
        raise Forbidden(f"The role {scene.viewer.role.value} does not read the model report.")
    model, basis = tables.score_model.c, tables.score_basis.c
    report = model.report
    money = func.round(cast(report["total_spend"].astext, Numeric), 2)
    stored = select(
        *(each for each in tables.score_model.c if each.name not in _UNSAID),
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
