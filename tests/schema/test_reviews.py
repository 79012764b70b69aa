"""The review queue, decisions and rules as the graph shows them, and to whom."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cdp import tables
from cdp.database import Database
from cdp.identity.rules import DEFAULT_DOCUMENT, parse_rules, rules_text
from tests.cdp.builders import NOW, a_customer, a_profile, a_source
from tests.schema.client import Graph, serving
from tests.schema.ids import gid

pytestmark = pytest.mark.anyio

QUEUE = """query ($first: Int, $after: String) { matchReviews(first: $first, after: $after) {
    totalCount edges { cursor node { id priority } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[Graph]:
    """A queue of twelve reviews, of which several are as open as others."""
    async with database.transaction() as connection:
        for number in range(12):
            await connection.execute(
                tables.match_review.insert().values(
                    kind="email",
                    value=f"{number}@example.com",
                    left_id=1,
                    right_id=2,
                    left_ids=[1],
                    right_ids=[2],
                    reason="Their names or birth dates clash.",
                    priority=(0.1, 1 / 3, 0.9)[number % 3],
                    opened_at=NOW,
                )
            )
    async with serving(database, {}) as graph:
        yield graph


@pytest.mark.parametrize("size", [1, 4, 5, 12])
async def test_queue_is_read_whole_by_pages_of_any_size(queue: Graph, size: int) -> None:
    found: list[dict[str, Any]] = []
    after = None
    for _ in range(20):
        page = (await queue.read(QUEUE, first=size, after=after))["matchReviews"]
        assert page["totalCount"] == 12
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        found += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    numbers = [3, 6, 9, 12, 2, 5, 8, 11, 1, 4, 7, 10]
    assert [each["id"] for each in found] == [gid("MatchReview", number) for number in numbers]
    assert [each["priority"] for each in found] == [0.9] * 4 + [1 / 3] * 4 + [0.1] * 4


async def test_cursor_of_another_list_is_refused(queue: Graph) -> None:
    for tag in ('["orders","2026-01-01T00:00:00Z",1,"x"]', '["reviews","a",1]', '["reviews",1]'):
        code, message = await queue.refusal(QUEUE, after=gid(tag))
        assert (code, message.startswith("The cursor")) == ("BAD_REQUEST", True)


async def test_review_tells_both_sides_the_waterfall_and_what_speaks_against(graph: Graph) -> None:
    query = """{ matchReviews(first: 2) { nodes { kind value reason probability weight
        left { customer { name } sourceProfiles { name email } }
        right { customer { name } sourceProfiles { name address { city } birthDate } }
        comparisons { name level weight } against } } }"""
    first, second = (await graph.read(query, "steward"))["matchReviews"]["nodes"]
    assert (first["kind"], first["value"]) == ("email", "ann@example.com")
    assert first["left"]["customer"] == {"name": "Ann Miller"}
    assert len(first["left"]["sourceProfiles"]) > 2
    assert {"name": "Ann Miller", "email": "ann@example.com"} in first["left"]["sourceProfiles"]
    assert first["right"]["customer"] == {"name": "Bo Øster"}
    assert first["right"]["sourceProfiles"] == [
        {"name": "Bo Øster", "address": {"city": "Aarhus"}, "birthDate": None}
    ]
    assert (first["probability"], first["weight"]) == (0.825, 2.25)
    assert sum(part["weight"] for part in first["comparisons"]) == 2.25
    assert first["comparisons"][0] == {"name": "prior", "level": "", "weight": -12.0}
    assert first["comparisons"][2] == {
        "name": "email",
        "level": "same but for a typo",
        "weight": 6.25,
    }
    assert first["against"] == [
        "A person decided that they are not the same.",
        "The first names differ.",
        "The last names differ.",
        "The comparison of first_name says: different.",
        "Relatives of one household would be alike too.",
        "The comparison of city says: different.",
    ]
    assert (second["kind"], second["value"]) == ("similarity", None)


async def test_review_of_what_was_left_out_has_one_side(graph: Graph) -> None:
    query = """{ matchReviews { nodes { kind value probability weight comparisons { name } against
        left { customer { name } } right { customer { name } sourceProfiles { id } } } } }"""
    reviews = (await graph.read(query))["matchReviews"]["nodes"]
    (review,) = [each for each in reviews if each["kind"] == "identifiers"]
    assert review == {
        "kind": "identifiers",
        "value": "shop/customers/s2",
        "probability": None,
        "weight": None,
        "comparisons": [],
        "against": [],
        "left": {"customer": {"name": "Bo Øster"}},
        "right": {"customer": None, "sourceProfiles": []},
    }


async def test_customer_shows_its_own_open_questions(graph: Graph) -> None:
    query = "query ($id: ID) { customer(id: $id) { matchReviews { kind } } }"
    for number, count in ((1, 3), (2, 4), (3, 2)):
        found = (await graph.read(query, id=gid("Customer", number)))["customer"]["matchReviews"]
        assert len(found) == count, number


DECISIONS = """query ($id: ID) { customer(id: $id) { decisions { kind action reason retractedBy
    isOverruled left { key } right { key } } } }"""


async def test_decision_is_overruled_where_the_customers_contradict_it(graph: Graph) -> None:
    decisions = (await graph.read(DECISIONS, id=gid("Customer", 1)))["customer"]["decisions"]
    assert [
        (each["kind"], each["action"], each["isOverruled"], each["retractedBy"])
        for each in decisions
    ] == [
        ("SAME", "MERGE", False, None),
        ("SAME", "REVIEW", True, None),
        ("NOT_SAME", "REVIEW", False, None),
        ("NOT_SAME", "UNDO", True, None),
        ("SPLIT", "SPLIT", False, "admin"),
        ("SPLIT", "SPLIT", True, None),
    ]


IDENTITY = """query ($id: ID) {
    customer(id: $id) {
        decisions { reason actor left { key name } }
        mergeHistory { reason evidence { kind value weight sourceProfiles { name } decision { id } }
            others { key } undoes { id } decision { reason } }
    }
    matchReviews { nodes { kind value reason priority against comparisons { level }
        left { customer { name email } sourceProfiles { name email key record } } } } }"""


async def test_short_form_of_a_first_name_speaks_not_against(database: Database) -> None:
    async with database.transaction() as connection:
        await a_source(connection)
        for number, given in enumerate(("greg", "gregory"), 1):
            names: dict[str, Any] = {"given_key": given, "family_key": "stone", "first_name": given}
            await a_profile(connection, key=str(number), **names)
        version = tables.linkage_model.c.version
        model = tables.linkage_model.insert().values(document={}).returning(version)
        pair: dict[str, Any] = {
            "left_id": 1, "right_id": 2, "weight": 4.5, "probability": 0.9, "left_digest": b"",
            "model_version": await connection.scalar(model), "right_digest": b"",
        }  # fmt: skip
        parts = [{"name": "given_name", "level": "short form", "weight": 4.5}]
        await connection.execute(tables.match_pair.insert().values(**pair, parts=parts))
        review: dict[str, Any] = {
            "kind": "similarity", "value": "1:2", "left_id": 1, "right_id": 2, "left_ids": [1],
            "right_ids": [2], "reason": "They are alike.", "priority": 0.5, "opened_at": NOW,
        }  # fmt: skip
        for asked in ({}, {"pair_left_id": 1, "pair_right_id": 2}):
            await connection.execute(tables.match_review.insert().values(**review, **asked))
            review["value"] = "2:1"
    async with serving(database, {}) as graph:
        read = await graph.read("{ matchReviews { nodes { against } } }")
    told = sorted(each["against"] for each in read["matchReviews"]["nodes"])
    assert told == [[], ["The first names differ."]]


async def test_analyst_reads_the_queue_without_a_word_about_anybody(graph: Graph) -> None:
    answer = await graph.post(IDENTITY, "analyst", id=gid("Customer", 1))
    assert "errors" not in answer.json(), answer.json()
    text = answer.text.lower()
    for personal in ("ann", "miller", "øster", "example.com", "7700", "said so", "s1", "k1"):
        assert personal not in text
    evidence = [
        piece
        for event in answer.json()["data"]["customer"]["mergeHistory"]
        for piece in event["evidence"]
    ]
    assert {"similarity", "decision", "email"} <= {piece["kind"] for piece in evidence}
    values = {piece["kind"]: piece["value"] for piece in evidence}
    assert values["email"] is None
    assert values["decision"] == "1"
    assert ":" in values["similarity"]
    reviews = answer.json()["data"]["matchReviews"]["nodes"]
    assert reviews[0]["against"][1] == "The first names differ."
    assert reviews[0]["value"] is None


async def test_steward_reads_it_all(graph: Graph) -> None:
    text = (await graph.post(IDENTITY, "steward", id=gid("Customer", 1))).text
    for personal in ("Ann Miller", "ann@example.com", "+447700900001", "Ann said so"):
        assert personal in text


@pytest.mark.parametrize(
    "query",
    [
        "{ matchReviews { totalCount } }",
        "{ identityRules { version } }",
        "{ customers { nodes { matchReviews { id } } } }",
        f'{{ node(id: "{gid("MatchReview", 1)}") {{ id }} }}',
    ],
)
@pytest.mark.parametrize("role", ["frontend", "connector"])
async def test_queue_and_rules_are_not_for_every_role(graph: Graph, query: str, role: str) -> None:
    assert (await graph.refusal(query, role))[0] == "FORBIDDEN"
    assert "errors" not in await graph.answer(query, "analyst")


async def test_evidence_of_the_ledger_names_who_is_tied_and_who_decided(graph: Graph) -> None:
    query = """query ($id: ID) { customer(id: $id) { mergeHistory { kind isUndone undoes { id }
        evidence { kind weight sourceProfiles { id } decision { action } } } } }"""
    history = (await graph.read(query, id=gid("Customer", 1)))["customer"]["mergeHistory"]
    (decided, alike) = next(
        event["evidence"]
        for event in history
        if [piece["kind"] for piece in event["evidence"]] == ["decision", "similarity"]
    )
    assert (decided["weight"], alike["weight"]) == (None, 9.75)
    assert decided["decision"] == {"action": "MERGE"}
    assert alike["decision"] is None
    assert [one["id"] for one in alike["sourceProfiles"]] == [
        gid("SourceProfile", 1),
        gid("SourceProfile", 2),
    ]
    (split,) = [event for event in history if event["kind"] == "SPLIT"]
    assert split["undoes"] == {"id": gid("MergeEvent", 1)}
    assert {"kind": "MERGED", "isUndone": True} in [
        {name: event[name] for name in ("kind", "isUndone")} for event in history
    ]


RULES = """{ identityRules { version appliedAt actor reason document
    kinds { kind strength mostPerCustomer mostPersons }
    linkage { joinWeight reviewWeight modelVersion } } }"""


async def test_rules_that_are_built_in_are_shown_until_others_are_applied(
    database: Database,
) -> None:
    async with serving(database, {}) as graph:
        rules = (await graph.read(RULES))["identityRules"]
        assert len(graph.reader.statements) == 1
    document = rules.pop("document")
    kinds = rules.pop("kinds")
    assert rules == {
        "version": 1,
        "appliedAt": None,
        "actor": None,
        "reason": None,
        "linkage": {"joinWeight": 10.0, "reviewWeight": 0.0, "modelVersion": None},
    }
    assert parse_rules(document) == DEFAULT_DOCUMENT
    assert document == rules_text(DEFAULT_DOCUMENT)
    assert [each["strength"] for each in kinds] == sorted(
        (each["strength"] for each in kinds), key=["UNIQUE", "COMMON", "WEAK"].index
    )
    assert {"kind": "email", "strength": "COMMON", "mostPerCustomer": 8, "mostPersons": 10} in kinds


async def test_rules_in_force_are_those_applied_last(graph: Graph) -> None:
    rules = (await graph.read(RULES))["identityRules"]
    assert (rules["version"], rules["actor"], rules["reason"]) == (2, "admin", "More cautious.")
    assert rules["linkage"]["joinWeight"] == 8.5
    assert parse_rules(rules["document"]).linkage.review_weight == -1.5


async def test_one_statement_for_the_whole_of_who_is_who(graph: Graph) -> None:
    await graph.read(IDENTITY, id=gid("Customer", 1))
    assert len(graph.reader.statements) == 1


async def test_side_whose_profiles_are_gone_is_empty(database: Database) -> None:
    async with database.transaction() as connection:
        customer = await a_customer(connection, name="Ann")
        await connection.execute(
            tables.match_review.insert().values(
                kind="email",
                value="a@example.com",
                left_id=customer,
                right_id=9_999,
                left_ids=[customer],
                right_ids=[9_999],
                reason="Their names or birth dates clash.",
                priority=0.1,
                opened_at=NOW,
            )
        )
    side = "{ customer { name } sourceProfiles { id } }"
    async with serving(database, {}) as graph:
        query = f"{{ matchReviews {{ nodes {{ left {side} right {side} }} }} }}"
        (review,) = (await graph.read(query))["matchReviews"]["nodes"]
    assert review["left"]["customer"] == {"name": "Ann"}
    assert review["right"] == {"customer": None, "sourceProfiles": []}
