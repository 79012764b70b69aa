"""Who sees what: masking and permission are part of the statement."""

import base64
from typing import Any

import pytest

from cdp import tables
from cdp.database import Database
from cdp.keys import Role, create_key
from tests.cdp.builders import a_customer, a_record, a_source, an_identifier, an_order, days_ago
from tests.schema.client import Graph, serving
from tests.schema.test_read import ANN

pytestmark = pytest.mark.anyio

EVERYTHING_PERSONAL = """
query ($who: IdentifierInput!) {
  customer(identifier: $who) {
    name firstName lastName email phone birthDate attributes
    address { street city region postalCode country }
    provenance(attribute: "email") { value source profile { key record } }
    town: provenance(attribute: "city") { value }
    identifiers { kind value }
    consents { status contactPoint source evidence statements { contactPoint evidence event } }
    sourceProfiles { stream key record name email phone birthDate address { street city } }
    mergeHistory { reason evidence { kind value } }
    orders { nodes { refunds { reason } lines { title } } }
    timeline(first: 50) { nodes { kind
        ... on RefundEntry { refundReason: reason }
        ... on MessageEntry { messageId url event }
        ... on InteractionEntry { properties }
        ... on TicketEntry { subject }
        ... on FeedbackEntry { comment }
        ... on LoyaltyMovement { pointsReason: reason points }
        ... on ConsentEntry { consentEvidence: evidence } } }
    purchases { netSpend }
  }
}
"""


@pytest.mark.parametrize("role", ["frontend", "analyst"])
async def test_masked_role_reads_no_word_about_the_person(graph: Graph, role: str) -> None:
    text = (await graph.post(EVERYTHING_PERSONAL, role, who=ANN)).text.lower()
    for personal in ("ann", "miller", "1980", "high street", "leeds", "york", "ls1"):
        assert personal not in text
    for personal in ("7700", '"38"', "lc77", "lc 77", '"messageid":"m"', '"key":"s1"', "n1", "k1"):
        assert personal not in text
    for open_ in ('"gb"', "239.90", "thing 1", "opened", "newsletter"):
        assert open_ in text


@pytest.mark.parametrize("role", ["steward", "admin"])
async def test_clear_role_reads_it_all(graph: Graph, role: str) -> None:
    text = (await graph.post(EVERYTHING_PERSONAL, role, who=ANN)).text
    for personal in (
        "Ann Miller",
        "1980-02-29",
        "1 High Street",
        "+447700900001",
        "Where is Ann's parcel?",
        "Ann is pleased",
        "asked by Ann",
        "Ann ticked the box",
        "?who=ann",
    ):
        assert personal in text


@pytest.mark.parametrize(
    "arguments",
    [
        'filter: {email: {contains: "ann"}}',
        'filter: {not: {or: [{address: null}, {lastName: {eq: "Miller"}}]}}',
        'filter: {and: [{birthDate: {before: "1990-01-01"}}]}',
        'filter: {city: {eq: "York"}}',
        "orderBy: [{field: CITY, direction: ASC}]",
        'filter: {attribute: {name: "shoe_size", eq: "38"}}',
        'filter: {identifier: {kind: "email", value: "ann@example.com"}}',
        'filter: {tickets: {some: {subject: {contains: "Ann"}}}}',
        "orderBy: [{field: LAST_NAME, direction: ASC}]",
        'search: "ann"',
    ],
)
async def test_masked_role_cannot_ask_by_what_it_cannot_see(graph: Graph, arguments: str) -> None:
    query = "{ customers(%s) { totalCount } }" % arguments.replace("{address: null}, ", "")  # noqa: UP031  braces
    assert (await graph.refusal(query, "frontend"))[0] == "FORBIDDEN"
    assert "errors" not in await graph.answer(query, "steward")


async def test_masked_role_may_ask_by_everything_else(graph: Graph) -> None:
    query = """{ customers(filter: {country: {eq: "GB"}, orders: {some: {total: {gt: "100"}}}},
        orderBy: [{field: COUNTRY, direction: ASC}]) {
        nodes { name purchases { orderCount } } } }"""
    found = await graph.read(query, "frontend")
    assert found["customers"]["nodes"] == [{"name": None, "purchases": {"orderCount": 3}}]


