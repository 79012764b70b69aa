"""Batch resolution: linkage over all source profiles, and the map brought up to date by it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import msgspec
import pyarrow as pa

from cdp.database import Database
from cdp.database import driver as driver_of
from cdp.errors import CdpError
from cdp.identity.ledger import Cause
from cdp.identity.linkage.linking import Linkage, score, train
from cdp.identity.linkage.model import Model
from cdp.identity.linkage.reading import Everybody, read_answers, read_everybody
from cdp.identity.linkage.vectors import Engine, compare_here
from cdp.identity.linkage.writing import load_model, store_everything, store_model, store_new
from cdp.identity.rules import LinkageDocument, read_document, rules_of
from cdp.remap import moment_of, remap_all
from cdp.rulechange import apply_rules
from cdp.values import ProfileId
from cdp.workspace import Workspace, take_turn

ACTOR: Final = "linkage"
GROWN: Final = 2.0
"""Times the profiles that a model was trained on: names are as rare then as it says no more."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a run did. `is_full`: a model was trained and everybody resolved anew.

    `profiles` were there, `compared` of them new or changed; `candidates` pairs were compared, of
    which `joining` are heavy enough to join and `asking` to ask; `joined` and `parted` count the
    entries of the ledger, `more_customers` how many customers there are more.
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
    decided: int
    joined: int
    parted: int
    more_customers: int
    link_seconds: float
    seconds: float


async def resolve_batch(
    database: Database, workspace: Workspace, *, full: bool, engine: Engine = compare_here
) -> Resolved:
    """Link the profiles that linkage has not compared yet; all of them with `full`.

    Trains where there is no model, where there are twice as many profiles as it was trained on, or
    where somebody new is alike in a way that it has not seen. Raises CdpError UNTRAINED where there
    is too little to learn from, and whatever the engine raises.
    """
    started = time.monotonic()
    async with database.read_only() as connection:
        driver = await driver_of(connection)
        version, document, model_version = await read_document(driver)
        everybody = await read_everybody(driver, rules_of(version, document, model_version))
        answers = await read_answers(driver)
        model = None if model_version is None else await load_model(driver, model_version)
    profiles = everybody.profiles
    if model is None or profiles.num_rows > GROWN * model.frequencies.profiles:
        full = True
    linked_at = time.monotonic()
    linkage = None
    if model is not None and not full:
        linkage = await _scored(profiles, model, everybody.new, engine)
    if linkage is None:
        full = True
        linkage = await asyncio.to_thread(train, profiles, answers, engine)
    link_seconds = time.monotonic() - linked_at
    write = _apply if full else _add
    change = await write(database, workspace, linkage, everybody)
    found = linkage.model
    return Resolved(
        is_full=full,
        model_version=change.model_version,
        profiles=profiles.num_rows,
        compared=profiles.num_rows if full else len(everybody.new),
        candidates=linkage.candidates,
        joining=linkage.joining,
        asking=linkage.asking,
        join_weight=found.join_weight,
        review_weight=found.review_weight,
        decided=found.calibration.decided,
        joined=change.joined,
        parted=change.parted,
        more_customers=change.more_customers,
        link_seconds=link_seconds,
        seconds=time.monotonic() - started,
    )


async def _scored(
    profiles: pa.Table, model: Model, new: frozenset[int], engine: Engine
) -> Linkage | None:
    """The pairs of who is new; None where the model cannot judge one of them."""
    try:
        return await asyncio.to_thread(score, profiles, model, new, engine)
    except CdpError as error:
        if error.code != "UNTRAINED":
            raise
        return None


@dataclass(frozen=True, slots=True)
class _Change:
    """How the map changed, under which model."""

    model_version: int
    joined: int
    parted: int
    more_customers: int


async def _apply(
    database: Database, workspace: Workspace, linkage: Linkage, everybody: Everybody
) -> _Change:
    """Put a new model and its cuts in force; everybody is resolved anew."""
    async with database.transaction() as connection:
        await take_turn(connection, alone=True)
        driver = await driver_of(connection)
        version = await store_model(driver, linkage.model)
        await store_everything(driver, linkage, everybody, version)
        _, document, _ = await read_document(driver)
        cuts = LinkageDocument(linkage.model.join_weight, linkage.model.review_weight)
        difference = await apply_rules(
            connection,
            msgspec.structs.replace(document, linkage=cuts),
            workspace,
            actor=ACTOR,
            reason=f"Linkage model {version} with cuts made for these data.",
            model_version=version,
        )
    more = difference.customers_after - difference.customers_before
    return _Change(version, difference.joined, difference.parted, more)


async def _add(
    database: Database, workspace: Workspace, linkage: Linkage, everybody: Everybody
) -> _Change:
    """Add the pairs of who is new; those whom they touch are resolved anew."""
    async with database.transaction() as connection:
        await take_turn(connection, alone=False)
        driver = await driver_of(connection)
        version, document, model_version = await read_document(driver)
        assert model_version is not None
        await store_new(driver, linkage, everybody, model_version)
        rules = rules_of(version, document, model_version)
        ends = {
            ProfileId(int(one))
            for side in ("left_id", "right_id")
            for one in linkage.pairs[side].to_numpy()
        }
        cause = Cause(ACTOR, f"Linkage compared {len(everybody.new)} source profiles.")
        touched = sorted(ends | {ProfileId(one) for one in everybody.new})
        at = await moment_of(connection)
        tally = await remap_all(connection, touched, rules, cause, at, workspace)
    return _Change(model_version, tally.joined, tally.parted, tally.more_customers)
