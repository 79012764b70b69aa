"""What a new mutation needs: an input, a use case, a payload; here one of the tests' own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx
import pytest
import strawberry
from sqlalchemy import BigInteger, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.schema.config import StrawberryConfig

from cdp import tables
from cdp.database import Database
from cdp.errors import BadInput, CdpError, Forbidden, NotFound
from cdp.keys import VIEWERS, Role, Viewer
from cdp.survivorship_rules import DEFAULT, Survivorship
from cdp.workspace import Workspace, read_workspace, write_setting
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Branch, One, Row, Value, column, planned, row_of
from schema.root import Query
from schema.scalars import SCALARS
from schema.types.customer import Customer
from schema.types.order import Order
from schema.types.payload import USER_ERRORS, UserError
from schema.types.source import Source
from schema.types.timeline import ENTRY_TYPES
from schema.view import GraphQLView
from tests.schema.business import NOW

pytestmark = pytest.mark.anyio


@strawberry.input(description="A source to be.")
class AddSourceInput:
    """What the use case takes."""

    name: str = strawberry.field(description="Its name, or the name of an error.")


def _source(payload: Row) -> Branch:
    source = tables.source.alias()
    query = select().select_from(source).where(source.c.id == payload.table.c.source_id)
    return Branch("Source", row_of(source, payload.scene), query)


@strawberry.type(description="The source that was added.")
class AddSourcePayload:
    """Ids become objects, plain values are columns."""

    source: Source | None = planned(One(_source), "The source.")
    word: str | None = column("word", "A plain value.")
    errors: list[UserError] = USER_ERRORS


ERRORS: Final[Mapping[str, Exception]] = {
    "taken": CdpError("TAKEN", "The name is taken.", todo="Take another."),
    "bad": BadInput("That is no name.", path="name"),
    "missing": NotFound("There is no such thing."),
    "forbidden": Forbidden("Not by you."),
    "broken": RuntimeError("secret"),
}


async def _add(connection: AsyncConnection, given: Mapping[str, Value], caller: Caller) -> Outcome:
    name = given["name"]
    source_id = await connection.scalar(
        tables.source.insert().values(name=name, connector="file").returning(tables.source.c.id)
    )
    if name in ERRORS:
        raise ERRORS[name]
    word = f"{caller.viewer.name} {caller.workspace.currency} {caller.as_of:%Y}"
    return Outcome({"source_id": source_id, "word": None if name == "mute" else word})


@strawberry.type(description="Where the tests write.")
class Mutation:
    """One field."""

    add_source: AddSourcePayload = deed(
        Deed(_add, {"source_id": BigInteger(), "word": Text()}), AddSourceInput, "Add a source."
    )


@asynccontextmanager
async def serving(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The view over a schema with that mutation; readers remember an old currency."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[Customer, Order, Source, *ENTRY_TYPES],
        config=StrawberryConfig(scalar_map=dict(SCALARS)),
    )

    async def viewer_of(_: object) -> Viewer:
        return VIEWERS[Role.ADMIN]

    async def workspace() -> Workspace:
        return Workspace(currency="EUR")

    async def survivorship() -> Survivorship:
        return DEFAULT

    view = GraphQLView(
        schema._schema,  # noqa: SLF001  Strawberry has no public name for it
        lambda: database,
        viewer_of,
        workspace,
        survivorship,
        read_workspace,
        lambda: NOW,
    )
    transport = httpx.ASGITransport(Starlette(routes=[Route("/", view, methods=["POST"])]))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


ADD = """mutation ($name: String!) { addSource(input: {name: $name}) {
    source { name state } word errors { code message path } } }"""


async def ask(database: Database, name: str, query: str = ADD) -> Value:
    async with serving(database) as client:
        body = {"query": query, "variables": {"name": name}}
        return (await client.post("/", json=body)).json()


async def names(database: Database) -> list[str]:
    async with database.read_only() as connection:
        rows = await connection.execute(select(tables.source.c.name))
        return [row.name for row in rows]


async def test_payload_is_read_from_what_the_use_case_gives_back(database: Database) -> None:
    answer = await ask(database, "shop")
    assert answer["data"]["addSource"] == {
        "source": {"name": "shop", "state": "NEW"},
        "word": "local EUR 2026",
        "errors": [],
    }
    assert await names(database) == ["shop"]


async def test_use_case_gets_the_settings_that_are_in_force(database: Database) -> None:
    async with database.transaction() as connection:
        await write_setting(connection, "currency", "DKK")
    answer = await ask(database, "shop")
    assert answer["data"]["addSource"]["word"] == "local DKK 2026"


async def test_value_that_a_use_case_leaves_out_is_null(database: Database) -> None:
    assert (await ask(database, "mute"))["data"]["addSource"]["word"] is None


async def test_what_is_loaded_is_loaded_after_the_payload_was_written(database: Database) -> None:
    query = """mutation ($name: String!) { __typename one: addSource(input: {name: $name}) {
        source { __typename key: name deadLetterCount lastRun { counts } } errors { code } } }"""
    answer = await ask(database, "shop", query)
    assert "errors" not in answer
    assert answer["data"] == {
        "__typename": "Mutation",
        "one": {
            "source": {
                "__typename": "Source",
                "key": "shop",
                "deadLetterCount": 0,
                "lastRun": None,
            },
            "errors": [],
        },
    }


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("taken", {"code": "TAKEN", "message": "The name is taken. Take another.", "path": None}),
        (
            "bad",
            {"code": "BAD_REQUEST", "message": "That is no name.", "path": ["input", "name"]},
        ),
        ("missing", {"code": "NOT_FOUND", "message": "There is no such thing.", "path": None}),
    ],
)
async def test_refusal_of_the_domain_is_told_in_the_payload_and_nothing_is_written(
    database: Database, name: str, error: Value
) -> None:
    payload = (await ask(database, name))["data"]["addSource"]
    assert payload == {"source": None, "word": None, "errors": [error]}
    assert await names(database) == []


@pytest.mark.parametrize(("name", "code"), [("forbidden", "FORBIDDEN"), ("broken", "INTERNAL")])
async def test_any_other_error_is_one_of_the_answer_and_nothing_is_written(
    database: Database, name: str, code: str
) -> None:
    answer = await ask(database, name)
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == code
    assert answer["errors"][0]["path"] == ["addSource"]
    assert "secret" not in str(answer)
    assert await names(database) == []
