"""Answers a question of our own, such as a command's: by the statement that a client would get."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from cdp.database import Database
from cdp.identity.rules import read_survivorship
from cdp.keys import VIEWERS, Role
from cdp.workspace import Workspace
from schema.edges import Value
from schema.operation import Asked, Operations
from schema.root import build_schema
from schema.statement import Given


async def ask(
    database: Database, query: str, variables: Mapping[str, Value], workspace: Workspace
) -> Value:
    """The data of a query, as whoever owns the machine may read it. Raises BadInput.

    For queries whose fields are all planned: what is loaded needs a server.
    """
    schema = build_schema()._schema  # noqa: SLF001  Strawberry has no public name for it
    operation = Operations(schema).read(query, None)
    assert not operation.is_walked, "the query names a loaded field"
    values = operation.variables(variables)
    async with database.read_only() as connection:
        survivorship = await read_survivorship(connection)
    asked = Asked(variables, values, VIEWERS[Role.ADMIN], workspace, survivorship)
    statement = operation.statement(asked)
    row = await statement.fetch(database.reader, Given(values, datetime.now(UTC)))
    return msgspec.json.decode(row["data"])
