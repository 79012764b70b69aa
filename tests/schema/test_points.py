"""Points through the graph: each act once, its refusals in the payload, for stewards alone."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from cdp.database import Database
from cdp.keys import Role, create_key
from cdp.loyalty.application import apply_programme
from tests.cdp.ingesting import WORKSPACE, take
from tests.schema.client import Graph, Value, serving

pytestmark = pytest.mark.anyio

PROGRAMME = """
name = "Club"
[[reward]]
name = "cup"
points = 30
"""
PAYLOAD = """{
  points balance isRepeat customer { loyalty { status points } }
  entries { kind points reward reason } errors { code path }
}"""


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """Ann, in a club, behind a server with a key for each role."""
    keys = {}
    async with database.transaction() as connection:
        await apply_programme(connection, PROGRAMME, WORKSPACE, actor="test")
        await take(connection, "customers", [{"id": "1", "first_name": "Ann"}])
        for role in Role:
            _, keys[role.value] = await create_key(connection, role, f"desk of {role.value}")
    async with serving(database, keys) as graph:
        yield graph


async def ann(graph: Graph) -> str:
    found = await graph.read("{ customers(first: 1) { nodes { id } } }")
    return str(found["customers"]["nodes"][0]["id"])


async def act(graph: Graph, name: str, **given: object) -> Value:
    """The payload of one act on Ann's points."""
    input_type = f"{name[0].upper()}{name[1:]}Input!"
    mutation = f"mutation ($input: {input_type}) {{ done: {name}(input: $input) {PAYLOAD} }}"
    asked = {"customerId": await ann(graph), **given}
    return (await graph.read(mutation, "steward", input=asked))["done"]


async def test_points_come_and_go_and_the_payload_shows_the_customer_after_it(
    graph: Graph,
) -> None:
    given = await act(graph, "earnPoints", points=100, key="gift", reason="A gift.")
    assert given == {
        "points": 100,
        "balance": 100,
        "isRepeat": False,
        "customer": {"loyalty": {"status": "MEMBER", "points": 100}},
        "entries": [{"kind": "EARN", "points": 100, "reward": None, "reason": "A gift."}],
        "errors": [],
    }
    taken = await act(graph, "redeemPoints", reward="cup", key="k")
    assert (taken["points"], taken["balance"]) == (-30, 70)
    assert taken["entries"][0]["reward"] == "cup"
    adjusted = await act(graph, "adjustPoints", points=-5, key="l", reason="A slip.")
    assert adjusted["customer"]["loyalty"]["points"] == 65


async def test_an_act_sent_again_under_its_key_moves_nothing(graph: Graph) -> None:
    first = await act(graph, "earnPoints", points=100, key="gift")
    again = await act(graph, "earnPoints", points=100, key="gift")
    assert again == {**first, "isRepeat": True}


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        (
            "redeemPoints",
            {"points": 1, "key": "k"},
            {"code": "INSUFFICIENT_POINTS", "path": ["input", "points"]},
        ),
        (
            "redeemPoints",
            {"reward": "pot", "key": "k"},
            {"code": "UNKNOWN_REWARD", "path": ["input", "reward"]},
        ),
        ("redeemPoints", {"key": "k"}, {"code": "BAD_REQUEST", "path": None}),
        (
            "earnPoints",
            {"points": 0, "key": "k"},
            {"code": "BAD_REQUEST", "path": ["input", "points"]},
        ),
        (
            "adjustPoints",
            {"points": 5, "key": "k", "reason": " "},
            {"code": "BAD_REQUEST", "path": ["input", "reason"]},
        ),
    ],
)
async def test_a_refusal_stands_in_the_payload_and_nothing_is_written(
    graph: Graph, name: str, given: dict[str, object], error: dict[str, object]
) -> None:
    payload = await act(graph, name, **given)
    assert payload["errors"] == [error]
    assert (payload["customer"], payload["points"], payload["entries"]) == (None, None, [])


async def test_only_those_who_may_decide_move_points(graph: Graph) -> None:
    customer_id = await ann(graph)
    mutation = "mutation ($input: EarnPointsInput!) { earnPoints(input: $input) { points } }"
    asked = {"customerId": customer_id, "points": 1, "key": "k"}
    for role in ("frontend", "analyst"):
        answer = await graph.answer(mutation, role, input=asked)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_points_beyond_32_bits_are_told_whichever_way_they_are_read(graph: Graph) -> None:
    for number in range(3):
        given = await act(graph, "earnPoints", points=10**9, key=str(number))
    assert (given["balance"], given["customer"]["loyalty"]["points"]) == (3 * 10**9, 3 * 10**9)
    asked = (
        "{ business { loyalty { pointsIssued %s } }"
        " customers(first: 1) { nodes { loyalty { points lifetimePoints %s } } } }"
    )
    async with serving(graph.database, graph.keys, now=datetime.now(UTC)) as later:
        compiled = await later.read(asked % ("", ""), "analyst")
        walked = await later.read(asked % ("__typename", "__typename"), "analyst")
    for told in (compiled, walked):
        loyalty = told["customers"]["nodes"][0]["loyalty"]
        assert told["business"]["loyalty"]["pointsIssued"] == 3 * 10**9
        assert (loyalty["points"], loyalty["lifetimePoints"]) == (3 * 10**9, 3 * 10**9)
