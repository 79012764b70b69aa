"""Carries out a mutation: field after field, each in a writing transaction of its own."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from graphql import GraphQLError
from graphql.execution.values import VariableValues
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import READ_TIMEOUT_MILLISECONDS, Database, driver
from cdp.errors import CdpError
from cdp.keys import Viewer
from cdp.workspace import Workspace, take_turn
from schema.deeds import ERRORS, INPUT, Caller, Outcome
from schema.errors import CODES
from schema.limits import EXECUTION_SECONDS
from schema.metrics import STATEMENTS
from schema.statement import Given, Step, Steps

_STEPS: Final = re.compile(r"[^.\[\]]+")
"""Of a place such as `filter.or[1].country`: each name and number."""

EXPECTED: Final = frozenset({"BAD_REQUEST", "NOT_FOUND"})
"""Of the codes of GraphQL errors, those that a use case tells in its payload instead."""

_SETTINGS: Final = (
    "SELECT set_config('TimeZone', 'UTC', true), set_config('statement_timeout', $1, true)"
)
"""As those who read have it: moments are written alike, and no statement runs for ever."""

ReadWorkspace = Callable[[AsyncConnection], Awaitable[Workspace]]


@dataclass(frozen=True, slots=True)
class Performer:
    """One request's mutation: where it writes, who asks, and when it must be done."""

    database: Database
    read_workspace: ReadWorkspace
    viewer: Viewer
    variables: VariableValues
    as_of: datetime

    async def perform(self, steps: Steps) -> bytes:
        """Do the steps; the answer's data, as JSON.

        Raises GraphQLError, with its place, for the first step that fails: it has written nothing,
        and those before it are kept. A step that is not committed when the time is up fails.
        """
        deadline = asyncio.get_running_loop().time() + EXECUTION_SECONDS
        for each in steps.values():
            if each is not None:
                self._arguments(each, Outcome({}))  # malformed ones are refused before all else
        parts: list[bytes] = []
        for key, step in steps.items():
            try:
                value = b'"Mutation"' if step is None else await self._step(step, deadline)
            except Exception as error:
                nodes = None if step is None else [step.node]
                raise GraphQLError(str(error), nodes, path=[key], original_error=error) from error
            parts.append(msgspec.json.encode(key) + b":" + value)
        return b"{" + b",".join(parts) + b"}"

    async def _step(self, step: Step, deadline: float) -> bytes:
        """Run the use case and read its payload, in one transaction."""
        async with AsyncExitStack() as stack:
            # Within the time: all but the commit, of which nobody could tell whether it came.
            async with asyncio.timeout_at(deadline):
                connection = await stack.enter_async_context(self.database.transaction())
                await connection.exec_driver_sql(_SETTINGS, (str(READ_TIMEOUT_MILLISECONDS),))
                given = step.input(self.variables)
                caller = await self._caller(connection, alone=step.deed.is_alone(given))
                savepoint = await connection.begin_nested()
                try:
                    outcome = await step.deed.run(connection, given, caller)
                except CdpError as error:
                    await savepoint.rollback()
                    outcome = _declined(error)
                payload = await self._read(connection, step, outcome)
                if not outcome.is_kept:  # the preview of a change, whose payload has shown it
                    await savepoint.rollback()
        return payload

    async def _caller(self, connection: AsyncConnection, *, alone: bool) -> Caller:
        """With the settings that are in force until the transaction ends."""
        await take_turn(connection, alone=alone)
        return Caller(self.viewer, await self.read_workspace(connection), self.as_of)

    async def _read(self, connection: AsyncConnection, step: Step, outcome: Outcome) -> bytes:
        STATEMENTS.inc()
        arguments = self._arguments(step, outcome)
        row = await (await driver(connection)).fetchrow(step.payload.sql, *arguments)
        assert row is not None  # a payload is one row
        data: bytes = row["data"]
        return data

    def _arguments(self, step: Step, outcome: Outcome) -> list[object]:
        encoded = msgspec.json.encode(outcome.row).decode()
        return step.payload.arguments(Given(self.variables, self.as_of, encoded))


def _declined(error: CdpError) -> Outcome:
    """A refusal that the caller can expect, as the payload tells it; any other is raised again."""
    if error.code in CODES - EXPECTED:
        raise error
    path = getattr(error, "path", None)
    told = {
        "code": error.code,
        "message": str(error),
        "path": [INPUT, *_STEPS.findall(path)] if path else None,
    }
    return Outcome({ERRORS: [told]})
