"""Statements that evaluate segments, tried: one that fails leaves no trace, and says why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import asyncpg

from cdp.segments.difference import Moves
from cdp.statements import Statement

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

STATEMENT_AT_FAULT: Final = ("21", "22", "42", "54")
"""Classes of SQLSTATE that come of what is asked and of what is stored, and come again: a number of
rows, a value out of range, a name that means nothing, a limit of PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an evaluation came to; `errors`: why a segment, by number, cannot be evaluated."""

    moves: Moves
    errors: Mapping[int, str] = field(default_factory=dict)

    def with_one(self, number: int, found: Moves | str) -> "Found":
        """The same with what one more segment came to by itself."""
        if isinstance(found, str):
            return Found(self.moves, {**self.errors, number: found})
        return Found(self.moves + found, self.errors)


async def attempt(
    driver: Driver, statements: Sequence[Statement], values: Mapping[str, object]
) -> Moves | str:
    """Run all of them or none: where one is at fault itself, why, and the transaction goes on."""
    try:
        async with driver.transaction():
            return await run(driver, statements, values)
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if not state.startswith(STATEMENT_AT_FAULT):
            raise
        # Not in PostgreSQL's words, which may hold a value of somebody's.
        return f"PostgreSQL cannot evaluate it: {type(error).__name__}, SQLSTATE {state}."


async def run(
    driver: Driver, statements: Sequence[Statement], values: Mapping[str, object]
) -> Moves:
    """What they came to, one after another."""
    total = Moves(0, 0)
    for statement in statements:
        ((entered, exited),) = await statement.fetch(driver, values)
        total += Moves(entered, exited)
    return total
