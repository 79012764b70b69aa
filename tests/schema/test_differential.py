"""The compiled read path answers what graphql-core answers over plain objects."""

import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from cdp.database import Database
from tests.schema.client import Graph, Value
from tests.schema.operations import operations
from tests.schema.oracle import Oracle

pytestmark = pytest.mark.anyio

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)")


@pytest.fixture(scope="module")
async def oracle(business: tuple[Database, dict[str, str]]) -> Oracle:
    async with business[0].read_only() as connection:
        return await Oracle.load(connection)


def same_moments(value: Value) -> Value:
    """Moments as such: PostgreSQL and Python spell fractions of a second differently."""
    if isinstance(value, dict):
        return {key: same_moments(each) for key, each in value.items()}
    if isinstance(value, list):
        return [same_moments(each) for each in value]
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        return datetime.fromisoformat(value)
    return value


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operation=operations())
async def test_compiled_answer_is_that_of_the_reference_executor(
    graph: Graph, oracle: Oracle, operation: tuple[str, dict[str, Any]]
) -> None:
    query, variables = operation
    before = len(graph.reader.statements)
    answer = await graph.answer(query, **variables)
    codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
    if codes == ["COST_LIMIT"]:
        return
    assert codes == [], answer
    assert same_moments(answer["data"]) == same_moments(oracle.answer(query, variables))
    asked_beside = "deadLetterCount" in query
    assert len(graph.reader.statements) - before <= (4 if asked_beside else 1)


async def test_oracle_itself_sees_the_business(graph: Graph, oracle: Oracle) -> None:
    query = "{ customers { totalCount nodes { name orders { totalCount } } } }"
    found = oracle.answer(query, {})
    assert found["customers"]["totalCount"] == 4
    assert found == await graph.read(query)
