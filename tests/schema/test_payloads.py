"""A payload is read as a query is: any selection of it, compiled to one statement."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.database import Database
from tests.schema.business import ingest_business
from tests.schema.client import Graph, serving
from tests.schema.operations import Builder

pytestmark = pytest.mark.anyio

VOLATILE = ("updatedAt", "enteredAt", "mergeHistory", "decisions", "matchReviews")
"""What tells of the moment and of numbers that a preview gives back: another the second time."""

WHO = [{"kind": "email", "value": value} for value in ("ann@example.com", "bo@example.org")]


@st.composite
def selections(draw: st.DrawFn) -> tuple[str, str, str, dict[str, Any]]:
    """A selection of a customer, its fragments, and its variables as declared and as given."""
    builder = Builder(draw)
    body = builder.selection("Customer", 4)
    declared = "".join(f", ${name}: {type_}" for name, (type_, _) in builder.variables.items())
    values = {name: value for name, (_, value) in builder.variables.items()}
    return body, " ".join(builder.fragments), declared, values


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    async with database.transaction() as connection:
        await ingest_business(connection)
    async with serving(database, {}) as graph:
        yield graph


async def id_of(graph: Graph, who: dict[str, str]) -> str:
    query = "query ($who: IdentifierInput) { customer(identifier: $who) { id } }"
    return str((await graph.read(query, who=who))["customer"]["id"])


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(selection=selections())
async def test_payload_reads_as_a_query_does_and_a_preview_as_the_deed(
    graph: Graph, selection: tuple[str, str, str, dict[str, Any]]
) -> None:
    body, fragments, declared, values = selection
    ids = [await id_of(graph, who) for who in WHO]
    merge = f"""mutation ($input: MergeCustomersInput!{declared}) {{
        merged: mergeCustomers(input: $input) {{
          customer {{ {body} }} event: mergeEvents {{ id }} errors {{ message }}
        }} }} {fragments}"""
    given_ = {"customerIds": ids, "reason": "One."}
    before = len(graph.reader.statements)
    tried = await graph.answer(merge, input={**given_, "dryRun": True}, **values)
    if [each["extensions"]["code"] for each in tried.get("errors", [])] == ["COST_LIMIT"]:
        return
    merged = (await graph.read(merge, input=given_, **values))["merged"]
    assert len(graph.reader.statements) == before, "a payload is read where it was written"
    query = f"query ($id: ID{declared}) {{ customer(id: $id) {{ {body} }} }} {fragments}"
    read = (await graph.read(query, id=ids[0], **values))["customer"]
    undo = "mutation ($input: UndoMergeInput!) { undoMerge(input: $input) { errors { message } } }"
    (event,) = merged["event"]
    undone = await graph.read(undo, input={"mergeEventId": event["id"]})
    assert undone["undoMerge"]["errors"] == merged["errors"] == []
    assert merged["customer"] == read
    if not any(name in body + fragments for name in VOLATILE):
        assert tried["data"]["merged"]["customer"] == read


async def test_payload_takes_fragments_aliases_directives_and_typenames(graph: Graph) -> None:
    one, other = [await id_of(graph, who) for who in WHO]
    mutation = """
      mutation Both($first: MergeCustomersInput!, $yes: Boolean!, $no: Boolean!, $size: Int) {
        __typename
        one: mergeCustomers(input: $first) { ...Some ...Some customer { id } }
        never: mergeCustomers(input: $first) @include(if: $no) { notes }
        two: mergeCustomers(input: {customerIds: ["%s"], reason: "Alone.", dryRun: true}) {
          again: __typename errors { path code } ... on DecisionPayload { notes @skip(if: $yes) }
        }
      }
      fragment Some on DecisionPayload {
        __typename customers { who: id ...Orders @include(if: $yes) }
        changes @skip(if: $no) { to: customerId } changes { kind }
      }
      fragment Orders on Customer {
        some: orders(first: $size) { nodes { key } pageInfo { hasNextPage } }
        all: orders { totalCount }
      }"""
    given_ = {"customerIds": [one, other], "reason": "One."}
    data = await graph.read(mutation % one, first=given_, yes=True, no=False, size=1)
    assert list(data) == ["__typename", "one", "two"]
    assert data["__typename"] == "Mutation"
    assert data["one"] == {
        "__typename": "MergeCustomersPayload",
        "customers": [
            {
                "who": one,
                "some": {"nodes": [{"key": "o4"}], "pageInfo": {"hasNextPage": True}},
                "all": {"totalCount": 5},
            }
        ],
        "changes": [{"to": one, "kind": "MERGED"}],
        "customer": {"id": one},
    }
    assert data["two"] == {
        "again": "MergeCustomersPayload",
        "errors": [{"path": ["input", "customerIds"], "code": "BAD_REQUEST"}],
    }
