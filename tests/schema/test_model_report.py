"""The model report in the graph: all that was stored of a version, under the graph's names."""

from typing import Any

import pytest
from sqlalchemy import select

from cdp import tables
from cdp.database import Database
from cdp.fields import camel_case
from cdp.forecasting import score_as_of
from cdp.workspace import Workspace
from tests.cdp.scoring.shop import NOW, a_shop
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio

ACCURACY = "meanAbsoluteError rootMeanSquareError bias spearman gini topDecile bestTopDecile"
FIT = "name logLikelihood isConverged parameters { name value standardError low high isIdentified }"
BIN = "label customerCount forecast actual"
COVERAGE = "within above below"

REPORT = f"""query ($version: Int) {{ modelReport(version: $version) {{
    version isInForce horizonDays currency model verdict customerCount repeaterCount historyDays
    correlation totalPredicted
    reasons {{ verdict code message }} shortfalls {{ code message found needed }}
    orders {{ {FIT} }} spend {{ {FIT} }} totalOrders {{ expected low high }}
    backtests {{ name origin horizonDays customerCount
        orders {{ {ACCURACY} }} spend {{ {ACCURACY} }} }}
    calibration {{ decile {{ {BIN} }} repeats {{ {BIN} }} spendDecile {{ {BIN} }}
        ordering {{ {BIN} }} }}
    bounds {{ promised levels {{ lower upper }} nominal {{ {COVERAGE} }}
        measured {{ {COVERAGE} }} }}
    periods {{ startsOn expected actual }}
    rfmCutPoints {{ recencyDays frequency monetary }}
}} }}"""


def _camel(value: Any) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {camel_case(name): _camel(each) for name, each in value.items()}
    return [_camel(each) for each in value] if isinstance(value, list) else value


async def test_every_part_of_the_stored_report_is_told(database: Database) -> None:
    workspace = Workspace(timezone="UTC", horizon_days=120)
    async with database.transaction() as connection:
        await a_shop(connection)
        await score_as_of(connection, workspace, NOW, None)
        await score_as_of(connection, workspace, NOW, None)
        model = tables.score_model
        rows = await connection.execute(select(model).where(model.c.version == 1))
        row = rows.mappings().one()
    async with serving(database, {}) as graph:
        told = (await graph.read(REPORT, version=1))["modelReport"]
        latest = (await graph.read("{ modelReport { version isInForce } }"))["modelReport"]
        none = (await graph.read("{ modelReport(version: 9) { version } }"))["modelReport"]
        customers = "{ customers(first: 2, orderBy: {field: CLTV_PREDICTED, direction: DESC})"
        query = (
            customers + " { nodes { cltv { rank model predicted } churn { risk } rfm { code } } } }"
        )
        best = (await graph.read(query))["customers"]["nodes"]
    assert latest == {"version": 2, "isInForce": True}
    assert none is None
    assert [one["cltv"]["rank"] for one in best] == [1, 2]
    assert best[0]["cltv"]["model"] == f"{row['kind']} 2"
    report = _camel(row["report"])
    expected = {
        **report,
        "backtests": report["trials"],
        "version": 1,
        "isInForce": False,
        "horizonDays": 120,
        "currency": "EUR",
        "shortfalls": [],
        "totalPredicted": told["totalPredicted"],
        "rfmCutPoints": _camel(row["cut_points"]),
    }
    assert told == {name: expected[name] for name in told}
    assert float(told["totalPredicted"]) == pytest.approx(report["totalSpend"], abs=0.01)


async def test_a_shop_too_small_for_a_model_is_told_what_is_missing(graph: Graph) -> None:
    told = (await graph.read(REPORT, "analyst"))["modelReport"]
    assert told["model"] is told["calibration"] is told["orders"] is None
    assert told["shortfalls"][0]["code"] == "TOO_FEW_CUSTOMERS"


async def test_frontend_reads_no_model_report(graph: Graph) -> None:
    code, _ = await graph.refusal("{ modelReport { version } }", "frontend")
    assert code == "FORBIDDEN"
