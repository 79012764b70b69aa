"""What one request may ask, and how what is too much or malformed is refused."""

import base64
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from sqlalchemy.sql.compiler import SQLCompiler

from cdp.database import Database
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio


def nested(levels: int) -> str:
    inner = "id"
    for _ in range(levels - 3):
        inner = "sourceProfiles { customer { %s } }" % inner if _ % 2 == 0 else inner  # noqa: UP031
    return "{ customers { nodes { %s } } }" % inner  # noqa: UP031


LONG_KEY = "k" * 80


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (nested(16), "levels"),
        ("{ " + " ".join(f"a{n}: __typename" for n in range(31)) + " }", "aliases"),
        ("{ customers { nodes { id " + "@include(if: true) " * 11 + " } } }", "directives"),
        ("{ " + " customers { totalCount }" * 21 + " }", "root fields"),
        ("{ " + "__typename " * 2_001 + "}", "2000"),
        ("query { ...F } fragment F on Query { " + "customers { totalCount } " * 21 + "}", "root"),
        ("{ customers(first: 1) { } }", "Syntax"),
        ("", "Syntax"),
        ("{ customers { nodes { nope } } }", "nope"),
        ("subscription { x }", "Subscription"),
        ("query A { __typename } query B { __typename }", "operationName"),
        ('{ customers(search: "a\\u0000b") { totalCount } }', "NUL"),
        (
            '{ customers(filter: {purchases: {netSpend: {gte: "12,50"}}}) { totalCount } }',
            "'12,50' is not a decimal number. Write \"129.90\".",
        ),
        ("{ customers(filter: {createdAt: {after: 5}}) { totalCount } }", "5 is not text."),
        (
            "{ customers(filter: {name: {isNull: null}}) { totalCount } }",
            "name.isNull is null. Say true or false.",
        ),
        ("query ($s: String = 5) { customers(search: $s) { totalCount } }", "String"),
    ],
)
async def test_document_beyond_a_limit_is_refused(graph: Graph, query: str, says: str) -> None:
    code, message = await graph.refusal(query)
    assert code == "BAD_REQUEST"
    assert says in message
    assert "Did you mean" not in message
    assert graph.reader.statements == []


async def test_chained_fragments_take_no_exponential_time(graph: Graph) -> None:
    links = [f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40)]
    query = "{ ...F0 } " + " ".join(links) + " fragment F40 on Query { __typename }"
    started = time.process_time()
    await graph.answer(query)
    assert time.process_time() - started < 30  # doubling 40 times would take for ever


async def test_fragment_within_itself_is_refused(graph: Graph) -> None:
    query = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    assert (await graph.refusal(query))[0] == "BAD_REQUEST"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_no_database_holds_is_refused(graph: Graph, text: str) -> None:
    body = b'{"query":"query ($s: String) { customers(search: $s) { totalCount } }","variables":%s}'
    variables = b'{"s":"a\\u0000b"}' if "\0" in text else b'{"s":"\\ud800"}'
    response = await graph.http.post(
        "/graphql",
        content=body % variables,
        headers={
            "content-type": "application/json",
            "authorization": f"Bearer {graph.keys['admin']}",
        },
    )
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "x",
        "=",
        "ÿ",
        encoded("Customer"),
        encoded("Customer:"),
        encoded("Customer:-1"),
        encoded("Customer:1.5"),
        encoded("Customer:99999999999999999999"),
        encoded("Customer:\0"),
        encoded("Nope:1"),
        encoded("Order:x:1"),
        base64.b64encode(b"Customer:\xff").decode(),
        "A" * 3_000,
    ],
)
async def test_malformed_id_is_a_clean_refusal(graph: Graph, identifier: str) -> None:
    for query in (
        "query ($id: ID!) { node(id: $id) { id } }",
        "query ($id: ID!) { nodes(ids: [$id]) { id } }",
        "query ($id: ID!) { customer(id: $id) { id } }",
    ):
        code, message = await graph.refusal(query, id=identifier)
        assert code == "BAD_REQUEST"
        assert "went wrong" not in message


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nope",
        encoded("[]"),
        encoded('["orders"]'),
        encoded('["orders","2026-01-01",1,"x"]'),
        encoded('["orders","2026-01-01T00:00:00",1,"x"]'),
        encoded('["timeline","2026-01-01T00:00:00Z",1,"x"]'),
        encoded('["orders","2026-01-01T00:00:00Z",99999999999999999999,"x"]'),
        encoded('["orders","2026-01-01T00:00:00Z",1,"\\u0000"]'),
    ],
)
async def test_malformed_cursor_is_a_clean_refusal(graph: Graph, cursor: str) -> None:
    inner = "orders(after: $c) { nodes { id } } timeline { nodes { id } }"
    for query in (
        f'query ($c: String) {{ customer(id: "Q3VzdG9tZXI6MQ==") {{ {inner} }} }}',
        "query ($c: String) { customers(after: $c) { nodes { id } } }",
    ):
        code, message = await graph.refusal(query, c=cursor)
        assert code == "BAD_REQUEST"
        assert "went wrong" not in message


