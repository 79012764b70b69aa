"""Another version of the rules of identity: tried first, then applied exactly as it was shown."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ARRAY, BigInteger, any_, delete, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.customers import choose_anew, count_described_otherwise
from cdp.database import driver as driver_of
from cdp.errors import CdpError
from cdp.identity.due import forget
from cdp.identity.ledger import Cause
from cdp.identity.resolve import Move, peek
from cdp.identity.rules import (
    Document,
    read_document,
    rules_of,
    rules_text,
    write_rules,
)
from cdp.remap import REMAP_BATCH, Tally, every_profile, moment_of, remap_all
from cdp.segments.refresh import mark_due
from cdp.survivorship_rules import Survivorship
from cdp.values import ProfileId
from cdp.workspace import Workspace, require_in_force, take_turn

TOKEN_LETTERS: Final = 16  # of a digest, in hexadecimal: no two changes are taken for one


@dataclass(frozen=True, slots=True)
class Difference:
    """What another document would change, or has changed.

    `token` names exactly this change; `moves` are the first of them, with the `names` of those who
    move. `joined` and `parted` count every change of the map. `described_otherwise` counts
    customers who are there before and for whom other claims win: 0 while survivorship stays;
    `by_attribute` those of them with another value of each attribute. `unknown_sources` are named
    by the document and are not there, or not yet: they come last.
    """

    token: str
    customers_before: int
    customers_after: int
    joined: int
    parted: int
    described_otherwise: int
    by_attribute: Mapping[str, int]
    unknown_sources: Sequence[str]
    moves: Sequence[Move]
    names: Mapping[ProfileId, str]


async def try_rules(connection: AsyncConnection, document: Document) -> Difference:
    """What the map would be under this document; nothing is written and nobody waits.

    The connection should have one view of the data from start to end (`Database.read_only`).
    """
    driver = await driver_of(connection)
    version, former, model_version = await read_document(driver)
    described = await _described_otherwise(connection, former, document)
    rules, tally = rules_of(version + 1, document, model_version), Tally()
    everybody = await every_profile(connection)
    for start in range(0, len(everybody), REMAP_BATCH):
        batch = everybody[start : start + REMAP_BATCH]
        rest = [one for one in batch if one not in tally.seen]
        tally.add(await peek(driver, rest, rules))
    before = await _count_customers(connection)
    return await _difference(connection, document, tally, before, described)


async def apply_rules(
    connection: AsyncConnection,
    document: Document,
    workspace: Workspace,
    *,
    actor: str,
    reason: str,
    token: str | None = None,
    model_version: int | None = None,
) -> Difference:
    """Put a document in force and bring everybody up to date, in the caller's transaction.

    Writers wait meanwhile. Raises CdpError CHANGED where the outcome is not the one that `token`
    names, as when records have arrived since: then nothing is changed. `model_version`: another
    linkage model comes with it; None keeps the one in force.
    """
    await take_turn(connection, alone=True)
    await require_in_force(connection, workspace)
    driver = await driver_of(connection)
    _, former, former_model = await read_document(driver)
    described = await _described_otherwise(connection, former, document)
    model = model_version or former_model
    version = await write_rules(driver, document, model_version=model, actor=actor, reason=reason)
    rules, before = rules_of(version, document, model), await _count_customers(connection)
    # Blocks and questions are those of the former rules: all are found anew.
    await connection.execute(delete(tables.blocked_value))
    await connection.execute(delete(tables.match_review))
    everybody = await every_profile(connection)
    cause, at = Cause(actor, reason), await moment_of(connection)
    tally = await remap_all(connection, everybody, rules, cause, at, workspace)
    await forget(driver)
    if rules.survivorship != former.chosen():
        await choose_anew(connection, rules.survivorship)
        await mark_due(connection, "rules changed")
    difference = await _difference(connection, document, tally, before, described)
    if token is not None and token != difference.token:
        raise CdpError(
            "CHANGED",
            f"The rules would not change just what was shown with the token {token[:80]!r}.",
            todo="Try them again: records have arrived since, or the token is of other rules.",
        )
    return difference


async def _difference(
    connection: AsyncConnection,
    document: Document,
    tally: Tally,
    customers_before: int,
    described: Counter[str],
) -> Difference:
    digest = hashlib.sha256(rules_text(document).encode())
    digest.update(b"%d\n" % described["customers"])
    for profile_id, customer_id in sorted(tally.moved):
        digest.update(b"%d %d\n" % (profile_id, customer_id))
    return Difference(
        token=digest.hexdigest()[:TOKEN_LETTERS],
        customers_before=customers_before,
        customers_after=customers_before + tally.more_customers,
        joined=tally.joined,
        parted=tally.parted,
        described_otherwise=described["customers"],
        by_attribute={
            name: count for name, count in described.items() if count and name != "customers"
        },
        unknown_sources=await _unknown_sources(connection, document.chosen()),
        moves=tally.moves,
        names=await _names(connection, tally.moves),
    )


async def _described_otherwise(
    connection: AsyncConnection, former: Document, document: Document
) -> Counter[str]:
    """Of the customers who are there now; not looked for where survivorship stays as it is."""
    if document.chosen() == former.chosen():
        return Counter()
    return await count_described_otherwise(connection, document.chosen())


async def _unknown_sources(
    connection: AsyncConnection, survivorship: Survivorship
) -> Sequence[str]:
    known = set(await connection.scalars(select(tables.source.c.name)))
    return [name for name in survivorship.sources if name not in known]


async def _count_customers(connection: AsyncConnection) -> int:
    profile = tables.source_profile
    count = await connection.scalar(select(func.count(profile.c.customer_id.distinct())))
    return int(count or 0)


async def _names(connection: AsyncConnection, moves: Sequence[Move]) -> Mapping[ProfileId, str]:
    """What those who move, and those whom they join or leave, are called; empty where unknown."""
    shown = {one for move in moves for one in (*move.profile_ids, *move.other_ids)}
    profile = tables.source_profile
    parts = func.concat_ws(" ", profile.c.first_name, profile.c.last_name)
    rows = await connection.execute(
        select(profile.c.id, func.coalesce(profile.c.full_name, parts)).where(
            profile.c.id == any_(literal(list(shown), ARRAY(BigInteger)))
        )
    )
    return {ProfileId(row[0]): row[1] for row in rows}
