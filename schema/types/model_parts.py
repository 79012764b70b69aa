"""The parts of a model report: fits, backtests, calibration, bounds; objects of its JSON."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import strawberry
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    Double,
    Integer,
    Text,
    case,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from schema.declare import Declared, enumeration
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Many,
    One,
    Row,
    planned,
)
from schema.objects import items
from schema.scalars import Date as DateScalar
from schema.scalars import Decimal

Verdict: Declared = enumeration(
    "ModelVerdict",
    "Whether the forecasts may be relied on.",
    {
        "TRUSTED": "Nothing speaks against them.",
        "CAUTION": "Use them with the reasons in mind: for ranking rather than for totals.",
        "DO_NOT_USE": "In the past they were worse than a rule of thumb, or far off.",
    },
)

PartColumns: TypeAlias = Mapping[str, TypeEngine[Any]]
"""The members of an object of the report, with their types in SQL."""

NUMBER: Final[TypeEngine[Any]] = Double()
WHOLE: Final = Integer()
TEXT: Final = Text()
OBJECT: Final = JSONB()

_JSON_NULL: Final = literal_column("'null'::jsonb", JSONB)


def said(name: str, description: str) -> Declared:
    """A member of the report: nothing in it is about a person, so nothing is masked."""
    return planned(Leaf(lambda row: row.table.c[name]), description)


def _rows(row: Row, values: ColumnElement[Any], type_name: str, columns: PartColumns) -> Branch:
    found = items(values, columns)
    query = select().select_from(found).order_by(found.c.position)
    return Branch(type_name, Row(found, "model_report", row.scene), query)


def some(name: str, type_name: str, columns: PartColumns, description: str) -> Declared:
    """A list of objects."""

    def branch(row: Row, _: Arguments) -> Branch:
        return _rows(row, func.nullif(row.table.c[name], _JSON_NULL), type_name, columns)

    return planned(Many(branch), description)


def one(name: str, type_name: str, columns: PartColumns, description: str) -> Declared:
    """An object, or null."""

    def branch(row: Row) -> Branch:
        value = func.nullif(row.table.c[name], _JSON_NULL)
        listed = case((value.is_not(None), func.jsonb_build_array(value)))
        return _rows(row, listed, type_name, columns)

    return planned(One(branch), description)


REASON: Final[PartColumns] = {"verdict": TEXT, "code": TEXT, "message": TEXT}
SHORTFALL: Final[PartColumns] = {"code": TEXT, "message": TEXT, "found": WHOLE, "needed": WHOLE}
PARAMETER: Final[PartColumns] = {
    "name": TEXT, "value": NUMBER, "standard_error": NUMBER, "low": NUMBER, "high": NUMBER,
    "is_identified": Boolean(),
}  # fmt: skip
FIT: Final[PartColumns] = {
    "name": TEXT, "parameters": OBJECT, "log_likelihood": NUMBER, "is_converged": Boolean(),
}  # fmt: skip
TOTAL: Final[PartColumns] = {"expected": NUMBER, "low": NUMBER, "high": NUMBER}
ACCURACY: Final[PartColumns] = dict.fromkeys(
    ("mean_absolute_error", "root_mean_square_error", "bias", "spearman", "gini", "top_decile",
     "best_top_decile"),
    NUMBER,
)  # fmt: skip
TRIAL: Final[PartColumns] = {
    "name": TEXT, "origin": Date(), "horizon_days": WHOLE, "customer_count": WHOLE,
    "orders": OBJECT, "spend": OBJECT,
}  # fmt: skip
BIN: Final[PartColumns] = {
    "label": TEXT, "customer_count": WHOLE, "forecast": NUMBER, "actual": NUMBER,
}  # fmt: skip
CALIBRATION: Final[PartColumns] = dict.fromkeys(
    ("decile", "repeats", "spend_decile", "ordering"), OBJECT
)
COVERAGE: Final[PartColumns] = {"within": NUMBER, "above": NUMBER, "below": NUMBER}
BOUNDS: Final[PartColumns] = {
    "promised": NUMBER, "nominal": OBJECT, "measured": OBJECT, "levels": OBJECT,
}  # fmt: skip
LEVELS: Final[PartColumns] = {"lower": NUMBER, "upper": NUMBER}
PERIOD: Final[PartColumns] = {"starts_on": Date(), "expected": NUMBER, "actual": WHOLE}
CUTS: Final[PartColumns] = dict.fromkeys(("recency_days", "frequency", "monetary"), OBJECT)


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
        "parameters", "ModelParameter", PARAMETER, "In the order of its paper."
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
    orders: ModelAccuracy = one("orders", "ModelAccuracy", ACCURACY, "Of order days.")
    spend: ModelAccuracy = one("spend", "ModelAccuracy", ACCURACY, "Of net spend.")


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
        "decile", "CalibrationBin", BIN, "Order days, by decile of the forecast."
    )
    repeats: list[CalibrationBin] = some(
        "repeats", "CalibrationBin", BIN, "Order days, by repeat order days at the time."
    )
    spend_decile: list[CalibrationBin] = some(
        "spend_decile", "CalibrationBin", BIN, "Spend, by decile of the forecast."
    )
    ordering: list[CalibrationBin] = some(
        "ordering",
        "CalibrationBin",
        BIN,
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
        "nominal", "BoundsCoverage", COVERAGE, "What the model's own bounds covered."
    )
    measured: BoundsCoverage = one(
        "measured",
        "BoundsCoverage",
        COVERAGE,
        "What bounds at levels found at the other origins covered.",
    )
    levels: BoundsLevels = one("levels", "BoundsLevels", LEVELS, "The levels in use.")


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
