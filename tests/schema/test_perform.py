"""How a mutation is carried out: field by field, whole or not at all, within its limits."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import func, select

from cdp import tables
from cdp.database import Database
from cdp.keys import Role, create_key
from schema import perform
from schema.errors import error_body
from tests.cdp.ingesting import take
from tests.schema.client import Graph, serving
from tests.schema.ids import gid

pytestmark = pytest.mark.anyio

DEAR = "COST_LIMIT"
NAMES = ("Ann", "Bob", "Cy")
ONE = "mergeCustomers(input: {customerIds: %s, reason: %s}) { errors { code } customer { id } }"


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """Three customers, numbers 1 to 3."""
    async with database.transaction() as connection:
        rows = [{"id": str(n), "first_name": name} for n, name in enumerate(NAMES, 1)]
        await take(connection, "customers", rows)
        keys = {
            role.value: (await create_key(connection, role, role.value))[1]
            for role in (Role.STEWARD, Role.ADMIN)
        }
    async with serving(database, keys) as graph:
        yield graph


def merging(*customers: int, reason: str = "One.") -> str:
    """A field of a mutation that merges customers by their numbers."""
    ids = ", ".join(f'"{gid("Customer", one)}"' for one in customers)
    return ONE % (f"[{ids}]", f'"{reason}"')


async def counts(graph: Graph) -> tuple[int, int]:
    """How many customers and decisions there are."""
    async with graph.database.read_only() as connection:
        customers = await connection.scalar(select(func.count()).select_from(tables.customer))
        decision = select(func.count()).select_from(tables.identity_decision)
        return int(customers or 0), int(await connection.scalar(decision) or 0)


async def run(graph: Graph, statement: str) -> None:
    async with graph.database.transaction() as connection:
        await connection.exec_driver_sql(statement)


async def break_ledger(graph: Graph, act: str) -> None:
    """Have the database do something worse whenever the ledger is written for that reason."""
    await run(
        graph,
        f"CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.reason = 'Break.' THEN {act}; END IF; RETURN NEW; END $$",
    )
    await run(
        graph,
        "CREATE TRIGGER broken BEFORE INSERT ON merge_event FOR EACH ROW EXECUTE FUNCTION broken()",
    )


async def test_fields_run_one_after_another(graph: Graph) -> None:
    mutation = f"mutation {{ a: {merging(1, 2)} b: {merging(2, 3)} c: {merging(3, 1)} }}"
    data = await graph.read(mutation)
    assert list(data) == ["a", "b", "c"]
    one = {"id": gid("Customer", 1)}
    assert [each["customer"] for each in data.values()] == [one, one, None]
    assert data["c"]["errors"] == [{"code": "BAD_REQUEST"}]  # for the second joined them already
    assert await counts(graph) == (1, 2)


async def test_field_that_fails_leaves_nothing_and_ends_the_operation(
    graph: Graph, caplog: pytest.LogCaptureFixture
) -> None:
    await break_ledger(graph, "RAISE EXCEPTION 'secret'")
    mutation = f"""mutation {{
      a: {merging(1, 2)}
      b: {merging(2, 3, reason="Break.")}
      c: {merging(1, 3)} }}"""
    answer = await graph.answer(mutation)
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert error["path"] == ["b"]
    assert error["locations"] == [{"line": 3, "column": 7}]
    assert error["extensions"] == {"code": "INTERNAL"}
    assert "secret" not in str(answer)
    assert "secret" in caplog.text
    assert await counts(graph) == (2, 1)
    assert "errors" not in await graph.answer(f"mutation {{ {merging(1, 3)} }}")


async def test_lost_connection_is_unavailable_and_leaves_nothing(graph: Graph) -> None:
    await break_ledger(graph, "PERFORM pg_terminate_backend(pg_backend_pid())")
    code, message = await graph.refusal(f"mutation {{ {merging(1, 2, reason='Break.')} }}")
    assert (code, message) == ("UNAVAILABLE", "The database does not answer. Try again soon.")
    assert await counts(graph) == (3, 0)
    assert "errors" not in await graph.answer(f"mutation {{ {merging(1, 2)} }}")


@pytest.mark.parametrize(
    ("limit", "value"), [("EXECUTION_SECONDS", 0.3), ("READ_TIMEOUT_MILLISECONDS", 300)]
)
async def test_mutation_that_waits_too_long_is_a_timeout_and_leaves_nothing(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(perform, limit, value)
    mutation = f"mutation {{ {merging(1, 2)} }}"
    async with graph.database.transaction() as connection:
        await connection.exec_driver_sql("SELECT FROM customer FOR UPDATE")
        assert (await graph.refusal(mutation))[0] == "TIMEOUT"
        assert await counts(graph) == (3, 0)
    monkeypatch.undo()
    assert "errors" not in await graph.answer(mutation)
    assert await counts(graph) == (2, 1)


@pytest.mark.parametrize(
    ("selection", "code"),
    [
        ('customer { orders(after: "nonsense") { nodes { key } } }', "BAD_REQUEST"),
        ("customer { orders(first: 5000) { nodes { key } } }", "BAD_REQUEST"),
        ('customer { provenance(attribute: "nope\\u0000") { value } }', "BAD_REQUEST"),
        ("customers { orders(first: 250) { nodes { lines { sku } refunds { key } } } }", DEAR),
        ("customer { nope }", "BAD_REQUEST"),
    ],
)
async def test_payload_that_cannot_be_read_is_refused_before_anything_is_done(
    graph: Graph, selection: str, code: str
) -> None:
    second = merging(1, 3).replace("errors { code } customer { id }", selection)
    refused = await graph.answer(f"mutation {{ a: {merging(1, 2)} b: {second} }}", "steward")
    assert "data" not in refused
    assert refused["errors"][0]["extensions"]["code"] == code
    assert await counts(graph) == (3, 0)


async def test_limits_of_reads_hold_for_mutations(graph: Graph) -> None:
    fields = [f"f{n}: {merging(1, 2)}" for n in range(21)]
    for mutation, says in (
        ("{ " + " ".join(fields) + " }", "root fields"),
        ("{ " + merging(1, 2).replace("code", "code " * 2_000) + " }", "2000"),
        (
            "{ " + merging(1, 2).replace("id }", "".join(f"a{n}: id " for n in range(31)) + "}")
            + " }",
            "aliases",
        ),
    ):  # fmt: skip
        code, message = await graph.refusal("mutation " + mutation)
        assert (code, says in message) == ("BAD_REQUEST", True)
    many = ", ".join([f'"{gid("Customer", 1)}"'] * 251)
    given = "mutation ($input: MergeCustomersInput!) { mergeCustomers(input: $input) { notes } }"
    ids = [gid("Customer", 1)] * 251
    response = await graph.post(given, input={"customerIds": ids, "reason": "One."})
    assert response.status_code == 400
    assert many.count(",") == 250
    assert await counts(graph) == (3, 0)


async def test_cost_of_a_mutation_is_told(graph: Graph) -> None:
    answer = await graph.answer(f"mutation {{ {merging(1, 2)} }}", "steward")
    # The change itself, its payload, three errors as a list is counted, and the customer.
    assert answer["extensions"]["cost"] == {
        "requested": 10 + 1 + 3 + 1,
        "actual": 15,
        "limit": 5_000,
    }


async def test_same_text_is_planned_once_whatever_its_input(graph: Graph) -> None:
    mutation = """mutation ($input: MergeCustomersInput!) {
        mergeCustomers(input: $input) { customer { id name } errors { code } } }"""
    for pair in ((1, 2), (1, 3)):
        given = {"customerIds": [gid("Customer", one) for one in pair], "reason": f"{pair}"}
        data = await graph.read(mutation, input=given)
        assert data["mergeCustomers"]["errors"] == []
    assert await counts(graph) == (1, 2)


async def test_mutation_is_no_matter_of_get_or_of_forms(graph: Graph) -> None:
    mutation = f"mutation {{ {merging(1, 2)} }}"
    headers = {"authorization": f"Bearer {graph.keys['admin']}"}
    got = await graph.http.get("/graphql", params={"query": mutation}, headers=headers)
    assert got.headers["content-type"].startswith("text/html")
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = await graph.http.post(
            "/graphql",
            content=b'{"query": "' + mutation.replace('"', '\\"').encode() + b'"}',
            headers={**headers, "content-type": content_type},
        )
        assert response.status_code == 415
    assert await counts(graph) == (3, 0)


def test_writers_who_meet_are_asked_to_try_again() -> None:
    for error in (asyncpg.DeadlockDetectedError("x"), asyncpg.SerializationError("x")):
        assert error_body(error)["extensions"]["code"] == "UNAVAILABLE"
