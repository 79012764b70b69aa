"""What must hold of identity whatever has happened: map, customers, ids, ledger, queue, records."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.customers import choose_anew
from cdp.database import driver
from cdp.identity.evidence import DECISION, SIMILARITY, Verdict
from cdp.identity.outcome import BOUND_PRIORITY
from cdp.identity.rules import read_document, read_rules
from cdp.rebuild import rebuild
from cdp.rows import VOID_STATUSES
from cdp.rulechange import try_rules
from tests.cdp.at_once import AtOnce, at_once, rows_of
from tests.cdp.ingesting import WORKSPACE

Map = Mapping[int, int]
"""Source profile to customer."""


async def require_sound(connection: AsyncConnection) -> None:
    """Fail with what does not hold. Writes nothing that stays; the money must all be in euros."""
    stored = {
        row["id"]: row["customer_id"] for row in await rows_of(connection, tables.source_profile)
    }
    wanted = await at_once(connection)
    assert stored == wanted.customer_of, "the map is not what the evidence gives"
    await _require_customers(connection, stored)
    await _require_ledger(connection, stored)
    await _require_queue(connection, stored, wanted)
    await _require_owners(connection, stored)
    await _require_spend(connection, stored)


async def require_nothing_to_move(connection: AsyncConnection) -> None:
    """The rules in force, tried again, change nobody."""
    _, document, _ = await read_document(await driver(connection))
    tried = await try_rules(connection, document)
    assert (tried.joined, tried.parted, tried.moves) == (0, 0, [])
    assert tried.customers_after == tried.customers_before


async def require_folded(connection: AsyncConnection) -> None:
    """Every customer's row is the one that folding everything anew gives."""
    before = await _folds(connection)
    async with connection.begin_nested() as savepoint:
        rules = await read_rules(await driver(connection))
        await choose_anew(connection, rules.survivorship)
        await rebuild(connection, WORKSPACE)
        after = await _folds(connection)
        await savepoint.rollback()
    for row, folded in zip(before, after, strict=True):
        assert row == folded, "the row is not what its records give"


async def _folds(connection: AsyncConnection) -> Sequence[Mapping[str, object]]:
    return [
        {name: value for name, value in row.items() if name != "updated_at"}
        for table in (tables.customer, tables.purchase_day)
        for row in await rows_of(connection, table)
    ]


async def _require_customers(connection: AsyncConnection, stored: Map) -> None:
    """One row for each id that is in use, none for others; so every reserved id resolves."""
    sizes = Counter(stored.values())
    found = {row["id"]: row["profile_count"] for row in await rows_of(connection, tables.customer)}
    assert found == sizes


async def _require_ledger(connection: AsyncConnection, stored: Map) -> None:
    """From everyone alone, entry by entry, to the map; each entry says how it came to be."""
    carried = {
        (row["source_profile_id"], row["kind"], row["value"])
        for row in await rows_of(connection, tables.identifier)
    }
    walked = {one: one for one in stored}
    for event in await rows_of(connection, tables.merge_event):
        told = dict(event)
        left = {walked[one] for one in event["profile_ids"]}
        assert left == {event["from_customer_id"]}, told
        walked.update(dict.fromkeys(event["profile_ids"], event["customer_id"]))
        assert event["other_ids"], told
        assert not set(event["other_ids"]) & set(event["profile_ids"]), told
        if event["kind"] == "split":
            assert {walked[one] for one in event["other_ids"]}.isdisjoint({event["customer_id"]})
            continue
        assert event["kind"] == "merged", told
        assert event["evidence"], told
        for piece in event["evidence"]:
            assert len(piece["profileIds"]) > 1, told
            if piece["kind"] not in (DECISION, SIMILARITY):
                for one in piece["profileIds"]:
                    assert (int(one), piece["kind"], piece["value"]) in carried, told
    assert walked == stored, "the ledger does not lead to the map"


async def _require_queue(connection: AsyncConnection, stored: Map, wanted: AtOnce) -> None:
    """Every tie that joined not all is asked, and nothing else."""
    blocked = {
        (row["kind"], row["value"]): row["reason"]
        for row in await rows_of(connection, tables.blocked_value)
    }
    assert blocked == wanted.blocked
    asked = await rows_of(connection, tables.match_review)
    found = {
        (row["kind"], row["value"], tuple(row["left_ids"]), tuple(row["right_ids"]), row["reason"],
         row["priority"])
        for row in asked
        if (row["kind"], row["value"]) not in blocked
    }  # fmt: skip
    asking = {
        (*one.identifier, one.left, one.right, one.reason, one.priority)
        for one in wanted.partition.reviews
    }
    assert found == asking, (found - asking, asking - found)
    told = {(row["kind"], row["value"]) for row in asked if row["priority"] == BOUND_PRIORITY}
    assert told >= blocked.keys(), "a value that joins nobody is silently away"
    for row in asked:
        _require_open(row, stored, wanted)


def _require_open(row: RowMapping, stored: Map, wanted: AtOnce) -> None:
    """Two sides, each one customer, that are not one and of whom nobody has decided."""
    if not row["right_ids"]:
        return
    left, right = ({stored[one] for one in row[side]} for side in ("left_ids", "right_ids"))
    assert (len(left), len(right)) == (1, 1), dict(row)
    assert left != right, dict(row)
    members = [
        {one for one, customer in stored.items() if customer in side} for side in (left, right)
    ]
    for decision in wanted.ties.decisions:
        if decision.verdict is not Verdict.SAME:
            for one, other in (members, members[::-1]):
                assert not (decision.left & one and decision.right & other), dict(row)


async def _require_owners(connection: AsyncConnection, stored: Map) -> None:
    """Whoever a record names has it; nobody else, and nobody twice."""
    keys = {
        (row["source_id"], row["stream"], row["key"]): row["id"]
        for row in await rows_of(connection, tables.source_profile)
    }
    for table in tables.PERSON_TABLES:
        for row in await rows_of(connection, table):
            if row["customer_id"] is not None:
                wanted = keys.get((row["source_id"], "customers", row["customer_id"]))
                assert row["source_profile_id"] == wanted, (table.name, dict(row))
            elif row["source_profile_id"] is not None:
                assert row["source_profile_id"] in stored, (table.name, dict(row))


async def _require_spend(connection: AsyncConnection, stored: Map) -> None:
    """Orders and refunds, added up record by record, are the sums of their customers."""
    refunds: dict[tuple[int, str], list[Decimal]] = defaultdict(list)
    for row in await rows_of(connection, tables.refund):
        if row["deleted_at"] is None and row["amount"] is not None:
            refunds[row["source_id"], row["order_key"]].append(row["amount"])
    wanted: dict[int, list[Decimal]] = {}
    for row in await rows_of(connection, tables.sales_order):
        owner = row["source_profile_id"]
        if owner is None or row["deleted_at"] is not None or row["status"] in VOID_STATUSES:
            continue
        given = refunds[row["source_id"], row["key"]]
        whole = row["status"] == "refunded" and not given
        sums = wanted.setdefault(stored[owner], [Decimal(), Decimal()])
        sums[0] += row["total"]
        sums[1] += row["total"] if whole else sum(given, Decimal())
    found = {
        row["id"]: [row["gross_spend"], row["refunded"]]
        for row in await rows_of(connection, tables.customer)
        if row["gross_spend"] or row["refunded"]
    }
    assert found == wanted
