"""The protocol graphql-transport-ws: who is let in, what ends a socket, and its bounds."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from cdp.database import Database
from cdp.keys import revoke_key
from schema import access, socket
from schema.limits import MAX_BODY_BYTES
from tests.schema.client import Graph, Value, serving
from tests.schema.ids import gid
from tests.schema.socket import CHANGES, START, Client, Closed, connected
from tests.schema.test_subscription import followed, let_in

pytestmark = pytest.mark.anyio

__all__ = ["followed"]  # the fixture

BLOCK: Final = re.compile(r"^```text socket\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README: Final = Path(__file__).parents[2] / "README.md"


async def buyers(graph: Graph) -> str:
    """The id of a segment that lives."""
    found = await graph.read('{ segment(slug: "buyers") { id } }')
    return str(found["segment"]["id"])


async def closing(client: Client) -> tuple[int, str]:
    """The code and the reason with which the server ends a socket, whatever it says before."""
    try:
        while True:
            await client.hear()
    except Closed as told:
        return told.code, told.reason


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_key_is_taken_from_the_first_message(graph: Graph, name: str) -> None:
    async with connected(graph.app) as client:
        await client.init({name: f"Bearer {graph.keys['frontend']}", "more": 1})


async def test_key_is_taken_from_the_handshake(graph: Graph) -> None:
    headers = {"authorization": f"Bearer {graph.keys['frontend']}"}
    async with connected(graph.app, headers=headers) as client:
        await client.init()


@pytest.mark.parametrize(
    "payload", [None, {}, {"Authorization": "Bearer cdp_no"}, {"Authorization": "é"}, {"key": 1}]
)
async def test_without_a_key_nobody_is_let_in(graph: Graph, payload: dict[str, Any] | None) -> None:
    async with connected(graph.app) as client:
        client.say("connection_init", payload=payload)
        code, reason = await closing(client)
    assert code == 4403
    assert "key" in reason


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        (None, True),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:3000", True),
        ("https://elsewhere.example", False),
        ("null", False),
    ],
)
async def test_pages_of_other_sites_are_not_this_machine(
    database: Database, origin: str | None, *, is_let_in: bool
) -> None:
    headers = {} if origin is None else {"origin": origin}
    async with serving(database, {}) as graph, connected(graph.app, headers=headers) as client:
        client.say("connection_init")
        if is_let_in:
            assert await client.hear() == {"type": "connection_ack"}
        else:
            assert (await closing(client))[0] == 4403


async def test_revoked_key_ends_the_socket(
    followed: tuple[Graph, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert socket.KEY_SECONDS + access.SECONDS_REMEMBERED < 60
    monkeypatch.setattr(socket, "KEY_SECONDS", 0.05)
    monkeypatch.setattr(access, "SECONDS_REMEMBERED", 0)
    graph, segment_id = followed
    async with connected(graph.app) as client, connected(graph.app) as other:
        await let_in(client, graph, "steward")
        await let_in(other, graph, "analyst")
        client.subscribe(CHANGES, id=gid("Segment", segment_id))
        async with graph.database.transaction() as connection:
            await revoke_key(connection, 3)
        code, reason = await closing(client)
        assert (code, "opens nothing" in reason) == (4403, True)
        other.say("ping")
        assert await other.hear() == {"type": "pong"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"type": "next"}',
        '{"type": 1}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "payload": {"query": "{ x }"}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ x }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ x }"}}',
        json.dumps({"type": "subscribe", "id": "x" * 201, "payload": {"query": "{ x }"}}),
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "complete"}',
        '{"type": "subscribe", "id": "\\ud800", "payload": {"query": "{ x }"}}',
        '{"type": "ping", "payload": ' + "[" * 100_000,
        '{"type": "ping", "payload": {"x": "' + "x" * MAX_BODY_BYTES + '"}}',
    ],
)
async def test_what_is_no_message_of_the_protocol_ends_the_socket(graph: Graph, text: str) -> None:
    async with connected(graph.app) as client:
        await let_in(client, graph)
        client.event(type="websocket.receive", text=text)
        assert (await closing(client))[0] == 4400


async def test_bytes_end_the_socket(graph: Graph) -> None:
    async with connected(graph.app) as client:
        client.event(type="websocket.receive", bytes=b"{}")
        assert (await closing(client))[0] == 4400


async def test_whoever_subscribes_before_the_key_is_shown_is_sent_away(graph: Graph) -> None:
    async with connected(graph.app) as client:
        client.subscribe(CHANGES, id=await buyers(graph))
        assert (await closing(client))[0] == 4401


async def test_another_protocol_is_not_spoken(graph: Graph) -> None:
    for others in ([], ["graphql-ws"]):
        async with connected(graph.app, subprotocols=others) as client:
            assert (await closing(client))[0] == 4406


async def test_whoever_does_not_begin_is_sent_away(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "INIT_SECONDS", 0.05)
    async with connected(graph.app) as client:
        assert (await closing(client))[0] == 4408


async def test_second_beginning_ends_the_socket(graph: Graph) -> None:
    async with connected(graph.app) as client:
        await let_in(client, graph)
        client.say("connection_init")
        assert (await closing(client))[0] == 4429


async def test_name_in_use_ends_the_socket_and_one_that_is_free_again_does_not(
    graph: Graph,
) -> None:
    async with connected(graph.app) as client:
        await let_in(client, graph)
        segment_id = await buyers(graph)
        client.subscribe(CHANGES, "a", id=segment_id)
        client.say("complete", id="a")
        client.say("complete", id="never there")
        client.subscribe(CHANGES, "a", id=segment_id)
        client.subscribe(CHANGES, "b", id=segment_id)
        client.say("ping", payload={"any": "thing"})
        client.say("pong")
        assert await client.hear() == {"type": "pong"}
        client.subscribe(CHANGES, "a", id=segment_id)
        assert await closing(client) == (4409, "Subscriber for a already exists")


async def test_socket_has_so_many_subscriptions_and_the_server_so_many_sockets(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "MAX_SUBSCRIPTIONS", 2)
    monkeypatch.setattr(socket, "MAX_SOCKETS", 1)
    async with connected(graph.app) as client:
        await let_in(client, graph)
        segment_id = await buyers(graph)
        for name in ("a", "b", "c"):
            client.subscribe(CHANGES, name, id=segment_id)
        assert (await client.refusal("c"))[0] == "RATE_LIMITED"
        client.say("complete", id="a")
        client.subscribe(CHANGES, "d", id=segment_id)
        client.say("ping")
        assert await client.hear() == {"type": "pong"}
        async with connected(graph.app) as other:
            assert (await closing(other))[0] == 1013
    async with connected(graph.app) as other:
        await let_in(other, graph)


async def test_whoever_takes_nothing_is_left(
    followed: tuple[Graph, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, segment_id = followed
    async with connected(graph.app) as client:
        await let_in(client, graph)
        monkeypatch.setattr(socket, "SEND_SECONDS", 0.05)
        client.subscribe(CHANGES, id=gid("Segment", segment_id), after=START)
        await asyncio.sleep(0.5)
        monkeypatch.setattr(socket, "MAX_SOCKETS", 1)
        async with connected(graph.app) as other:  # whose place is free
            await let_in(other, graph)


async def test_messages_of_the_readme_are_those_of_the_server(
    followed: tuple[Graph, int],
) -> None:
    graph, segment_id = followed
    (block,) = BLOCK.findall(README.read_text())
    block = block.replace("cdp_...", graph.keys["admin"]).replace(
        gid("Segment", 1), gid("Segment", segment_id)
    )
    async with connected(graph.app) as client:
        for side, _, text in (line.partition(" ") for line in block.splitlines()):
            if side == ">":
                client.event(type="websocket.receive", text=text)
            else:
                assert shape(await client.hear()) == shape(json.loads(text))


def shape(message: Value) -> Value:
    """Of a message all but what the data are."""
    if not isinstance(message, dict):
        return type(message)
    told = ("type", "cost")
    return {name: part if name in told else shape(part) for name, part in message.items()}


async def test_text_that_is_none_is_refused(graph: Graph) -> None:
    async with connected(graph.app) as client:
        await let_in(client, graph)
        client.subscribe(CHANGES, id="\0")
        assert (await client.refusal())[0] == "BAD_REQUEST"
        client.subscribe("subscription { nope }", id="")
        assert (await client.refusal())[0] == "BAD_REQUEST"
