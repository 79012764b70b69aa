"""`cdp serve` as a process: it answers, says what is wrong in one sentence, and stops cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from schema import socket as sockets
from schema.limits import MAX_BODY_BYTES

START_SECONDS = 120  # a busy machine fails no test

PROTOCOL = Subprotocol(sockets.PROTOCOL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(database_url: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and its address."""
    port = free_port()
    command = [sys.executable, "-m", "cdp", "serve", "--port", str(port), *options]
    process = subprocess.Popen(  # noqa: S603  our own command
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CDP_DATABASE_URL": database_url},
        cwd=Path(__file__).parents[2],
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(timeout=START_SECONDS) as client:  # to make one takes as long as a wait
            while True:
                try:
                    assert client.get(f"{url}/readyz").status_code == 200
                    break
                except httpx.TransportError:
                    assert process.poll() is None, process.communicate()[1]
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
        yield process, url
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_answers_and_stops_when_it_is_told(database_url: str, workers: str) -> None:
    with served(database_url, "--workers", workers) as (process, url):
        query = {"query": "{ customers { totalCount } }"}
        answer = httpx.post(f"{url}/graphql", json=query, timeout=START_SECONDS)
        assert answer.json()["data"] == {"customers": {"totalCount": 0}}
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0
    assert "only this machine is answered" in told
    assert "Traceback" not in told


def test_workers_end_with_the_server_that_started_them_however_it_ends(database_url: str) -> None:
    with served(database_url, "--workers", "2") as (process, url):
        process.kill()
        process.communicate(timeout=START_SECONDS)  # ends when nobody holds its output any more
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_address_is_told_as_json_where_it_is_asked_for(database_url: str) -> None:
    with served(database_url, "--json") as (process, url):
        process.send_signal(signal.SIGTERM)
        shown, told = process.communicate(timeout=START_SECONDS)
    assert json.loads(shown) == {"graphql": f"{url}/graphql", "has_keys": False}
    assert "Traceback" not in told


def test_port_in_use_is_one_sentence(database_url: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        result = subprocess.run(  # noqa: S603  our own command
            [sys.executable, "-m", "cdp", "serve", "--port", port, "--database-url", database_url],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: Port {port} of 127.0.0.1 is in use."
        " Name another with --port, or stop what holds it.\n"
    )


CREATE = """mutation { createSegment(input: {
    name: "Everybody", filter: {createdAt: {after: "2000-01-01T00:00:00Z"}}}) {
    segment { id } errors { message } } }"""
INGEST = """mutation ($records: [JSON!]!) {
    ingest(input: {source: "till", stream: "customers", records: $records}) { new } }"""
FOLLOW = """subscription ($id: ID!) {
    segmentChanges(segmentId: $id) { kind cursor customer { name } } }"""


def ended(client: ClientConnection) -> int | None:
    """The code with which the server ends a socket, without another message."""
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(START_SECONDS)
    return None if closed.value.rcvd is None else closed.value.rcvd.code


def test_change_is_told_over_a_socket_until_the_server_stops(database_url: str) -> None:
    with served(database_url) as (process, url):

        def write(query: str, **variables: object) -> dict[str, Any]:
            body = {"query": query, "variables": variables}
            answer = httpx.post(f"{url}/graphql", json=body, timeout=START_SECONDS)
            return cast("dict[str, Any]", answer.json()["data"])

        segment_id = write(CREATE)["createSegment"]["segment"]["id"]
        address = f"{url}/graphql".replace("http", "ws", 1)
        with connect(address, subprotocols=[PROTOCOL]) as other:
            other.send("x" * (MAX_BODY_BYTES + 1))
            assert ended(other) == CloseCode.MESSAGE_TOO_BIG
        with connect(address, subprotocols=[PROTOCOL]) as client:
            client.send('{"type": "connection_init"}')
            assert json.loads(client.recv(START_SECONDS)) == {"type": "connection_ack"}
            payload = {"query": FOLLOW, "variables": {"id": segment_id}}
            client.send(json.dumps({"type": "subscribe", "id": "a", "payload": payload}))
            client.send('{"type": "ping"}')
            assert json.loads(client.recv(START_SECONDS)) == {"type": "pong"}
            write(INGEST, records=[{"id": "c1", "full_name": "Ann Miller"}])
            told = json.loads(client.recv(START_SECONDS))
            assert (told["type"], told["id"]) == ("next", "a")
            change = told["payload"]["data"]["segmentChanges"]
            assert (change["kind"], change["customer"]) == ("ENTERED", {"name": "Ann Miller"})
            process.send_signal(signal.SIGTERM)
            assert ended(client) == CloseCode.SERVICE_RESTART
        _, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in errors
