"""GraphQL over HTTP, keys, and the paths beside it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cdp.database import Database
from cdp.keys import Role, create_key
from schema import view
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio

QUERY = {"query": "{ __typename }"}
NEWER = "application/graphql-response+json"


def signed(graph: Graph, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {graph.keys['admin']}", **headers}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (f"{NEWER}, application/json;q=0.9", NEWER),
        (NEWER, NEWER),
    ],
)
async def test_answer_is_of_the_type_asked_for(graph: Graph, accept: str, media_type: str) -> None:
    response = await graph.http.post("/graphql", json=QUERY, headers=signed(graph, accept=accept))
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.json()["data"] == {"__typename": "Query"}
    assert set(response.json()["extensions"]["cost"]) == {"requested", "actual", "limit"}


@pytest.mark.parametrize("query", ["{", "{ nope }", "query ($x: Int!) { __typename }"])
async def test_status_tells_of_errors_only_to_who_asks(graph: Graph, query: str) -> None:
    for accept, status in ((NEWER, 400), ("application/json", 200)):
        response = await graph.http.post(
            "/graphql", json={"query": query}, headers=signed(graph, accept=accept)
        )
        assert response.status_code == status
        assert "data" not in response.json()
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"query": 5}', "application/json", 400),
        (b'{"query": "{ __typename }", "variables": []}', "application/json", 400),
        (b'{"query": "{ __typename }", "variables": null}', "application/json", 200),
        (b'{"query": "{ __typename }"}', "text/plain", 415),
        (b'{"query": "{ __typename }"}', "application/json; charset=latin-1", 415),
        (b'{"query": "{ __typename }"}', "application/json; charset=utf-8", 200),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
    ],
)
async def test_body_that_is_no_request_is_refused(
    graph: Graph, content: bytes, content_type: str, status: int
) -> None:
    headers = signed(graph, **{"content-type": content_type})
    response = await graph.http.post("/graphql", content=content, headers=headers)
    assert response.status_code == status


async def test_unacceptable_type_is_told(graph: Graph) -> None:
    response = await graph.http.post(
        "/graphql", json=QUERY, headers=signed(graph, accept="text/html")
    )
    assert response.status_code == 406


@pytest.mark.parametrize("header", ["Bearer nope", "Bearer cdp_nope", "Basic eDp5", "Bearer "])
async def test_wrong_key_opens_nothing(graph: Graph, header: str) -> None:
    response = await graph.http.post("/graphql", json=QUERY, headers={"authorization": header})
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_with_keys_nobody_enters_without(graph: Graph) -> None:
    assert (await graph.http.post("/graphql", json=QUERY)).status_code == 401


async def test_without_keys_only_this_machine_is_answered(database: Database) -> None:
    async with serving(database, {}) as graph:
        assert (await graph.http.post("/graphql", json=QUERY)).status_code == 200
        for headers in (
            {"x-forwarded-for": "127.0.0.1"},
            {"forwarded": "for=127.0.0.1"},
            {"host": "attacker.example.com"},
        ):
            response = await graph.http.post("/graphql", json=QUERY, headers=headers)
            assert response.status_code == 401
    async with serving(database, {}, client=("203.0.113.9", 5)) as graph:
        response = await graph.http.post(
            "/graphql", json=QUERY, headers={"x-forwarded-for": "127.0.0.1"}
        )
        assert response.status_code == 401
        assert "cdp key create" in response.json()["errors"][0]["message"]


async def test_first_key_closes_the_open_door(database: Database) -> None:
    async with database.transaction() as connection:
        _, key = await create_key(connection, Role.FRONTEND, "site")
    async with serving(database, {}) as graph:
        assert (await graph.http.post("/graphql", json=QUERY)).status_code == 401
        response = await graph.http.post(
            "/graphql", json=QUERY, headers={"authorization": f"bearer {key}"}
        )
        assert response.status_code == 200


async def test_explorer_needs_nothing_from_elsewhere(graph: Graph) -> None:
    page = await graph.http.get("/graphql")
    assert page.headers["content-type"].startswith("text/html")
    assert "http" not in page.text.replace("http-equiv", "")
    names = [part.split('"')[0] for part in page.text.split("/graphiql/")[1:]]
    assert len(names) == 6
    for name in names:
        response = await graph.http.get(f"/graphiql/{name}")
        assert response.status_code == 200
        assert len(response.text) > 50
        plain = await graph.http.get(f"/graphiql/{name}", headers={"accept-encoding": "identity"})
        assert plain.text == response.text
    style = await graph.http.get("/graphiql/graphiql.min.css")
    assert "url(http" not in style.text
    assert "@import" not in style.text
    assert (await graph.http.get("/graphiql/LICENSES.txt")).status_code == 404


async def test_explorer_is_for_this_machine_or_with_a_key(
    database: Database, business: tuple[Database, dict[str, str]]
) -> None:
    for served, keys in ((database, {}), business):
        async with serving(served, keys) as graph:
            assert (await graph.http.get("/graphql")).status_code == 200
            proxied = {"x-forwarded-for": "127.0.0.1"}
            assert (await graph.http.get("/graphql", headers=proxied)).status_code == 401
        async with serving(served, keys, client=("203.0.113.9", 5)) as graph:
            refused = await graph.http.get("/graphql")
            assert (refused.status_code, refused.text.count(".")) == (401, 1)
            wrong = {"authorization": "Bearer cdp_wrong"}
            assert (await graph.http.get("/graphql", headers=wrong)).status_code == 401
            if keys:
                page = await graph.http.get("/graphql", headers=signed(graph))
                assert page.status_code == 200


async def test_introspection_answers_the_explorer(graph: Graph) -> None:
    query = """query IntrospectionQuery { __schema { types { kind name fields(includeDeprecated:
        true) { name type { kind name ofType { kind name ofType { kind name ofType { kind name
        ofType { kind name ofType { kind name ofType { kind name ofType { name } } } } } } } }
        } } } }"""
    data = await graph.read(query)
    assert {"Customer", "TimelineEntry"} <= {each["name"] for each in data["__schema"]["types"]}
    assert graph.reader.statements == []


async def test_server_tells_how_it_is(graph: Graph) -> None:
    assert (await graph.http.get("/healthz")).status_code == 200
    assert (await graph.http.get("/readyz")).json() == {"ready": True, "reason": None}
    await graph.read("{ customers { totalCount } }")
    metrics = (await graph.http.get("/metrics")).text
    for name in ("requests_total", "seconds_bucket", "statements_total", "errors_total"):
        assert f"cdp_graphql_{name}" in metrics


STANDING = """
INSERT INTO source (name, connector) VALUES ('shop', 'file'), ('till', 'square');
INSERT INTO sync_run (source_id, started_at, status)
SELECT id, now() - interval '1 hour', 'partial' FROM source WHERE name = 'shop';
INSERT INTO sync_run (source_id, status) SELECT id, 'failed' FROM source;
INSERT INTO dead_letter (source_id, stream, place, reason, path, payload, digest)
SELECT id, 'orders', '1', 'It is none.', '', '{}', '' FROM source WHERE name = 'till';
INSERT INTO touched_customer (cause, ids, due_at)
VALUES ('ingest', '{1}', now() - interval '1 minute'), ('ingest', '{1}', now() + interval '1 day')
"""


async def test_metrics_tell_what_the_database_waits_for(database: Database) -> None:
    async with database.transaction() as connection:
        for statement in STANDING.split(";"):
            await connection.exec_driver_sql(statement)
    async with serving(database, {}) as graph:
        lines = (await graph.http.get("/metrics")).text.splitlines()
    told = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if name.startswith(("cdp_source", "cdp_dead", "cdp_outbox")):
            told[name] = float(value)
    shop, till = '{connector="file",source="shop"}', '{connector="square",source="till"}'
    assert 3_600 <= told.pop(f"cdp_source_age_seconds{shop}") < 3_700
    assert 60 <= told.pop("cdp_outbox_age_seconds") < 160
    assert told == {
        f"cdp_source_failed{shop}": 1,
        f"cdp_source_failed{till}": 1,
        'cdp_dead_letters{source="till"}': 1,
        "cdp_outbox_rows": 1,
    }


async def test_unmigrated_database_is_not_ready(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'older'")
    async with serving(database, {}) as graph:
        response = await graph.http.get("/readyz")
    assert response.status_code == 503
    assert "older" in response.json()["reason"]


def test_vendored_files_carry_their_licences() -> None:
    text = (Path(__file__).parents[2] / "schema" / "graphiql" / "LICENSES.txt").read_text()
    for name in ("GraphQL Contributors", "Facebook", "MIT License"):
        assert name in text


async def test_body_that_does_not_come_is_not_waited_for(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    monkeypatch.setattr(view, "BODY_SECONDS", 0.01)
    response = await graph.http.post("/graphql", content=dripping())  # without a key
    assert response.status_code == 408
    assert response.headers["connection"] == "close"
    told = response.json()["errors"][0]["message"]
    assert told == "The body did not come within 0.01 seconds."
