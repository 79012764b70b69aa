"""Whoever is due resolved anew, step by step: each a transaction, so that writers wait for one.

Rules and pairs in force hold for every component from the moment when they are: whoever writes
meanwhile resolves what it touches by them. The steps bring the rest up to date; what is left of
them is written down, so that after a crash the next run goes on where this one was.
"""

from dataclasses import dataclass
from typing import Final

from cdp.database import Database
from cdp.database import driver as driver_of
from cdp.identity.census.survey import who_changes
from cdp.identity.collector import without_collector
from cdp.identity.due import note, survey_due, take
from cdp.identity.ledger import Cause
from cdp.identity.rules import read_rules
from cdp.remap import Tally, moment_of, remap_all
from cdp.workspace import Workspace, require_in_force, take_turn

MOST_STEPS: Final = 1_000_000  # five hundred people each: more than there are


@dataclass(slots=True)
class Taken:
    """What steps have changed: entries of the ledger, and how many customers there are more."""

    joined: int = 0
    parted: int = 0
    more_customers: int = 0

    def add(self, step: Tally) -> None:
        """Count one more."""
        self.joined += step.joined
        self.parted += step.parted
        self.more_customers += step.more_customers


async def take_steps(database: Database, workspace: Workspace) -> Taken:
    """Take all steps that are due; returns what they changed."""
    taken = Taken()
    for _ in range(MOST_STEPS):
        with without_collector():
            step = await take_step(database, workspace)
        if step is None:
            return taken
        taken.add(step)
    raise AssertionError("somebody adds steps as fast as they are taken")


async def take_step(database: Database, workspace: Workspace) -> Tally | None:
    """Take one step; None where none is due, but for those that others are at.

    Whoever was in a step before is resolved again: since then somebody may have found out more.
    """
    if await _survey(database):
        return Tally()
    async with database.transaction() as connection:
        await take_turn(connection, alone=False)
        await require_in_force(connection, workspace)
        driver = await driver_of(connection)
        due = await take(driver)
        if due is None:
            return None
        rules, at = await read_rules(driver), await moment_of(connection)
        cause = Cause(due.actor, due.reason)
        return await remap_all(connection, due.profile_ids, rules, cause, at, workspace)


async def _survey(database: Database) -> bool:
    """Find out who of everybody changes, where that is due, and make steps of them."""
    async with database.read_only() as connection:
        driver = await driver_of(connection)
        survey = await survey_due(driver)
        if survey is None:
            return False
        changing = await who_changes(driver)
    async with database.transaction() as connection:
        driver = await driver_of(connection)
        due = await take(driver, survey)
        if due is not None:  # nobody else has found out meanwhile
            await note(driver, changing, actor=due.actor, reason=due.reason)
    return True
