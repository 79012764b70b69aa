"""Reading the graph over HTTP: statements an operation, and speed beside SQL written by hand."""

import asyncio
import base64
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

import asyncpg
import msgspec

from benchmarks.command import CDP, ROOT, BenchmarkFailed, environment, run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground, execute
from benchmarks.load import ask, load, request
from benchmarks.people import write_customers, write_orders
from benchmarks.processor import PostgresClock, postgres_clock, seconds_of

CUSTOMERS: Final = 60_000
ORDERS: Final = 100_000
ROUNDS: Final = 5  # of both servers in turn; the median is told
ROUND_SECONDS: Final = 2.0
SHORTEST_ROUND_SECONDS: Final = 0.05
ASKED_CUSTOMERS: Final = 1_000  # different ones
PAGE_SIZES: Final = (1, 25, 250)
LEAST_ORDERS: Final = 2
STOP_SECONDS: Final = 20

_SCALARS: Final = """id name firstName lastName email phone address { city } createdAt
    purchases { orderCount netSpend }"""
_ONE: Final = f"query One($id: ID!) {{ customer(id: $id) {{ {_SCALARS} }} }}"
_MANY: Final = f"""query Many($first: Int, $least: Int) {{
    customers(first: $first, filter: {{purchases: {{orderCount: {{gte: $least}}}}}},
              orderBy: [{{field: PURCHASES_NET_SPEND, direction: DESC}}]) {{
        nodes {{ {_SCALARS} orders(first: 3) {{ nodes {{ key placedAt total }} }} }} }} }}"""
_STATEMENTS: Final = re.compile(rb"^cdp_graphql_statements_total (\S+)$", re.MULTILINE)
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:(\d+)/")


@dataclass(frozen=True, slots=True)
class _Server:
    """A process that serves, and the port on which it does."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of both servers, in their own ways."""

    name: str
    graph: Sequence[bytes]
    peer: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Round:
    """Requests a second, and processor seconds a request: the server's and PostgreSQL's."""

    rate: float
    processor: float


def reads(ground: Ground, scale: float) -> Iterator[Figure]:
    """One customer and a page of 50, of the graph and of the peer in turn."""
    with ExitStack() as stack:
        url = stack.enter_context(ground.database())
        _fill(ground, url, scale)
        ids = asyncio.run(_ids(url))
        graph = stack.enter_context(_serving(url, *CDP, "serve", "--port", "0"))
        peer = stack.enter_context(_serving(url, sys.executable, "-m", "benchmarks.peer"))
        yield figure("statements_per_read", _most_statements(graph, ids[0]), "statements")
        clock = postgres_clock(url)
        seconds = max(SHORTEST_ROUND_SECONDS, ROUND_SECONDS * scale)
        for question in _questions(ids, graph.port, peer.port):
            yield from _compare(question, graph, peer, clock, seconds)


def _fill(ground: Ground, url: str, scale: float) -> None:
    people, purchases = ground.folder / "read-customers.jsonl", ground.folder / "read-orders.jsonl"
    customers = max(30, round(CUSTOMERS * scale))
    write_customers(people, customers)
    write_orders(purchases, max(60, round(ORDERS * scale)), customers)
    for path, stream in ((people, "customers"), (purchases, "orders")):
        run(
            "import",
            path,
            "--source",
            "shop",
            "--stream",
            stream,
            variables={"CDP_DATABASE_URL": url},
        )
    execute(url, "VACUUM ANALYZE")


async def _ids(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT id FROM customer ORDER BY hashint8(id) LIMIT $1", ASKED_CUSTOMERS
        )
        return [row["id"] for row in rows]
    finally:
        await connection.close()


@contextmanager
def _serving(url: str, *command: str) -> Iterator[_Server]:
    """A server in a process of its own, which tells its address on standard error."""
    process = subprocess.Popen(  # noqa: S603 (our own commands)
        command,
        cwd=ROOT,
        env=environment({"CDP_DATABASE_URL": url}),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        address = _ADDRESS.search(told)
        if address is None:
            raise BenchmarkFailed(f"{command} told no address but: {told}")
        yield _Server(process.pid, int(address[1]))
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def _graph_request(port: int, query: str, **variables: object) -> bytes:
    body = msgspec.json.encode({"query": query, "variables": variables})
    return request("POST", "/graphql", port, body)


def _global_id(customer_id: int) -> str:
    return base64.b64encode(f"Customer:{customer_id}".encode()).decode()


def _questions(ids: Sequence[int], graph: int, peer: int) -> Iterator[_Question]:
    yield _Question(
        "customer",
        [_graph_request(graph, _ONE, id=_global_id(customer_id)) for customer_id in ids],
        [request("GET", f"/customer/{customer_id}", peer) for customer_id in ids],
    )
    yield _Question(
        "customers",
        [_graph_request(graph, _MANY, first=50, least=LEAST_ORDERS)],
        [request("GET", f"/customers/{LEAST_ORDERS}", peer)],
    )


def _most_statements(graph: _Server, customer_id: int) -> float:
    """The most statements of one read, by the server's own count; larger pages send no more."""
    asked = [_graph_request(graph.port, _ONE, id=_global_id(customer_id))]
    asked += [_graph_request(graph.port, _MANY, first=size, least=0) for size in PAGE_SIZES]
    counts = [_statements(graph)]
    for one in asked:
        _require_data(ask(graph.port, one))
        counts.append(_statements(graph))
    return max(after - before for before, after in pairwise(counts))


def _statements(graph: _Server) -> float:
    found = _STATEMENTS.search(ask(graph.port, request("GET", "/metrics", graph.port)))
    assert found is not None, "the server counts its statements"
    return float(found[1])


def _require_data(answer: bytes) -> None:
    if b'"errors"' in answer or b"null}" in answer[:40]:
        raise BenchmarkFailed(f"The graph answered {answer[:1000].decode()}")


def _compare(
    question: _Question,
    graph: _Server,
    peer: _Server,
    clock: PostgresClock | None,
    seconds: float,
) -> Iterator[Figure]:
    """Both in turn, so that what disturbs one disturbs the other; each ratio is peer to graph."""
    _require_data(ask(graph.port, question.graph[0]))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_round(graph, question.graph, clock, seconds))
        theirs.append(_round(peer, question.peer, clock, seconds))
    pairs = list(zip(ours, theirs, strict=True))
    name = f"read_{question.name}"
    yield figure(f"{name}_rate", median(one.rate for one in ours), "requests/s")
    share = median(one.rate / other.rate for one, other in pairs)
    yield figure(f"{name}_share_of_sql", share, "ratio")
    if clock is not None and all(one.processor for one in ours):
        share = median(other.processor / one.processor for one, other in pairs)
        yield figure(f"{name}_processor_share_of_sql", share, "ratio")


def _round(
    server: _Server, requests: Sequence[bytes], clock: PostgresClock | None, seconds: float
) -> _Round:
    def used() -> float:
        return seconds_of(server.pid) + (clock.seconds() if clock else 0.0)

    before = used()
    done = load(server.port, requests, seconds)
    return _Round(done.requests / done.seconds, (used() - before) / max(done.requests, 1))