async def test_customer_wants_exactly_one_argument(graph: Graph) -> None:
    for arguments in ("", '(id: "Q3VzdG9tZXI6MQ==", identifier: {kind: "email", value: "x"})'):
        code, _ = await graph.refusal(f"{{ customer{arguments} {{ id }} }}")
        assert code == "BAD_REQUEST"


async def test_unknown_kind_of_identifier_names_those_that_there_are(graph: Graph) -> None:
    query = '{ customer(identifier: {kind: "shoe", value: "x"}) { id } }'
    code, message = await graph.refusal(query)
    assert code == "BAD_REQUEST"
    assert "loyalty_card" in message


async def test_values_of_a_filter_are_looked_at_once_however_many(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, construct = 0, SQLCompiler.construct_params

    def counted(self: SQLCompiler, *args: Any, **options: Any) -> MutableMapping[str, Any]:  # noqa: ANN401  as SQLAlchemy has it
        nonlocal made
        made += 1
        return construct(self, *args, **options)

    monkeypatch.setattr(SQLCompiler, "construct_params", counted)
    counts = []
    for many in (1, 2, 200):  # the first also compiles what all have in common
        made = 0
        codes = ", ".join(f'"{number}"' for number in range(many))
        query = f"{{ customers(filter: {{postalCode: {{in: [{codes}]}}}}) {{ totalCount }} }}"
        await graph.read(query)
        counts.append(made)
    assert counts[1] == counts[2] > 0


async def test_long_keys_and_many_fields_cross_whole(graph: Graph) -> None:
    fields = " ".join(f"f{n:02}: name" for n in range(14))
    many = f"{LONG_KEY}: name {fields} " + " ".join(f"x{n:02}: id" for n in range(14))
    query = f'{{ customer(id: "Q3VzdG9tZXI6MQ==") {{ {many} }} }}'
    customer = (await graph.read(query))["customer"]
    assert list(customer) == [LONG_KEY, *(f"f{n:02}" for n in range(14)), *(
        f"x{n:02}" for n in range(14)
    )]  # fmt: skip
    assert customer[LONG_KEY] == "Ann Miller"


async def test_slow_statement_is_a_timeout(business: tuple[Database, dict[str, str]]) -> None:
    async with serving(*business) as graph:
        row = graph.reader.fetch

        async def slow(sql: str, *arguments: object) -> object:
            del arguments
            await graph.database.reader.execute("SET statement_timeout = 50")
            return await row(f"SELECT pg_sleep(5), ({len(sql)}) AS n")

        graph.reader.fetch = slow  # type: ignore[method-assign]
        code, _ = await graph.refusal("{ customers { totalCount } }")
        # The connection goes back to a pool that other tests read from.
        await graph.database.reader.execute("RESET statement_timeout")
    assert code == "TIMEOUT"


async def test_unexpected_error_is_masked(
    business: tuple[Database, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(*business) as graph:

        async def broken(sql: str, *arguments: object) -> object:
            raise RuntimeError(f"secret {len(sql)} {len(arguments)}")

        graph.reader.fetch = broken  # type: ignore[method-assign]
        code, message = await graph.refusal("{ customers { totalCount } }")
    assert code == "INTERNAL"
    assert "secret" not in message
    assert "secret" in caplog.text
    assert message.rsplit(" ", 1)[1].rstrip(".") in caplog.text


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 100_000


async def test_body_is_refused_while_it_streams(graph: Graph) -> None:
    response = await graph.http.post(
        "/graphql", content=chunks(11), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