async def test_connector_reads_no_customers(graph: Graph) -> None:
    assert (await graph.refusal("{ customers { totalCount } }", "connector"))[0] == "FORBIDDEN"
    assert "errors" not in await graph.answer("{ __typename }", "connector")


@pytest.mark.parametrize("query", ["{ sources { name } }", '{ node(id: "U291cmNlOjE=") { id } }'])
async def test_frontend_reads_no_sources(graph: Graph, query: str) -> None:
    assert (await graph.refusal(query, "frontend"))[0] == "FORBIDDEN"
    assert "errors" not in await graph.answer(query, "analyst")


async def test_same_text_is_masked_anew_for_each_role(graph: Graph) -> None:
    query = "query ($who: IdentifierInput) { customer(identifier: $who) { name } }"
    assert (await graph.read(query, "admin", who=ANN))["customer"]["name"] == "Ann Miller"
    assert (await graph.read(query, "frontend", who=ANN))["customer"]["name"] is None
    assert (await graph.read(query, "admin", who=ANN))["customer"]["name"] == "Ann Miller"


@pytest.mark.parametrize(("role", "most"), [("frontend", 100), ("steward", 250), ("admin", 1000)])
async def test_page_size_is_bounded_by_role(graph: Graph, role: str, most: int) -> None:
    query = "query ($first: Int) { customers(first: $first) { nodes { id } } }"
    await graph.read(query, role, first=most)
    assert (await graph.refusal(query, role, first=most + 1))[0] == "BAD_REQUEST"
    assert (await graph.refusal(query, role, first=-1))[0] == "BAD_REQUEST"


async def test_cost_is_bounded_by_role(graph: Graph) -> None:
    query = "{ customers(first: 100) { nodes { orders(first: 100) { nodes { key } } } } }"
    code, message = await graph.refusal(query, "frontend")
    assert code == "COST_LIMIT"
    assert "1000" in message
    cost = (await graph.answer(query, "frontend"))["extensions"]["cost"]
    assert cost["requested"] > cost["limit"] == 1_000
    assert cost["actual"] == 0


@pytest.mark.parametrize("role", ["frontend", "analyst"])
async def test_masked_role_cannot_probe_attributes_by_name(graph: Graph, role: str) -> None:
    query = """query ($who: IdentifierInput!, $name: String!) {
        customer(identifier: $who) { provenance(attribute: $name) { source } } }"""
    for name in ("shoe_size", "no_such_attribute"):
        assert (await graph.refusal(query, role, who=ANN, name=name))[0] == "FORBIDDEN"
        assert "errors" not in await graph.answer(query, "steward", who=ANN, name=name)
    claims = (await graph.read(query, role, who=ANN, name="country"))["customer"]["provenance"]
    assert {claim["source"] for claim in claims} == {"newsletter", "shop"}


async def test_masked_role_reads_neither_error_nor_place_of_a_source(database: Database) -> None:
    query = "{ sources { name cursor lastRun { state error } } }"
    async with database.transaction() as connection:
        source_id = await a_source(connection)
        await connection.execute(
            tables.sync_run.insert().values(
                source_id=source_id, status="failed", error="The vendor said: ann@example.com"
            )
        )
        place = {"source_id": source_id, "stream": "customers", "cursor": "ann@example.com"}
        await connection.execute(tables.checkpoint.insert().values(place))
        keys = {
            role.value: (await create_key(connection, role, "x"))[1]
            for role in (Role.ANALYST, Role.STEWARD)
        }
    async with serving(database, keys) as graph:
        assert (await graph.read(query, "analyst"))["sources"] == [
            {"name": "shop", "cursor": None, "lastRun": {"state": "FAILED", "error": None}}
        ]
        (clear,) = (await graph.read(query, "steward"))["sources"]
    assert clear["cursor"] == {"customers": "ann@example.com"}
    assert clear["lastRun"]["error"] == "The vendor said: ann@example.com"


