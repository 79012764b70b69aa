"""Segments in the graph: who sees what of them, the feed by its cursor, why, and keeping them."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from cdp.database import Database
from cdp.keys import Role, create_key
from tests.cdp.segmenting import refreshed
from tests.schema.business import ingest_business
from tests.schema.client import Graph, Value, serving
from tests.schema.ids import gid

pytestmark = pytest.mark.anyio

ANN = gid("Customer", 1)
READERS = ("frontend", "analyst", "steward", "admin")


@pytest.fixture
async def own_graph(database: Database) -> AsyncIterator[Graph]:
    """A server before a business of the test's own, with the segments that come ready."""
    keys = {}
    async with database.transaction() as connection:
        await ingest_business(connection)
        for role in (Role.STEWARD, Role.ANALYST):
            _, keys[role.value] = await create_key(connection, role, role.value)
    async with serving(database, keys) as graph:
        yield graph


async def test_segment_of_a_customer_tells_since_when(graph: Graph) -> None:
    query = """query ($id: ID!) { customer(id: $id) {
        segments { enteredAt segment { slug memberCount } } } }"""
    found = (await graph.read(query, "frontend", id=ANN))["customer"]["segments"]
    assert [one["segment"]["slug"] for one in found] == ["anns", "buyers", "guests"]
    assert all(one["enteredAt"].startswith("2026-06-1") for one in found)


async def test_customers_are_filtered_by_segments(graph: Graph) -> None:
    query = "query ($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }"

    async def ids(given: dict[str, Any]) -> set[str]:
        found = await graph.read(query, "frontend", f={"segments": given})
        return {one["id"] for one in found["customers"]["nodes"]}

    guests = {ANN, gid("Customer", 2)}
    assert await ids({"in": ["guests"]}) == guests
    assert guests & await ids({"notIn": ["guests"]}) == set()


@pytest.mark.parametrize("role", READERS)
async def test_filter_that_names_personal_data_is_masked(graph: Graph, role: str) -> None:
    query = "{ segments { nodes { slug name filter memberCount } } }"
    found = await graph.read(query, role)
    filters = {one["slug"]: one["filter"] for one in found["segments"]["nodes"]}
    assert filters["danes"] == {"country": {"eq": "DK"}}
    assert filters["guests"] is None
    assert (filters["anns"] is None) == (role in ("frontend", "analyst"))


async def test_feed_goes_on_from_its_cursor(graph: Graph) -> None:
    query = """query ($after: String) { segment(slug: "buyers") { changes(first: 1, after: $after) {
        totalCount edges { cursor node { kind cause customerId } }
        pageInfo { hasNextPage endCursor }
    } } }"""
    seen, after = [], None
    while True:
        page = (await graph.read(query, after=after))["segment"]["changes"]
        seen += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == page["totalCount"] > 2
    assert seen[0]["kind"] == "ENTERED"
    assert (seen[-1]["kind"], seen[-1]["cause"]) == ("EXITED", "definition changed")
    end = (await graph.read(query, after=after))["segment"]["changes"]
    assert end["edges"] == []
    code, _ = await graph.refusal(query, after="bm9uZQ==")
    assert code == "BAD_REQUEST"


STANDING = """query ($slug: String!, $id: ID!) {
    segmentMembership(segmentSlug: $slug, customerId: $id) {
        isMember enteredAt exitedAt customer { id } segment { slug }
        clauses: why { place: path asked holds value } } }"""


async def test_why_is_told_clause_by_clause(graph: Graph) -> None:
    found = (await graph.read(STANDING, slug="anns", id=ANN))["segmentMembership"]
    assert found["isMember"]
    assert found["customer"] == {"id": ANN}
    named, bought = found["clauses"]
    assert named["value"].startswith("Ann")
    assert {**named, "value": ""} == {
        "place": "name.startsWith",
        "asked": "ann",
        "holds": True,
        "value": "",
    }
    assert (bought["place"], bought["asked"], bought["holds"]) == ("orders.some", {}, True)
    assert int(bought["value"]) > 0
    stranger = (await graph.read(STANDING, slug="danes", id=ANN))["segmentMembership"]
    assert (stranger["isMember"], stranger["enteredAt"]) == (False, None)
    assert [one["holds"] for one in stranger["clauses"]] == [False]
    assert (await graph.read(STANDING, slug="guests", id=ANN))["segmentMembership"]["clauses"] == []


async def test_why_of_nothing_is_null(graph: Graph) -> None:
    for slug, number in (("nope", 1), ("anns", 999)):
        found = await graph.read(STANDING, slug=slug, id=gid("Customer", number))
        assert found["segmentMembership"] is None


