"""What the graph answers about customers, and that it asks the database once."""

import base64
from typing import Any

import pytest

from cdp.database import Database
from cdp.delivery import Deleted
from tests.cdp.ingesting import drop, take
from tests.schema.business import NOW, days_ago
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio

ANN = {"kind": "email", "value": " Ann@Example.com "}

PROFILE_PAGE = """
query Profile($who: IdentifierInput!) {
  customer(identifier: $who) {
    id name firstName email phone birthDate address { city country } attributes
    purchases { orderCount grossSpend netSpend refunded averageOrderValue lastOrderAt }
    rfm { recencyDays frequency monetary }
    lifecycle { stage }
    identifiers { kind value source isCurrent isBlocked }
    sourceProfiles { source stream key record deletedAt }
    mergeHistory { kind actor evidence { kind value } profiles { source } }
    orders(first: 2) {
      nodes { key total refunded status lines { title quantity unitPrice } refunds { amount } }
      pageInfo { hasNextPage endCursor }
      totalCount
    }
  }
}
"""


def gid(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_customer_is_found_by_identifier_in_any_spelling(graph: Graph) -> None:
    ann = (await graph.read(PROFILE_PAGE, who=ANN))["customer"]
    assert (ann["name"], ann["email"], ann["phone"]) == (
        "Ann Miller",
        "ann@example.com",
        "+447700900001",
    )
    assert ann["birthDate"] == "1980-02-29"
    assert ann["attributes"] == {"shoe_size": "38"}
    assert {profile["source"] for profile in ann["sourceProfiles"]} == {
        "shop",
        "newsletter",
        "till",
    }


async def test_address_is_of_the_source_that_spoke_last(graph: Graph) -> None:
    ann = (await graph.read(PROFILE_PAGE, who=ANN))["customer"]
    assert ann["address"] == {"city": "York", "country": "GB"}


async def test_provenance_names_the_winner_and_the_others(graph: Graph) -> None:
    query = """query ($who: IdentifierInput) { customer(identifier: $who) {
        city: provenance(attribute: "city") { value source isWinner isVerified rule because at }
        email: provenance(attribute: "email") { value isWinner isVerified rule because }
        street: provenance(attribute: "street") { value source isWinner }
        shoeSize: provenance(attribute: "shoe_size") { value source isWinner }
        name: provenance(attribute: "firstName") { value source isWinner }
    } }"""
    ann = (await graph.read(query, who=ANN))["customer"]
    assert [(claim["source"], claim["value"], claim["isWinner"]) for claim in ann["city"]] == [
        ("newsletter", "York", True),
        ("shop", "Leeds", False),
    ]
    assert ann["city"][0]["rule"] == "latest"
    assert ann["city"][0]["because"] == "The claim that its source changed last wins."
    # All say the same: the one that has proof is the one that is believed.
    assert [claim["isWinner"] for claim in ann["email"]] == [True, False, False, False]
    assert [claim["isVerified"] for claim in ann["email"]] == [True, False, False, False]
    assert {claim["value"] for claim in ann["email"]} == {"ann@example.com"}
    assert ann["email"][0]["rule"] == "verified_first"
    assert ann["email"][0]["because"].startswith("A claim that its source has verified wins")
    assert [claim["value"] for claim in ann["street"]] == [None, "1 High Street"]
    assert ann["shoeSize"] == [{"value": "38", "source": "shop", "isWinner": True}]
    assert len(ann["name"]) == 3
    assert [claim["isWinner"] for claim in ann["name"]] == [True, False, False]


async def test_money_crosses_as_text(graph: Graph) -> None:
    ann = (await graph.read(PROFILE_PAGE, who=ANN))["customer"]
    assert ann["purchases"]["grossSpend"] == "260.00"
    assert ann["purchases"]["refunded"] == "20.10"
    assert ann["purchases"]["netSpend"] == ann["rfm"]["monetary"] == "239.90"
    assert ann["purchases"]["orderCount"] == 3


async def test_orders_have_their_own_order_and_limit(graph: Graph) -> None:
    orders = (await graph.read(PROFILE_PAGE, who=ANN))["customer"]["orders"]
    assert [order["key"] for order in orders["nodes"]] == ["o4", "o3"]
    assert orders["nodes"][1]["status"] == "FULFILLED"
    assert orders["pageInfo"]["hasNextPage"] is True
    assert orders["totalCount"] == 4


async def test_lines_come_in_the_order_of_the_receipt(graph: Graph) -> None:
    query = """query ($who: IdentifierInput) { customer(identifier: $who) {
        orders(first: 4) { nodes { key refunded lineCount lines { title } } } } }"""
    orders = (await graph.read(query, who=ANN))["customer"]["orders"]["nodes"]
    first = orders[-1]
    assert [line["title"] for line in first["lines"]] == [f"Thing {n}" for n in range(1, 13)]
    assert first["lineCount"] == 12
    assert first["refunded"] == "20.10"


async def test_order_refunded_without_a_record_is_refunded_wholly(graph: Graph) -> None:
    query = '{ node(id: "%s") { ... on Order { refunded total customer { name } } } }'
    order = (await graph.read(query % gid("Order:1:o6")))["node"]
    assert order == {"refunded": "10.00", "total": "10.00", "customer": {"name": None}}


@pytest.mark.parametrize("size", [0, 1, 2, 15])
async def test_one_statement_whatever_the_page_size(graph: Graph, size: int) -> None:
    query = """query ($size: Int) {
        customers(first: $size, orderBy: [{field: PURCHASES_NET_SPEND, direction: DESC}]) {
            totalCount
            edges { cursor node { id
                orders(first: $size) { nodes { lines { sku } refunds { amount } }
                pageInfo { hasNextPage } } timeline(first: $size) { nodes { kind } }
                sourceProfiles { customer { identifiers { value } } } } }
        }
        again: customers(last: $size) { nodes { name } }
        sources { name state lastRun { state } cursor lagSeconds }
        node(id: "Q3VzdG9tZXI6MQ==") { id }
        nodes(ids: ["Q3VzdG9tZXI6MQ==", "U291cmNlOjE="]) { id }
    }"""
    await graph.read(query, size=size)
    assert len(graph.reader.statements) == 1


async def test_second_request_of_another_customer_compiles_nothing(graph: Graph) -> None:
    query = "query ($id: ID!) { customer(id: $id) { id name } }"
    one = await graph.read(query, id=gid("Customer:1"))
    two = await graph.read(query, id=gid("Customer:2"))
    assert one != two
    assert graph.reader.statements[0] is graph.reader.statements[1]


async def test_loaded_edge_is_asked_once_for_all_sources(graph: Graph) -> None:
    sources = (await graph.read("{ sources { name deadLetterCount } }"))["sources"]
    assert {each["name"]: each["deadLetterCount"] for each in sources} == {
        "shop": 1,
        "newsletter": 0,
        "till": 0,
    }
    assert len(graph.reader.statements) == 2


async def test_sources_tell_state_place_and_freshness(graph: Graph) -> None:
    query = "{ sources { name state cursor lagSeconds lastRun { state counts } } }"
    sources = {each["name"]: each for each in (await graph.read(query))["sources"]}
    assert sources["shop"] == {
        "name": "shop",
        "state": "FAILED",
        "cursor": {"orders": "page-4"},
        "lagSeconds": 3 * 86400,
        "lastRun": {"state": "FAILED", "counts": {"new": 7}},
    }
    assert sources["till"]["state"] == "NEW"
    assert sources["till"]["lastRun"] is None


async def test_merged_id_leads_to_the_survivor(graph: Graph) -> None:
    query = """query ($who: IdentifierInput) { customer(identifier: $who) {
        id sourceProfiles { id } mergeHistory { fromCustomerId customerId } } }"""
    ann = (await graph.read(query, who=ANN))["customer"]
    merged = [event["fromCustomerId"] for event in ann["mergeHistory"]]
    assert all(event["customerId"] == ann["id"] for event in ann["mergeHistory"])
    for former in merged:
        for form in ("customer(id: $id)", "node(id: $id)"):
            found = await graph.read(f"query ($id: ID!) {{ found: {form} {{ id }} }}", id=former)
            assert found["found"]["id"] == ann["id"]


async def test_nodes_keep_the_order_of_their_ids(graph: Graph) -> None:
    ids = [gid(text) for text in ("Order:1:o2", "Customer:1", "Order:1:nope", "Source:1")]
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id
        ... on Order { key } ... on Customer { name } ... on Source { connector } } }"""
    nodes = (await graph.read(query, ids=[*ids, ids[0]]))["nodes"]
    assert [node and node["__typename"] for node in nodes] == [
        "Order",
        "Customer",
        None,
        "Source",
        "Order",
    ]
    assert [node["id"] for node in nodes if node] == [ids[0], ids[1], ids[3], ids[0]]


async def test_timeline_holds_every_kind_newest_first(graph: Graph) -> None:
    query = """query ($who: IdentifierInput, $after: String) { customer(identifier: $who) {
        timeline(first: 3, after: $after) {
            edges { cursor node { __typename id kind at source
                ... on OrderEntry { order { key total } }
                ... on RefundEntry { amount order { key } }
                ... on MessageEntry { event url }
                ... on LoyaltyMovement { points } } }
            pageInfo { hasNextPage endCursor startCursor hasPreviousPage }
            totalCount } } }"""
    entries: list[dict[str, Any]] = []
    after = None
    for _ in range(20):
        page = (await graph.read(query, who=ANN, after=after))["customer"]["timeline"]
        entries += [edge["node"] for edge in page["edges"]]
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(entries) == page["totalCount"] == len({entry["id"] for entry in entries})
    assert [entry["at"] for entry in entries] == sorted(
        (entry["at"] for entry in entries), reverse=True
    )
    assert {entry["kind"] for entry in entries} == {
        "ORDER",
        "REFUND",
        "MESSAGE",
        "INTERACTION",
        "TICKET",
        "FEEDBACK",
        "LOYALTY_ENTRY",
        "CONSENT",
    }


async def test_timeline_of_some_kinds_holds_only_those(graph: Graph) -> None:
    query = """query ($who: IdentifierInput, $kinds: [TimelineKind!]) {
        customer(identifier: $who) { timeline(kinds: $kinds) { totalCount nodes { kind } } } }"""
    found = await graph.read(query, who=ANN, kinds=["REFUND", "TICKET"])
    assert found["customer"]["timeline"] == {
        "totalCount": 2,
        "nodes": [{"kind": "TICKET"}, {"kind": "REFUND"}],
    }


async def test_tickets_tell_how_each_case_stands(graph: Graph) -> None:
    query = """query ($who: IdentifierInput) { customer(identifier: $who) {
        tickets(first: 5) { totalCount pageInfo { hasNextPage } nodes {
            source subject status priority openedAt firstResponseAt resolvedAt } } } }"""
    page = (await graph.read(query, who=ANN))["customer"]["tickets"]
    (ticket,) = page["nodes"]
    assert page["totalCount"] == 1
    assert not page["pageInfo"]["hasNextPage"]
    assert ticket["subject"] == "Where is Ann's parcel?"
    assert (ticket["source"], ticket["status"], ticket["priority"]) == ("shop", "closed", None)
    assert ticket["firstResponseAt"] is None
    assert ticket["openedAt"] < ticket["resolvedAt"]


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize(
    "field", ["PURCHASES_NET_SPEND", "RFM_RECENCY_DAYS", "LIFECYCLE_STAGE", "NAME", "CITY"]
)
async def test_pages_forward_and_backward_meet(graph: Graph, field: str, direction: str) -> None:
    query = """query ($first: Int, $after: String, $last: Int, $before: String,
        $order: [CustomerOrder!]) {
        customers(first: $first, after: $after, last: $last, before: $before, orderBy: $order) {
            nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    order = [{"field": field, "direction": direction}]
    whole = (await graph.read(query, first=100, order=order))["customers"]["nodes"]
    forward: list[Any] = []
    backward: list[Any] = []
    after = before = None
    for _ in whole:
        page = (await graph.read(query, first=1, after=after, order=order))["customers"]
        forward += page["nodes"]
        after = page["pageInfo"]["endCursor"]
    assert page["pageInfo"]["hasNextPage"] is False
    for _ in whole:
        page = (await graph.read(query, last=1, before=before, order=order))["customers"]
        backward = page["nodes"] + backward
        before = page["pageInfo"]["startCursor"]
    assert page["pageInfo"]["hasPreviousPage"] is False
    assert forward == backward == whole
    last_two = (await graph.read(query, last=2, order=order))["customers"]["nodes"]
    assert last_two == whole[-2:]


async def test_filter_by_variable_and_by_literal_agree(graph: Graph) -> None:
    literal = '{ customers(filter: {purchases: {netSpend: {gt: "100"}}}) { nodes { name } } }'
    bound = "query ($f: CustomerFilter) { customers(filter: $f) { nodes { name } } }"
    expected = [{"name": "Ann Miller"}]
    assert (await graph.read(literal))["customers"]["nodes"] == expected
    for operand in ("100", 100, 100.5):
        given = {"purchases": {"netSpend": {"gt": operand}}}
        assert (await graph.read(bound, f=given))["customers"]["nodes"] == expected
    by_stage = {"lifecycle": {"stage": {"in": ["LOST", "PROSPECT", "NEW", "LAPSED", "ACTIVE"]}}}
    assert (await graph.read(bound, f=by_stage))["customers"]["nodes"]


async def test_filter_takes_global_ids(graph: Graph) -> None:
    query = "query ($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }"
    one = gid("Customer:1")
    given = {"or": [{"id": {"in": [one]}}, {"not": {"id": {"isNull": False}}}]}
    code, _ = await graph.refusal(query, f=given)
    assert code == "BAD_REQUEST"
    given = {"or": [{"id": {"in": [one]}}, {"not": {"id": {"ne": one}}}]}
    assert (await graph.read(query, f=given))["customers"]["nodes"] == [{"id": one}]


async def test_search_finds_by_name_and_by_identifier(graph: Graph) -> None:
    query = "query ($text: String) { customers(search: $text) { nodes { name } } }"
    for text in ("mil an", "ann@example.com", "+44 7700 900001"):
        assert (await graph.read(query, text=text))["customers"]["nodes"] == [
            {"name": "Ann Miller"}
        ]


async def test_cursor_of_another_order_is_refused(graph: Graph) -> None:
    query = """query ($after: String, $order: [CustomerOrder!]) {
        customers(first: 1, after: $after, orderBy: $order) { pageInfo { endCursor } } }"""
    by_name = [{"field": "NAME", "direction": "ASC"}]
    page = await graph.read(query, order=by_name)
    cursor = page["customers"]["pageInfo"]["endCursor"]
    assert (await graph.refusal(query, after=cursor))[0] == "BAD_REQUEST"


async def test_cost_is_told_and_pages_that_found_little_cost_little(graph: Graph) -> None:
    answer = await graph.answer("{ customers(first: 100) { nodes { id purchases { netSpend } } } }")
    cost = answer["extensions"]["cost"]
    assert cost == {"requested": 201, "actual": 1 + 2 * 4, "limit": 10_000}


async def test_refund_goes_from_the_timeline_with_its_order(database: Database) -> None:
    query = """query ($who: IdentifierInput) { customer(identifier: $who) { timeline { totalCount
        nodes { kind ... on RefundEntry { amount order { key total } } } } } }"""
    order = {"id": "o1", "email": "ann@example.com", "placed_at": days_ago(9), "currency": "EUR"}
    refund = {"order_id": "o1", "refunded_at": days_ago(8), "amount": "2", "currency": "EUR"}
    async with database.transaction() as connection:
        await take(
            connection, "orders", [{**order, "total": "10"}, {**order, "id": "o2", "total": "5"}]
        )
        await take(connection, "refunds", [{**refund, "id": "r1"}])
        await take(connection, "refunds", [{**refund, "id": "r2", "order_id": "o2"}])
        await drop(connection, Deleted("orders", "o1", NOW))
        await drop(connection, Deleted("orders", "o3", NOW))  # known by its tombstone alone
        await take(connection, "refunds", [{**refund, "id": "r3", "order_id": "o3"}])
    async with serving(database, {}) as graph:
        found = (await graph.read(query, who=ANN))["customer"]["timeline"]
    assert found["totalCount"] == 2
    assert found["nodes"] == [
        {"kind": "REFUND", "amount": "2", "order": {"key": "o2", "total": "5"}},
        {"kind": "ORDER"},
    ]


@pytest.mark.parametrize("bounds", ["first: 1", "last: 1", "first: 0"])
async def test_a_page_of_which_nothing_but_its_type_is_asked_is_one_object(
    graph: Graph, bounds: str
) -> None:
    inner = f"customers({bounds}) {{ __typename }}"
    data = await graph.read(f"{{ segments(first: 2) {{ nodes {{ {inner} }} }} }}")
    told = {"customers": {"__typename": "CustomerConnection"}}
    assert data["segments"]["nodes"] == [told, told]