TIMELINE_PAGE = """
query ($who: IdentifierInput!, $after: String) {
  customer(identifier: $who) {
    timeline(first: 2, after: $after) {
      totalCount pageInfo { hasNextPage endCursor } edges { cursor node { id kind } } } } }
"""


async def timeline(graph: Graph, role: str) -> list[dict[str, Any]]:
    """The edges of every page of Ann's timeline."""
    edges: list[dict[str, Any]] = []
    after = None
    while True:
        found = await graph.read(TIMELINE_PAGE, role, who=ANN, after=after)
        page = found["customer"]["timeline"]
        edges += page["edges"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            assert len(edges) == page["totalCount"]
            return edges


async def test_ids_and_cursors_tell_a_masked_role_no_key(database: Database) -> None:
    occurred = {
        tables.interaction: "occurred_at",
        tables.message: "occurred_at",
        tables.ticket: "opened_at",
        tables.feedback: "given_at",
        tables.loyalty_entry: "occurred_at",
        tables.consent: "recorded_at",
        tables.subscription: "started_at",
    }
    async with database.transaction() as connection:
        ann = await a_customer(connection)
        await an_identifier(connection, ann, "email", "ann@example.com")
        await an_order(connection, ann, key="order-1")
        for table, moment in occurred.items():
            for number in range(3):  # at one moment: only the key tells one from another
                columns: dict[str, Any] = {
                    moment: days_ago(3),
                    "key": f"at://ann@example.com/{number}",
                }
                await a_record(connection, table, ann, **columns)
        keys = {
            role.value: (await create_key(connection, role, "x"))[1]
            for role in (Role.FRONTEND, Role.STEWARD)
        }
    async with serving(database, keys) as graph:
        masked, again = await timeline(graph, "frontend"), await timeline(graph, "frontend")
        clear = await timeline(graph, "steward")
    texts = [
        base64.b64decode(text).decode()
        for edge in masked
        for text in (edge["cursor"], edge["node"]["id"])
    ]
    assert not [text for text in texts if "ann" in text or "at:" in text]
    assert masked == again
    assert len({edge["node"]["id"] for edge in masked}) == len(masked) == len(clear) == 22
    assert [e["node"]["kind"] for e in masked] == [e["node"]["kind"] for e in clear]
    assert any("order-1" in text for text in texts)  # the number of an order is nobody's name
    assert any("at://ann" in base64.b64decode(edge["cursor"]).decode() for edge in clear)


async def test_tickets_are_paged_by_a_masked_role_without_a_key(database: Database) -> None:
    query = """
    query ($who: IdentifierInput!, $after: String) { customer(identifier: $who) {
      tickets(first: 2, after: $after) {
        totalCount pageInfo { endCursor } nodes { id subject status } } } }"""
    async with database.transaction() as connection:
        ann = await a_customer(connection)
        await an_identifier(connection, ann, "email", "ann@example.com")
        for number in range(3):  # at one moment: only the key tells one from another
            columns: dict[str, Any] = {"opened_at": days_ago(3), "key": f"ann@example.com/{number}"}
            about: dict[str, Any] = {"subject": "Ann's parcel", "status": "open"}
            await a_record(connection, tables.ticket, ann, **columns, **about)
        _, key = await create_key(connection, Role.FRONTEND, "x")
    async with serving(database, {"frontend": key}) as graph:
        first = (await graph.read(query, "frontend", who=ANN))["customer"]["tickets"]
        place = first["pageInfo"]["endCursor"]
        rest = (await graph.read(query, "frontend", who=ANN, after=place))["customer"]["tickets"]
    nodes = [*first["nodes"], *rest["nodes"]]
    assert len({node["id"] for node in nodes}) == 3 == first["totalCount"]
    assert {(node["subject"], node["status"]) for node in nodes} == {(None, "open")}
    told = [base64.b64decode(text).decode() for text in (place, *(node["id"] for node in nodes))]
    assert not [text for text in told if "ann" in text]