async def test_why_shows_no_personal_clause_to_who_is_masked(graph: Graph) -> None:
    found = (await graph.read(STANDING, "analyst", slug="anns", id=ANN))["segmentMembership"]
    hidden, shown = found["clauses"]
    assert hidden == {"place": "name.startsWith", "asked": None, "holds": None, "value": None}
    assert shown["holds"] is True


PREVIEW = (
    "query ($f: CustomerFilter!) { segmentPreview(filter: $f) { count percentage sample { id } } }"
)


async def test_preview_is_one_statement(graph: Graph) -> None:
    before = len(graph.reader.statements)
    found = (await graph.read(PREVIEW, "analyst", f={"country": {"eq": "DK"}}))["segmentPreview"]
    assert len(graph.reader.statements) == before + 1
    assert (found["count"], found["percentage"]) == (1, 25.0)
    assert found["sample"] == [{"id": gid("Customer", 2)}]


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (PREVIEW, {"f": {}}),
        (STANDING, {"slug": "buyers", "id": ANN}),
        ('{ segmentOverlap(slugs: ["buyers"]) { count } }', {}),
    ],
)
async def test_frontend_reads_segments_and_does_not_try_filters(
    graph: Graph, query: str, variables: dict[str, Any]
) -> None:
    code, _ = await graph.refusal(query, "frontend", **variables)
    assert code == "FORBIDDEN"


async def test_analyst_previews_no_personal_data(graph: Graph) -> None:
    code, _ = await graph.refusal(PREVIEW, "analyst", f={"firstName": {"eq": "Ann"}})
    assert code == "FORBIDDEN"


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (PREVIEW, {"f": {"segments": {"notIn": ["nope"]}}}),
        (PREVIEW, {"f": {"not": {"segments": {"in": ["anns", "nope"]}}}}),
        ("query ($s: [String!]!) { segmentOverlap(slugs: $s) { count } }", {"s": ["anns", "nope"]}),
        (
            "query ($f: CustomerFilter) { customers(filter: $f) { totalCount } }",
            {"f": {"segments": {"notIn": ["nope"]}}},
        ),
    ],
)
async def test_a_segment_that_there_is_not_is_refused_where_it_is_named(
    graph: Graph, query: str, variables: dict[str, Any]
) -> None:
    code, message = await graph.refusal(query, **variables)
    assert code == "BAD_REQUEST"
    assert message == "There is no segment 'nope'. Read the list of segments."


async def test_too_many_segments_are_not_compared(graph: Graph) -> None:
    query = "query ($s: [String!]!) { segmentOverlap(slugs: $s) { count } }"
    code, _ = await graph.refusal(query, s=[f"s{number}" for number in range(21)])
    assert code == "BAD_REQUEST"


# Keeping them ---------------------------------------------------------------------------------

CREATE = """mutation ($input: CreateSegmentInput!) { createSegment(input: $input) {
    segment { id slug name owner filter evaluatedAt memberCount } unknown
    errors { code message path } } }"""
UPDATE = """mutation ($input: UpdateSegmentInput!) { updateSegment(input: $input) {
    segment { slug name filter } unknown errors { code path } } }"""
DELETE = """mutation ($input: DeleteSegmentInput!) { deleteSegment(input: $input) {
    slug errors { code path } } }"""


async def create(graph: Graph, **given: Value) -> dict[str, Any]:
    answer = await graph.read(CREATE, "steward", input=given)
    payload: dict[str, Any] = answer["createSegment"]
    return payload


async def member_ids(graph: Graph, slug: str) -> set[str]:
    query = "query ($s: String!) { segment(slug: $s) { customers { nodes { id } } } }"
    found = (await graph.read(query, "steward", s=slug))["segment"]["customers"]["nodes"]
    return {one["id"] for one in found}


async def test_segment_is_created_and_its_members_are_found(own_graph: Graph) -> None:
    filter_ = {"city": {"eq": "Aarhus"}, "purchases": {"netSpend": {"gte": 0.5}}}
    made = await create(own_graph, name="By the sea", filter=filter_)
    assert made["errors"] == []
    assert made["segment"] == {
        "id": made["segment"]["id"],
        "slug": "by-the-sea",
        "name": "By the sea",
        "owner": "steward",
        "filter": {"city": {"eq": "Aarhus"}, "purchases": {"netSpend": {"gte": "0.5"}}},
        "evaluatedAt": None,
        "memberCount": 0,
    }
    await refreshed(own_graph.database)
    assert await member_ids(own_graph, "by-the-sea") == {gid("Customer", 2)}


