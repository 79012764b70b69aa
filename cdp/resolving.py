"""Batch resolution: linkage over all source profiles, and the map brought up to date by it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg
import msgspec
import pyarrow as pa

from cdp.database import Database
from cdp.database import driver as driver_of
from cdp.errors import CdpError
from cdp.identity.due import in_steps, note, note_everybody
from cdp.identity.ledger import withdraw_pairs
from cdp.identity.linkage.linking import Linkage, score, train
from cdp.identity.linkage.model import Model
from cdp.identity.linkage.reading import Everybody, read_answers, read_everybody
from cdp.identity.linkage.vectors import Engine, compare_here
from cdp.identity.linkage.writing import load_model, store_everything, store_model, store_new
from cdp.identity.rules import (
    Cuts,
    LinkageDocument,
    cuts_of,
    read_document,
    rules_of,
    who_set_cuts,
    write_rules,
)
from cdp.stepping import take_steps
from cdp.values import ProfileId
from cdp.workspace import Workspace, take_turn

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ACTOR: Final = "linkage"
RUN_LOCK: Final = 7_365_013  # any number, the same for all runs
GROWN: Final = 2.0
"""Times the profiles that a model was trained on: names are as rare then as it says no more."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a run did. `is_full`: a model was trained and everybody resolved anew.

    `profiles` were there, `compared` of them new or changed; `candidates` pairs were compared, of
    which `joining` are heavy enough to join and `asking` to ask; `joined` and `parted` count the
    entries of the ledger, `more_customers` how many customers there are more. `join_weight` and
    `review_weight` are the cuts in force, after `former`; `calibrated` those made for the data;
    `held_by` is the person whose cuts are kept instead.
    """

    is_full: bool
    model_version: int
    profiles: int
    compared: int
    candidates: int
    joining: int
    asking: int
    join_weight: float
    review_weight: float
    former: Cuts
    calibrated: Cuts
    held_by: str | None
    decided: int
    joined: int
    parted: int
    more_customers: int
    link_seconds: float
    seconds: float


async def resolve_batch(
    database: Database,
    workspace: Workspace,
    *,
    full: bool,
    calibrate: bool = False,
    engine: Engine = compare_here,
) -> Resolved:
    """Link the profiles that linkage has not compared yet; all of them with `full`.

    Trains where there is no model, where there are twice as many profiles as it was trained on, or
    where somebody new is alike in a way that it has not seen. Cuts that a person set stay;
    `calibrate` trains, and makes them for the data again. Raises CdpError UNTRAINED where there
    is too little to learn from, CHANGED where another run has put a model in force meanwhile, and
    whatever the engine raises. What it finds is put in force at once, and the map follows in steps;
    those that a run before has left are taken too.
    """
    started = time.monotonic()
    async with database.read_only() as connection:
        driver = await driver_of(connection)
        version, document, model_version = await read_document(driver)
        everybody = await read_everybody(driver, rules_of(version, document, model_version))
        answers = await read_answers(driver)
        former, held_by = cuts_of(document), await _held_by(driver)
        model = None if model_version is None else await load_model(driver, model_version)
    profiles = everybody.profiles
    if model is None or profiles.num_rows > GROWN * model.frequencies.profiles:
        full = True
    if calibrate:
        full, held_by = True, None
    linked_at = time.monotonic()
    linkage = None
    if model is not None and not full:
        linkage = await _scored(profiles, model, everybody.new, engine, former)
    if linkage is None:
        full = True
        held = former if held_by else None
        linkage = await asyncio.to_thread(train, profiles, answers, engine, held)
    link_seconds = time.monotonic() - linked_at
    if full:
        model_version = await _put_in_force(database, linkage, everybody, former, held_by)
    else:
        model_version = await _add(database, linkage, everybody, model_version)
    taken = await take_steps(database, workspace)
    found = linkage.model
    calibrated = Cuts(found.join_weight, found.review_weight)
    in_force = former if held_by or not full else calibrated
    return Resolved(
        is_full=full,
        model_version=model_version,
        profiles=profiles.num_rows,
        compared=profiles.num_rows if full else len(everybody.new),
        candidates=linkage.candidates,
        joining=linkage.joining,
        asking=linkage.asking,
        join_weight=in_force.join_weight,
        review_weight=in_force.review_weight,
        former=former,
        calibrated=calibrated,
        held_by=held_by,
        decided=found.calibration.decided,
        joined=taken.joined,
        parted=taken.parted,
        more_customers=taken.more_customers,
        link_seconds=link_seconds,
        seconds=time.monotonic() - started,
    )


async def _held_by(driver: Driver) -> str | None:
    """The person who set the cuts that are in force; None where no person did."""
    actor = await who_set_cuts(driver)
    return None if actor == ACTOR else actor


async def _scored(
    profiles: pa.Table, model: Model, new: frozenset[int], engine: Engine, held: Cuts
) -> Linkage | None:
    """The pairs of who is new; None where the model cannot judge one of them."""
    try:
        return await asyncio.to_thread(score, profiles, model, new, engine, held)
    except CdpError as error:
        if error.code != "UNTRAINED":
            raise
        return None


async def _put_in_force(
    database: Database,
    linkage: Linkage,
    everybody: Everybody,
    former: Cuts,
    held_by: str | None,
) -> int:
    """Put a new model and its cuts in force, everybody due; returns the model's version.

    `former`: the cuts in force when the run began; `held_by`: the person who set them, if they
    stay. Raises CdpError CHANGED where they are others by now: pairs were stored by them. Writers
    wait for the last statements alone: before them nothing is locked that they write.
    """
    async with database.transaction() as connection:
        driver = await driver_of(connection)
        await _take_turn_of_runs(driver)
        version = await store_model(driver, linkage.model)
        await store_everything(driver, linkage, everybody, version)
        await take_turn(connection, alone=True)
        _, document, _ = await read_document(driver)
        if cuts_of(document) != former:
            raise CdpError(
                "CHANGED",
                "The cuts of linkage were changed while this run compared by those before.",
                todo="Run cdp resolve again.",
            )
        reason = f"Linkage model {version} with the cuts that {held_by} set."
        if held_by is None:
            cuts = LinkageDocument(linkage.model.join_weight, linkage.model.review_weight)
            document = msgspec.structs.replace(document, linkage=cuts)
            reason = f"Linkage model {version} with cuts made for these data."
        await write_rules(driver, document, model_version=version, actor=ACTOR, reason=reason)
        await withdraw_pairs(driver)
        await note_everybody(driver, actor=ACTOR, reason=reason)
    return version


async def _add(
    database: Database, linkage: Linkage, everybody: Everybody, scored_by: int | None
) -> int:
    """Add the pairs of who is new, those whom they touch due; returns the model's version."""
    async with database.transaction() as connection:
        driver = await driver_of(connection)
        await _take_turn_of_runs(driver)
        await take_turn(connection, alone=False)
        _, _, model_version = await read_document(driver)
        if model_version is None or model_version != scored_by:
            raise CdpError(
                "CHANGED",
                "Another linkage model came in force while this run compared by the one before.",
                todo="Run cdp resolve again.",
            )
        await store_new(driver, linkage, everybody, model_version)
        ends = (linkage.pairs[side].to_numpy() for side in ("left_id", "right_id"))
        touched = {*everybody.new, *(int(one) for side in ends for one in side)}
        reason = f"Linkage compared {len(everybody.new)} source profiles."
        steps = in_steps(sorted(map(ProfileId, touched)))
        await note(driver, steps, actor=ACTOR, reason=reason)
    return model_version


async def _take_turn_of_runs(driver: Driver) -> None:
    """Wait for another run to have stored what it found; held until the transaction ends."""
    await driver.execute("SELECT pg_advisory_xact_lock($1)", RUN_LOCK)
