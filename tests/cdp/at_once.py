"""The oracle of identity: everything that a database holds as evidence, clustered at once.

It reads whole tables and none of the code that reads components, takes locks or remembers blocks.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import driver
from cdp.identity.bounds import too_shared, tying
from cdp.identity.cluster import partition
from cdp.identity.component import HOLDERS, PERSONS
from cdp.identity.evidence import CONTACT, Decision, Evidence, Identifier, Pair, Ties, Verdict
from cdp.identity.names import Person
from cdp.identity.outcome import Partition
from cdp.identity.rules import Rules, read_rules
from cdp.values import CustomerId, ProfileId


@dataclass(frozen=True, slots=True)
class AtOnce:
    """What the evidence gives; `blocked`: why a value joins nobody."""

    evidence: Mapping[ProfileId, Evidence]
    ties: Ties
    blocked: Mapping[Identifier, str]
    partition: Partition

    @property
    def customer_of(self) -> dict[ProfileId, CustomerId]:
        """The map: a customer bears the id of its earliest profile."""
        return {
            one: CustomerId(min(members)) for members in self.partition.customers for one in members
        }


async def at_once(connection: AsyncConnection) -> AtOnce:
    """Cluster everything under the rules in force."""
    rules = await read_rules(await driver(connection))
    evidence = {one.profile_id: one for one in await _evidence(connection)}
    ties = Ties(await _decisions(connection), await _pairs(connection, rules))
    blocked = _blocked(list(evidence.values()), rules)
    return AtOnce(evidence, ties, blocked, partition(evidence.values(), rules, blocked, ties))


async def rows_of(connection: AsyncConnection, table: Table) -> Sequence[RowMapping]:
    """Every row, in the order of the primary key."""
    rows = await connection.execute(select(table).order_by(*table.primary_key.columns))
    return rows.mappings().all()


async def _evidence(connection: AsyncConnection) -> list[Evidence]:
    current, ever = defaultdict(set), defaultdict(set)
    for row in await rows_of(connection, tables.identifier):
        said = Identifier(row["kind"], row["value"])
        ever[row["source_profile_id"]].add(said)
        if row["is_current"]:
            current[row["source_profile_id"]].add(said)
    names = {row["id"]: row["name"] for row in await rows_of(connection, tables.source)}
    return [
        Evidence(
            ProfileId(row["id"]),
            (names[row["source_id"]], row["stream"], row["key"]),
            Person(row["given_key"], row["family_key"], row["birth_date"]),
            row["stream"] == CONTACT,
            frozenset(current[row["id"]]),
            ever[row["id"]],
            row["compared_digest"],
        )
        for row in await rows_of(connection, tables.source_profile)
    ]


async def _decisions(connection: AsyncConnection) -> list[Decision]:
    sides: dict[tuple[int, str], set[ProfileId]] = defaultdict(set)
    for row in await rows_of(connection, tables.decision_member):
        sides[row["decision_id"], row["side"]].add(ProfileId(row["source_profile_id"]))
    return [
        Decision(
            row["id"],
            row["at"],
            Verdict(row["kind"]),
            frozenset(sides[row["id"], "left"]),
            frozenset(sides[row["id"], "right"]),
        )
        for row in await rows_of(connection, tables.identity_decision)
        if row["retracted_at"] is None
    ]


async def _pairs(connection: AsyncConnection, rules: Rules) -> list[Pair]:
    digests = {
        row["id"]: row["compared_digest"]
        for row in await rows_of(connection, tables.source_profile)
    }
    return [
        Pair(row["left_id"], row["right_id"], row["weight"], row["probability"])
        for row in await rows_of(connection, tables.match_pair)
        if row["model_version"] == rules.model_version
        and digests[row["left_id"]] == row["left_digest"]
        and digests[row["right_id"]] == row["right_digest"]
    ]


def _blocked(evidence: Sequence[Evidence], rules: Rules) -> dict[Identifier, str]:
    holders: dict[Identifier, list[Evidence]] = defaultdict(list)
    for one in evidence:
        for identifier in tying(one, rules):
            holders[identifier].append(one)
    return {
        identifier: HOLDERS if len(who) > rules.most_holders else PERSONS
        for identifier, who in holders.items()
        if not rules.blocks(identifier) and too_shared(identifier, who, rules)
    }