async def test_static_list_is_created_and_changed(own_graph: Graph) -> None:
    members = {
        "customerIds": [ANN],
        "identifiers": [
            {"kind": "email", "value": " BO@example.org "},
            {"kind": "email", "value": "nobody@example.com"},
        ],
    }
    made = await create(own_graph, name="Guests", members=members)
    assert (made["segment"]["filter"], made["unknown"]) == (None, ["email:nobody@example.com"])
    assert (made["segment"]["memberCount"], made["segment"]["evaluatedAt"]) == (0, None)
    await refreshed(own_graph.database)
    listed = await own_graph.read(
        '{ segment(slug: "guests") { memberCount evaluatedAt } }', "steward"
    )
    assert listed["segment"]["memberCount"] == 2
    assert listed["segment"]["evaluatedAt"] is not None
    assert await member_ids(own_graph, "guests") == {ANN, gid("Customer", 2)}
    given = {"id": made["segment"]["id"], "remove": {"customerIds": [ANN]}, "name": "Fewer guests"}
    answer = await own_graph.read(UPDATE, "steward", input=given)
    assert answer["updateSegment"]["segment"] == {
        "slug": "guests",
        "name": "Fewer guests",
        "filter": None,
    }
    await refreshed(own_graph.database)
    assert await member_ids(own_graph, "guests") == {gid("Customer", 2)}


async def test_segment_is_changed_and_deleted(own_graph: Graph) -> None:
    made = await create(own_graph, name="Some", filter={"city": {"eq": "York"}})
    given = {"id": made["segment"]["id"], "filter": {"city": {"eq": "Aarhus"}}}
    answer = (await own_graph.read(UPDATE, "steward", input=given))["updateSegment"]
    assert answer["segment"]["filter"] == {"city": {"eq": "Aarhus"}}
    await refreshed(own_graph.database)
    assert await member_ids(own_graph, "some") == {gid("Customer", 2)}
    for expected in ("some", None):
        answer = await own_graph.read(DELETE, "steward", input={"id": made["segment"]["id"]})
        assert answer["deleteSegment"]["slug"] == expected
    assert answer["deleteSegment"]["errors"] == [{"code": "NOT_FOUND", "path": ["input", "id"]}]
    found = await own_graph.read('{ segment(slug: "some") { id } }', "steward")
    assert found["segment"] is None


BO: Final = {"kind": "email", "value": "bo@example.org"}
FAX: Final = {"kind": "fax", "value": "1"}


async def test_what_cannot_be_saved_is_told_with_its_place(own_graph: Graph) -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"name": " ", "filter": {}}, "name"),
        ({"name": "Lost", "filter": {}}, "slug"),
        ({"name": "X", "slug": "A b", "filter": {}}, "slug"),
        ({"name": "X", "filter": {"segments": {"in": ["nope"]}}}, "filter.segments"),
        ({"name": "X", "filter": {"segments": {"in": ["x"]}}}, "filter.segments"),
        (
            {"name": "X", "filter": {"createdAt": {"withinLast": "soon"}}},
            "filter.createdAt.withinLast",
        ),
        ({"name": "X", "filter": {}, "members": {"customerIds": [ANN]}}, "members"),
        ({"name": "X", "members": {"customerIds": [ANN, "bm9uZQ=="]}}, "members.customerIds.1"),
        ({"name": "X", "members": {"identifiers": [BO, FAX]}}, "members.identifiers.1.kind"),
    ]
    for given, path in mistakes:
        payload = await create(own_graph, **given)
        assert payload["segment"] is None
        (error,) = payload["errors"]
        assert (error["code"], error["path"]) == ("BAD_REQUEST", ["input", *path.split(".")])


async def test_circle_is_refused_in_the_payload(own_graph: Graph) -> None:
    first = await create(own_graph, name="First", filter={})
    await create(own_graph, name="Second", filter={"segments": {"in": ["first"]}})
    given = {"id": first["segment"]["id"], "filter": {"segments": {"notIn": ["second"]}}}
    answer = (await own_graph.read(UPDATE, "steward", input=given))["updateSegment"]
    assert answer["errors"] == [{"code": "BAD_REQUEST", "path": ["input", "filter", "segments"]}]


async def test_analyst_keeps_no_segments(own_graph: Graph) -> None:
    code, _ = await own_graph.refusal(CREATE, "analyst", input={"name": "X", "filter": {}})
    assert code == "FORBIDDEN"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"filter": {}, "members": {"identifiers": []}}, "a filter or a list"),
        ({"members": {"identifiers": [{"kind": "fax", "value": "1"}]}}, "no kind of identifier"),
        ({"filter": {"messages": {"none": {"kind": {"eq": "opn"}}}}}, "There are: sent, "),
    ],
)
async def test_a_segment_that_is_neither_is_told_why(
    own_graph: Graph, given: dict[str, Any], told: str
) -> None:
    done = await own_graph.read(CREATE, "steward", input={"name": "X", **given})
    assert told in done["createSegment"]["errors"][0]["message"]
