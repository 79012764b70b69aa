"""What a steward changes through the graph: each mutation, its preview, and its refusals."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from cdp import tables
from cdp.database import Database
from cdp.keys import Role, create_key
from tests.cdp.ingesting import partition, take
from tests.schema.client import Graph, Value, serving
from tests.schema.ids import gid

pytestmark = pytest.mark.anyio

PEOPLE = [
    {"id": "1", "first_name": "Ann", "last_name": "Miller", "email": "ann@example.com"},
    {"id": "2", "first_name": "Bob", "last_name": "Stone", "email": "bob@example.com"},
    {"id": "3", "first_name": "Ann", "last_name": "Miller", "email": "ann@example.com"},
    {"id": "4", "first_name": "Cy", "last_name": "Hill", "phone": "+44 7700 900001"},
    {"id": "5", "first_name": "Dee", "last_name": "Park", "phone": "+44 7700 900001"},
]
"""Ann (1 and 3) is one by her address; 4 and 5 share a phone, but their names clash."""

ORDERS = [
    {
        "id": f"o{key}",
        "customer_id": key,
        "placed_at": f"2026-05-0{key}T10:00:00Z",
        "currency": "EUR",
        "total": total,
    }
    for key, total in (("1", "10.50"), ("2", "5.00"), ("3", "1.25"))
]

EFFECT = """
fragment Effect on DecisionPayload {
  __typename
  customers { id name purchases { orderCount netSpend } sourceProfiles { key } }
  changes { kind customerId fromCustomerId sourceProfiles { key customer { id } } }
  traitChanges { customerId name before after }
  mergeEvents { id kind actor reason isUndone undoes { id } decision { id action }
                profiles { key } others { key } }
  decision { id kind action actor reason retractedAt isOverruled left { key } right { key } }
  notes
  errors { code message path }
}
"""
MERGE = (
    """mutation ($input: MergeCustomersInput!) {
      done: mergeCustomers(input: $input) { ...Effect customer { id name } } }"""
    + EFFECT
)
SPLIT = (
    "mutation ($input: SplitCustomerInput!) { done: splitCustomer(input: $input) { ...Effect } }"
    + EFFECT
)
UNDO = (
    "mutation ($input: UndoMergeInput!) { done: undoMerge(input: $input) { ...Effect } }" + EFFECT
)
DECIDE = (
    "mutation ($input: DecideMatchInput!) { done: decideMatch(input: $input) { ...Effect } }"
    + EFFECT
)


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """Five records of four people, behind a server with a key for each role."""
    keys = {}
    async with database.transaction() as connection:
        await take(connection, "customers", PEOPLE)
        await take(connection, "orders", ORDERS)
        for role in Role:
            _, keys[role.value] = await create_key(connection, role, f"desk of {role.value}")
    async with serving(database, keys) as graph:
        yield graph


async def done(graph: Graph, mutation: str, **given: object) -> Value:
    """The payload of the one field of a mutation."""
    return (await graph.read(mutation, "steward", input=given))["done"]


async def customer(graph: Graph, key: str) -> str:
    """The global id of the customer whose record that is."""
    query = "query ($who: IdentifierInput) { customer(identifier: $who) { id } }"
    who = {"kind": "external:shop", "value": key}
    return str((await graph.read(query, who=who))["customer"]["id"])


async def profile(graph: Graph, key: str) -> str:
    """The global id of a source profile."""
    table = tables.source_profile
    async with graph.database.read_only() as connection:
        number = await connection.scalar(select(table.c.id).where(table.c.key == key))
    return gid("SourceProfile", number)


async def map_of(graph: Graph) -> set[frozenset[str]]:
    """The customers, as sets of the keys of their records."""
    async with graph.database.read_only() as connection:
        found = await partition(connection)
    return {frozenset(one.rpartition("/")[2] for one in group) for group in found}


async def rows_of_identity(graph: Graph) -> dict[str, int]:
    """How many rows each table has that a decision writes."""
    written = (tables.merge_event, tables.identity_decision, tables.decision_member)
    async with graph.database.read_only() as connection:
        return {
            table.name: await connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (*written, tables.customer, tables.match_review)
        }


APART = {frozenset({"1", "3"}), frozenset({"2"}), frozenset({"4"}), frozenset({"5"})}

# Each mutation --------------------------------------------------------------------------------


async def test_merge_joins_and_tells_who_why_and_what_became_of_them(graph: Graph) -> None:
    ann, bob = await customer(graph, "1"), await customer(graph, "2")
    merged = await done(graph, MERGE, customerIds=[bob, ann], reason="Bob is her pen name.")
    assert merged["errors"] == merged["notes"] == []
    assert merged["__typename"] == "MergeCustomersPayload"
    assert merged["customer"]["id"] == ann
    (one,) = merged["customers"]
    assert one["id"] == ann
    assert one["purchases"] == {"orderCount": 3, "netSpend": "16.75"}
    assert [each["key"] for each in one["sourceProfiles"]] == ["1", "2", "3"]
    (change,) = merged["changes"]
    assert change == {
        "kind": "MERGED",
        "customerId": ann,
        "fromCustomerId": bob,
        "sourceProfiles": [{"key": "2", "customer": {"id": ann}}],
    }
    spend = {"customerId": ann, "name": "purchases.netSpend", "before": "11.75", "after": "16.75"}
    assert spend in merged["traitChanges"]
    (event,) = merged["mergeEvents"]
    assert (event["actor"], event["reason"]) == ("desk of steward", "Bob is her pen name.")
    assert (event["isUndone"], event["undoes"]) == (False, None)
    assert event["profiles"] == [{"key": "2"}]
    assert event["others"] == [{"key": "1"}, {"key": "3"}]
    decision = merged["decision"]
    assert event["decision"] == {"id": decision["id"], "action": "MERGE"}
    assert (decision["kind"], decision["isOverruled"]) == ("SAME", False)
    assert await map_of(graph) == APART - {frozenset({"1", "3"}), frozenset({"2"})} | {
        frozenset({"1", "2", "3"})
    }


async def test_values_before_and_after_are_written_as_the_fields_write_them(graph: Graph) -> None:
    ann, bob = await customer(graph, "1"), await customer(graph, "2")
    query = """query ($id: ID) { customer(id: $id) { email lastName address { city }
        purchases { firstOrderAt netSpend averageOrderValue averageDaysBetweenOrders orderCount }
        rfm { frequency monetary } } }"""
    before = [(await graph.read(query, id=each))["customer"] for each in (ann, bob)]
    merged = await done(graph, MERGE, customerIds=[bob, ann], reason="One.")
    after = (await graph.read(query, id=ann))["customer"]
    undone = await done(graph, UNDO, mergeEventId=merged["mergeEvents"][0]["id"])
    told = 0
    for change in (*merged["traitChanges"], *undone["traitChanges"]):
        is_ann, is_merge = change["customerId"] == ann, change in merged["traitChanges"]
        group, _, name = change["name"].rpartition(".")
        if name in before[0].get(group, before[0] if not group else {}):
            old = (before[0] if is_ann else None) if is_merge else (after if is_ann else None)
            new = after if is_merge else before[0 if is_ann else 1]
            told += 1
            for value, row in ((change["before"], old), (change["after"], new)):
                assert value == (row and (row[group][name] if group else row[name])), change
    assert told > 10


async def test_parts_of_the_address_are_named_as_the_graph_has_them(graph: Graph) -> None:
    row = {**PEOPLE[1], "city": "York", "updated_at": "2026-06-01T00:00:00Z"}
    async with graph.database.transaction() as connection:
        await take(connection, "customers", [row])
    ann, bob = await customer(graph, "1"), await customer(graph, "2")
    merged = await done(graph, MERGE, customerIds=[ann, bob], reason="One.")
    change = {"customerId": ann, "name": "address.city", "before": None, "after": "York"}
    assert change in merged["traitChanges"]


async def test_split_parts_and_each_side_keeps_what_its_records_hold(graph: Graph) -> None:
    ann, third = await customer(graph, "1"), await profile(graph, "3")
    parted = await done(
        graph, SPLIT, customerId=ann, sourceProfileIds=[third], reason="Mother and daughter."
    )
    assert parted["errors"] == []
    spend = {each["sourceProfiles"][0]["key"]: each["purchases"] for each in parted["customers"]}
    assert spend["1"] == {"orderCount": 1, "netSpend": "10.50"}
    assert spend["3"] == {"orderCount": 1, "netSpend": "1.25"}
    assert [each["kind"] for each in parted["changes"]] == ["SPLIT"]
    assert parted["decision"]["kind"] == "SPLIT"
    assert await map_of(graph) == {frozenset(key) for key in "12345"}


async def test_undo_takes_back_a_decision_as_if_it_had_never_been(graph: Graph) -> None:
    ann, bob = await customer(graph, "1"), await customer(graph, "2")
    merged = await done(graph, MERGE, customerIds=[ann, bob], reason="One.")
    event_id = merged["mergeEvents"][0]["id"]
    undone = await done(graph, UNDO, mergeEventId=event_id)
    assert await map_of(graph) == APART
    assert {each["id"] for each in undone["customers"]} == {ann, bob}
    (event,) = undone["mergeEvents"]
    assert event["undoes"] == {"id": event_id}
    assert event["reason"] == "No reason was given."
    assert undone["decision"]["retractedAt"] is not None
    query = "query ($id: ID!) { node(id: $id) { ... on MergeEvent { isUndone } } }"
    assert (await graph.read(query, id=event_id))["node"] == {"isUndone": True}
    assert (await graph.read(query, id=event["id"]))["node"] == {"isUndone": False}


async def test_undo_of_what_evidence_joined_is_a_decision_that_they_are_not_the_same(
    graph: Graph,
) -> None:
    ann = await customer(graph, "1")
    query = "query ($id: ID) { customer(id: $id) { mergeHistory { id decision { id } } } }"
    (event,) = (await graph.read(query, id=ann))["customer"]["mergeHistory"]
    assert event["decision"] is None
    undone = await done(graph, UNDO, mergeEventId=event["id"], reason="Two Anns.")
    assert undone["decision"]["kind"] == "NOT_SAME"
    assert await map_of(graph) == {frozenset(key) for key in "12345"}
    again = await done(graph, UNDO, mergeEventId=undone["mergeEvents"][0]["id"])
    assert again["errors"] == []
    assert await map_of(graph) == APART


QUEUE = """{ matchReviews { totalCount nodes { id kind value against
    left { customer { id } sourceProfiles { key } } right { sourceProfiles { key } } } } }"""


@pytest.mark.parametrize("same", [True, False])
async def test_answer_to_a_review_empties_the_queue(graph: Graph, *, same: bool) -> None:
    (review,) = (await graph.read(QUEUE, "steward"))["matchReviews"]["nodes"]
    assert review["kind"] == "phone"
    assert review["against"] == ["The first names differ.", "The last names differ."]
    decided = await done(graph, DECIDE, reviewId=review["id"], same=same)
    assert decided["errors"] == []
    assert decided["decision"]["kind"] == ("SAME" if same else "NOT_SAME")
    assert decided["decision"]["action"] == "REVIEW"
    assert len(decided["customers"]) == (1 if same else 2)
    assert bool(decided["mergeEvents"]) is same
    assert decided["notes"] == [] if same else decided["notes"]
    assert (await graph.read(QUEUE, "steward"))["matchReviews"]["totalCount"] == 0
    assert (frozenset({"4", "5"}) in await map_of(graph)) is same


# Previews -------------------------------------------------------------------------------------


async def test_preview_shows_all_as_it_would_be_and_keeps_nothing(graph: Graph) -> None:
    ann, bob = await customer(graph, "1"), await customer(graph, "2")
    before = await rows_of_identity(graph)
    given: dict[str, object] = {"customerIds": [ann, bob], "reason": "One."}
    tried = await done(graph, MERGE, **given, dryRun=True)
    assert await rows_of_identity(graph) == before
    assert await map_of(graph) == APART
    assert tried["mergeEvents"] == []
    assert tried["decision"] is None
    assert tried["changes"][0]["sourceProfiles"] == [{"key": "2", "customer": {"id": ann}}]
    merged = await done(graph, MERGE, **given)
    for name in ("customer", "customers", "changes", "traitChanges", "notes"):
        assert tried[name] == merged[name], name


async def test_preview_of_each_kind_keeps_nothing(graph: Graph) -> None:
    ann, third = await customer(graph, "1"), await profile(graph, "3")
    query = "query ($id: ID) { customer(id: $id) { mergeHistory { id } } }"
    (event,) = (await graph.read(query, id=ann))["customer"]["mergeHistory"]
    (review,) = (await graph.read(QUEUE, "steward"))["matchReviews"]["nodes"]
    before = await rows_of_identity(graph)
    for mutation, given in (
        (SPLIT, {"customerId": ann, "sourceProfileIds": [third], "reason": "Two."}),
        (UNDO, {"mergeEventId": event["id"]}),
        (DECIDE, {"reviewId": review["id"], "same": True}),
    ):
        tried = await done(graph, mutation, **given, dryRun=True)
        assert tried["changes"]
        assert tried["errors"] == tried["mergeEvents"] == []
    assert await rows_of_identity(graph) == before
    assert await map_of(graph) == APART


# Refusals -------------------------------------------------------------------------------------


async def test_refusal_that_can_be_expected_is_told_in_the_payload(graph: Graph) -> None:
    ann, third = await customer(graph, "1"), await profile(graph, "3")
    bob = await customer(graph, "2")
    before = await rows_of_identity(graph)
    nobody = gid("Customer", 9_999)
    for mutation, given, code, path in (
        (MERGE, {"customerIds": [ann], "reason": "x"}, "BAD_REQUEST", "customerIds"),
        (MERGE, {"customerIds": [], "reason": "x"}, "BAD_REQUEST", "customerIds"),
        (MERGE, {"customerIds": [ann, "nope"], "reason": "x"}, "BAD_REQUEST", "customerIds"),
        (MERGE, {"customerIds": [ann, third], "reason": "x"}, "BAD_REQUEST", "customerIds"),
        (MERGE, {"customerIds": [ann, nobody], "reason": "x"}, "NOT_FOUND", "customerIds"),
        (MERGE, {"customerIds": [ann, bob], "reason": " "}, "BAD_REQUEST", "reason"),
        (MERGE, {"customerIds": [ann, bob], "reason": "x" * 501}, "BAD_REQUEST", "reason"),
        (
            SPLIT,
            {"customerId": bob, "sourceProfileIds": [third], "reason": "x"},
            "BAD_REQUEST",
            "sourceProfileIds",
        ),
        (
            SPLIT,
            {"customerId": nobody, "sourceProfileIds": [third], "reason": "x"},
            "NOT_FOUND",
            "customerId",
        ),
        (UNDO, {"mergeEventId": gid("MergeEvent", 77)}, "NOT_FOUND", "mergeEventId"),
        (UNDO, {"mergeEventId": ann}, "BAD_REQUEST", "mergeEventId"),
        (DECIDE, {"reviewId": gid("MatchReview", 77), "same": True}, "NOT_FOUND", "reviewId"),
    ):
        for is_preview in (False, True):
            refused = await done(graph, mutation, **given, dryRun=is_preview)
            (error,) = refused.pop("errors")
            assert error["code"] == code, given
            assert error["path"] == ["input", path]
            assert error["message"].endswith(".")
            assert refused.pop("__typename").endswith("Payload")
            assert not any(refused.values()), refused
    assert await rows_of_identity(graph) == before


async def test_second_undo_of_the_same_is_refused(graph: Graph) -> None:
    ann, bob = await customer(graph, "1"), await customer(graph, "2")
    merged = await done(graph, MERGE, customerIds=[ann, bob], reason="One.")
    event_id = merged["mergeEvents"][0]["id"]
    await done(graph, UNDO, mergeEventId=event_id)
    (error,) = (await done(graph, UNDO, mergeEventId=event_id))["errors"]
    assert (error["code"], error["path"]) == ("ALREADY_UNDONE", ["input", "mergeEventId"])


@pytest.mark.parametrize("role", ["frontend", "analyst", "connector"])
async def test_only_stewards_and_admins_change_anything(graph: Graph, role: str) -> None:
    ann, bob = await customer(graph, "1"), await customer(graph, "2")
    given = {"customerIds": [ann, bob], "reason": "One."}
    for is_preview in (False, True):
        code, message = await graph.refusal(MERGE, role, input={**given, "dryRun": is_preview})
        assert (code, role in message) == ("FORBIDDEN", True)
    assert await map_of(graph) == APART
    assert (await graph.read("mutation { __typename }", role)) == {"__typename": "Mutation"}


async def test_without_any_key_the_machine_itself_decides(database: Database) -> None:
    async with database.transaction() as connection:
        await take(connection, "customers", PEOPLE)
    async with serving(database, {}) as graph:
        ann, bob = await customer(graph, "1"), await customer(graph, "2")
        merged = await done(graph, MERGE, customerIds=[ann, bob], reason="One.")
    assert merged["mergeEvents"][0]["actor"] == "local"
