"""An oracle of the read path: graphql-core walks plain objects, each list loaded by its own query.

It knows the graph by its committed SDL alone and shares no code with the planner; only the value of
a trait comes from the catalog, customer by customer.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import msgspec
from graphql import ExecutionResult, GraphQLSchema, build_schema, execute_sync, parse
from sqlalchemy import DateTime, RowMapping, Table, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.fields import camel_case
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import Scope
from tests.cdp.consent_model import Model, Said, Use
from tests.schema.business import NOW
from tests.schema.client import Value
from tests.schema.ids import gid
from tests.schema.oracle_identity import WhoIsWho
from tests.schema.oracle_segments import Segments


@cache
def committed_schema() -> GraphQLSchema:
    """The committed SDL, read by who asks: every worker imports this file, few ask."""
    path = Path(__file__).parents[2] / "schema" / "schema.graphql"
    return build_schema(path.read_text(encoding="utf-8"))


Node = dict[str, Any]
TIMELINE: Final = {
    "ORDER": ("OrderEntry", tables.sales_order, "placed_at"),
    "REFUND": ("RefundEntry", tables.refund, "refunded_at"),
    "MESSAGE": ("MessageEntry", tables.message, "occurred_at"),
    "INTERACTION": ("InteractionEntry", tables.interaction, "occurred_at"),
    "TICKET": ("TicketEntry", tables.ticket, "opened_at"),
    "FEEDBACK": ("FeedbackEntry", tables.feedback, "given_at"),
    "LOYALTY_ENTRY": ("LoyaltyMovement", tables.loyalty_entry, "occurred_at"),
    "CONSENT": ("ConsentEntry", tables.consent, "recorded_at"),
    "SUBSCRIPTION": ("SubscriptionEntry", tables.subscription, "started_at"),
}
SORTED: Final = {"NAME": "name", "PURCHASES_NET_SPEND": "net_spend", "CITY": "city"}
RENAMED: Final = {
    "MessageEntry": {"event": "kind"},
    "InteractionEntry": {"action": "kind"},
    "FeedbackEntry": {"survey": "kind"},
    "LoyaltyMovement": {"movement": "kind"},
}


def plain(row: RowMapping) -> Node:
    """The columns of a row by their camelCase names, as JSON has them."""
    return {camel_case(name): value for name, value in row.items()}


def cents(amount: Decimal) -> Decimal:
    """To the smallest unit of a euro, as whatever is computed is told."""
    return amount.quantize(Decimal("0.01"))


class Oracle:
    """The whole business as objects."""

    def __init__(
        self, rows: Mapping[str, Sequence[RowMapping]], traits: Mapping[int, Node]
    ) -> None:
        self.rows = rows
        self.traits = traits
        self.names = {row["id"]: row["name"] for row in rows["source"]}
        self.who = WhoIsWho(rows, self._profile, self._by_id)
        self.segments = Segments(rows, self._page_of, self._by_id, self._holds, _page)

    @classmethod
    async def load(cls, connection: AsyncConnection) -> "Oracle":
        """Read every table, and every trait of every customer."""
        rows = {
            table.name: (await connection.execute(select(table))).mappings().all()
            for table in tables.metadata.sorted_tables
        }
        customer = tables.scored_customer
        scope = Scope(customer, customer, literal(NOW, DateTime(timezone=True)), "Europe/Berlin")
        traits: dict[int, Node] = {}
        for row in rows["customer"]:
            groups: Node = {}
            for group in CATALOG:
                members: Node = {}
                for trait in group.traits:
                    query = select(trait.shown(scope)).where(customer.c.id == row["id"])
                    value = await connection.scalar(query)
                    members[camel_case(trait.name)] = _as_json(value, trait.type)
                groups[camel_case(group.name)] = members
            traits[row["id"]] = groups
        return cls(rows, traits)

    def answer(self, query: str, variables: Node) -> Value:
        """What the graph should answer, as JSON."""
        result = execute_sync(
            committed_schema(), parse(query), self.root(), variable_values=variables
        )
        assert isinstance(result, ExecutionResult)
        assert not result.errors, result.errors
        return msgspec.json.decode(msgspec.json.encode(result.data))

    def root(self) -> Node:
        """The root object."""
        return {
            "customer": lambda _, id=None, identifier=None: self._lookup(id, identifier),  # noqa: A006  GraphQL's name
            "customers": self._customers,
            "sources": [self._source(row) for row in self.rows["source"]],
            "node": lambda _, id: self._node(id),  # noqa: A006
            "nodes": lambda _, ids: [self._node(each) for each in ids],
            "matchReviews": lambda _, first=None: _page(self.who.queue(), first),
            "identityRules": lambda _: self.who.rules(),
            "modelReport": lambda _, version=None: self._model_report(version),
            **self.segments.root(),
        }

    def _model_report(self, version: int | None) -> Node | None:
        """The business is too small for a model: a report says what is missing."""
        (row,) = self.rows["score_model"]
        if version not in (None, row["version"]):
            return None
        assert row["report"] is None
        shown = ("version", "computed_at", "as_of", "horizon_days", "discount_rate", "margin")
        return {
            **{camel_case(name): _as_json(row[name], type(row[name])) for name in shown},
            "isInForce": True,
            "currency": row["currency"],
            **dict.fromkeys(("reasons", "backtests", "periods"), ()),
            "shortfalls": row["shortfalls"],
            "rfmCutPoints": {camel_case(name): cut for name, cut in row["cut_points"].items()},
        }

    # Customers ------------------------------------------------------------------------------

    def _customers(self, _: object, **given: Value) -> Node:
        return self._page_of(self.rows["customer"], given)

    def _page_of(self, rows: Sequence[RowMapping], given: Value) -> Node:
        found = [row for row in rows if self._holds(row, given.get("filter"))]
        orders = given.get("orderBy") or []
        falls = bool(orders) and orders[-1]["direction"] == "DESC"
        found.sort(key=lambda row: int(row["id"]), reverse=falls)
        for order in reversed(orders):  # a stable sort, whose equals stay as they are
            name = SORTED[order["field"]]
            present = [row for row in found if row[name] is not None]
            present.sort(key=itemgetter(name), reverse=order["direction"] == "DESC")
            found = present + [row for row in found if row[name] is None]
        last, first = given.get("last"), given.get("first")
        if last is not None:
            page = found[len(found) - min(last, len(found)) :]
            more, inner = len(found) > last, False
            info = {"hasNextPage": inner, "hasPreviousPage": more}
        else:
            size = 25 if first is None else first
            page = found[:size]
            info = {"hasNextPage": len(found) > size, "hasPreviousPage": False}
        return _connection([self._customer(row) for row in page], info, len(found))

    def _holds(self, row: RowMapping, given: Node | None) -> bool:
        for name, value in (given or {}).items():
            if name == "and" and not all(self._holds(row, each) for each in value):
                return False
            if name == "or" and not any(self._holds(row, each) for each in value):
                return False
            if name == "not" and self._holds(row, value):
                return False
            if name == "purchases" and not row["net_spend"] > float(value["netSpend"]["gt"]):
                return False
            if name == "city":
                operator, operand = next(iter(value.items()))
                is_so = (
                    (row["city"] is None) == operand
                    if operator == "isNull"
                    else row["city"] == operand
                )
                if not is_so:
                    return False
        return True

    def _lookup(self, id_: str | None, identifier: Node | None) -> Node | None:
        if id_ is not None:
            return self._node(id_)
        assert identifier is not None
        profiles = {row["id"]: row for row in self.rows["source_profile"]}
        borne = [
            row
            for row in self.rows["identifier"]
            if (row["kind"], row["value"]) == (identifier["kind"], identifier["value"])
        ]
        borne.sort(key=itemgetter("source_profile_id"))
        borne.sort(key=itemgetter("last_seen_at"), reverse=True)
        ids = [profiles[row["source_profile_id"]]["customer_id"] for row in borne]
        return self._by_id(ids[0]) if ids else None

    def _by_id(self, number: int) -> Node | None:
        for row in self.rows["customer"]:
            if row["id"] == number:
                return self._customer(row)
        return None

    def _customer(self, row: RowMapping) -> Node:
        profiles = [
            each for each in self.rows["source_profile"] if each["customer_id"] == row["id"]
        ]
        ids = {each["id"] for each in profiles}
        return {
            **plain(row),
            "__typename": "Customer",
            "id": gid("Customer", row["id"]),
            "address": _address(row),
            **self.traits[row["id"]],
            "identifiers": lambda _: self._identifiers(ids),
            "sourceProfiles": lambda _: [self._profile(each) for each in _by(profiles, "id")],
            "mergeHistory": lambda _: self.who.history(ids),
            "consents": lambda _: self._consents(row["id"]),
            "decisions": lambda _: self.who.decisions(ids),
            "matchReviews": lambda _: self.who.reviews(ids),
            "orders": lambda _, first=25: self._orders(ids, first),
            "timeline": lambda _, first=25, kinds=None: self._timeline(ids, first, kinds),
            "tickets": lambda _, first=25: self._tickets(ids, first),
            "loyaltyEntries": lambda _, first=25: self._points(ids, first),
            "tierHistory": lambda _: self._tiers(row["id"]),
            "badges": lambda _: self._badges(ids),
            "segments": lambda _: self.segments.of_customer(row["id"]),
        }

    def _identifiers(self, profile_ids: set[int]) -> list[Node]:
        blocked = {(row["kind"], row["value"]) for row in self.rows["blocked_value"]}
        profiles = {row["id"]: row for row in self.rows["source_profile"]}
        groups: dict[tuple[str, str, int], list[RowMapping]] = {}
        for row in self.rows["identifier"]:
            if row["source_profile_id"] in profile_ids:
                source_id = profiles[row["source_profile_id"]]["source_id"]
                groups.setdefault((row["kind"], row["value"], source_id), []).append(row)
        return [
            {
                "kind": kind,
                "value": value,
                "source": self.names[source_id],
                "firstSeenAt": min(row["first_seen_at"] for row in rows),
                "lastSeenAt": max(row["last_seen_at"] for row in rows),
                "isCurrent": any(
                    row["is_current"] and profiles[row["source_profile_id"]]["deleted_at"] is None
                    for row in rows
                ),
                "isBlocked": (kind, value) in blocked,
            }
            for (kind, value, source_id), rows in sorted(groups.items())
        ]

    def _profile(self, row: RowMapping) -> Node:
        return {
            **plain(row),
            "__typename": "SourceProfile",
            "id": gid("SourceProfile", row["id"]),
            "source": self.names[row["source_id"]],
            "record": row["payload"],
            "name": row["full_name"]
            or " ".join(filter(None, (row["first_name"], row["last_name"])))
            or None,
            "address": _address(row),
            "customer": lambda _: self._by_id(row["customer_id"]),
        }

    def _consents(self, customer_id: int) -> list[Node]:
        model = Model(self.rows, NOW)
        told = model.statements(customer_id)

        def statements(use: Use) -> list[Node]:
            mine = [each for each in told if each[0].use == use]
            mine.sort(key=lambda each: (each[0].source_id, each[0].key, each[0].point or ("~",)))
            mine.sort(key=lambda each: each[0].at, reverse=True)
            return [
                {**self._said(one), "at": one.at, "holds": holds, "isOwn": is_own}
                for one, holds, is_own in mine
            ]

        return [
            {
                **self._said(one),
                "channel": use[0],
                "purpose": use[1],
                "since": one.at,
                "statements": statements(use),
            }
            for use, one in sorted(model.consents(customer_id).items())
        ]

    def _said(self, one: Said) -> Node:
        profile = None if one.profile_id is None else str(one.profile_id)
        return {
            "status": one.status.upper(),
            "contactPoint": one.point and one.point[1],
            "source": self.names[one.source_id],
            "event": one.event,
            "evidence": one.evidence,
            "profile": lambda _: profile and self._found("source_profile", profile, self._profile),
        }

    # Orders and the timeline ----------------------------------------------------------------

    def _orders(self, ids: set[int], first: int | None) -> Node:
        mine = [row for row in self.rows["sales_order"] if row["source_profile_id"] in ids]
        mine.sort(key=lambda row: (row["placed_at"], row["source_id"], row["key"]), reverse=True)
        return _page([self._order(row) for row in mine], first)

    def _order(self, row: RowMapping) -> Node:
        def children(table: str) -> list[RowMapping]:
            return [
                each
                for each in self.rows[table]
                if (each["source_id"], each["order_key"]) == (row["source_id"], row["key"])
            ]

        refunds = children("refund")
        given_back = [each["amount"] for each in refunds]
        whole = row["total"] if row["status"] == "refunded" else Decimal(0)
        owner = {each["id"]: each["customer_id"] for each in self.rows["source_profile"]}
        return {
            **plain(row),
            "__typename": "Order",
            "id": gid("Order", row["source_id"], row["key"]),
            "source": self.names[row["source_id"]],
            "status": (row["status"] or "completed").upper(),
            "refunded": cents(sum(given_back) if given_back else whole),
            "lineCount": len(children("order_line")),
            "lines": [
                plain(each) for each in sorted(children("order_line"), key=lambda e: int(e["line"]))
            ],
            "refunds": [plain(each) for each in refunds],
            "customer": lambda _: self._by_id(owner[row["source_profile_id"]]),
        }

    def _timeline(self, ids: set[int], first: int | None, kinds: Sequence[str] | None) -> Node:
        entries: list[tuple[Any, Node]] = []
        for kind, (type_name, table, occurred) in TIMELINE.items():
            if kinds is not None and kind not in kinds:
                continue
            for row in self.rows[table.name]:
                order = self._order_of(table, row)
                owner = order if table is tables.refund else row
                if owner is not None and owner["source_profile_id"] in ids:
                    at = row[occurred]
                    node = self._entry(kind, type_name, row, at, order)
                    entries.append(((at, kind, row["source_id"], row["key"]), node))
        entries.sort(key=lambda entry: entry[0], reverse=True)
        return _page([node for _, node in entries], first)

    def _order_of(self, table: Table, row: RowMapping) -> RowMapping | None:
        key = row["key"] if table is tables.sales_order else row.get("order_key")
        for order in self.rows["sales_order"]:
            if (order["source_id"], order["key"]) == (row["source_id"], key):
                return order
        return None

    def _entry(
        self, kind: str, type_name: str, row: RowMapping, at: object, order: RowMapping | None
    ) -> Node:
        node = plain(row)
        for name, column in RENAMED.get(type_name, {}).items():
            node[name] = row[column]
        return {
            **node,
            "__typename": type_name,
            "id": gid(type_name, row["source_id"], row["key"]),
            "kind": kind,
            "at": at,
            "source": self.names[row["source_id"]],
            "order": lambda _: None if order is None else self._order(order),
        }

    def _tickets(self, ids: set[int], first: int | None) -> Node:
        mine = [row for row in self.rows["ticket"] if row["source_profile_id"] in ids]
        mine.sort(key=lambda row: (row["opened_at"], row["source_id"], row["key"]), reverse=True)
        nodes = [
            {
                **plain(row),
                "__typename": "Ticket",
                "id": gid("Ticket", row["source_id"], row["key"]),
                "source": self.names[row["source_id"]],
            }
            for row in mine
        ]
        return _page(nodes, first)

    # Loyalty --------------------------------------------------------------------------------

    def _points(self, ids: set[int], first: int | None) -> Node:
        lots = {row["id"]: row for row in self.rows["points_lot"]}
        posted = {row["id"]: row for row in self.rows["points_transaction"]}
        mine = [
            row
            for row in self.rows["points_entry"]
            if row["source_profile_id"] in ids and row["occurred_at"] <= NOW
        ]
        mine.sort(key=lambda row: (row["occurred_at"], row["id"]), reverse=True)
        nodes = []
        for row in mine:
            lot, transaction = lots[row["lot_id"]], posted[row["transaction_id"]]
            order = next(
                (
                    one
                    for one in self.rows["sales_order"]
                    if lot["origin"] == "order"
                    and (one["source_id"], one["key"]) == (lot["source_id"], lot["key"])
                ),
                None,
            )
            nodes.append(
                {
                    **plain(row),
                    "__typename": "LoyaltyEntry",
                    "id": gid("LoyaltyEntry", row["id"]),
                    "kind": row["kind"].upper(),
                    "points": row["available"] + row["owed"],
                    "pendingPoints": row["pending"],
                    "recordedAt": transaction["recorded_at"],
                    "reason": transaction["reason"],
                    "reward": transaction["reward"],
                    "expiresAt": lot["expires_at"],
                    "order": None if order is None else self._order(order),
                }
            )
        return _page(nodes, first)

    def _tiers(self, customer_id: int) -> list[Node]:
        mine = [row for row in self.rows["tier_period"] if row["customer_id"] == customer_id]
        mine.sort(key=itemgetter("since_on"), reverse=True)
        return [
            {"tier": row["tier"], "since": row["since_on"], "until": row["until_on"]}
            for row in mine
        ]

    def _badges(self, ids: set[int]) -> list[Node]:
        mine = [
            row
            for row in self.rows["loyalty_award"]
            if row["source_profile_id"] in ids and row["badge"] is not None
        ]
        mine.sort(key=lambda row: (row["at"], row["id"]), reverse=True)
        return [plain(row) for row in mine]

    # Sources and nodes ----------------------------------------------------------------------

    def _source(self, row: RowMapping) -> Node:
        runs = [run for run in self.rows["sync_run"] if run["source_id"] == row["id"]]
        runs.sort(key=lambda run: run["started_at"])
        good = [run["started_at"] for run in runs if run["status"] in ("ok", "partial")]
        last = {**plain(runs[-1]), "state": runs[-1]["status"].upper()} if runs else None
        return {
            **plain(row),
            "__typename": "Source",
            "id": gid("Source", row["id"]),
            "state": last["state"] if last else "NEW",
            "cursor": {
                place["stream"]: place["cursor"]
                for place in self.rows["checkpoint"]
                if place["source_id"] == row["id"]
            },
            "lagSeconds": (NOW - good[-1]).total_seconds() if good else None,
            "lastRun": last,
            "deadLetterCount": sum(
                letter["source_id"] == row["id"] and letter["resolved_at"] is None
                for letter in self.rows["dead_letter"]
            ),
        }

    def _node(self, id_: str) -> Node | None:
        type_name, _, rest = base64.b64decode(id_).decode().partition(":")
        find: Mapping[str, Callable[[str], Node | None]] = {
            "Customer": self._survivor,
            "SourceProfile": lambda rest: self._found("source_profile", rest, self._profile),
            "Source": lambda rest: self._found("source", rest, self._source),
            "MergeEvent": lambda rest: self._found("merge_event", rest, self.who.event),
            "IdentityDecision": lambda rest: self._found(
                "identity_decision", rest, self.who.decision
            ),
            "MatchReview": lambda rest: self._found("match_review", rest, self.who.review),
            "Order": self._order_by_key,
            "Segment": lambda rest: self.segments.by_number(int(rest)),
        }
        return find[type_name](rest)

    def _survivor(self, rest: str) -> Node | None:
        for row in self.rows["source_profile"]:
            if row["id"] == int(rest):
                return self._by_id(row["customer_id"])
        return None

    def _found(self, table: str, rest: str, make: Callable[[RowMapping], Node]) -> Node | None:
        return next((make(row) for row in self.rows[table] if row["id"] == int(rest)), None)

    def _order_by_key(self, rest: str) -> Node | None:
        source, _, key = rest.partition(":")
        for row in self.rows["sales_order"]:
            if (row["source_id"], row["key"]) == (int(source), key):
                return self._order(row)
        return None


def _address(row: RowMapping) -> Node:
    names = ("street", "city", "region", "postal_code", "country")
    return {camel_case(name): row[name] for name in names}


def _by(rows: Sequence[RowMapping], name: str) -> list[RowMapping]:
    return sorted(rows, key=lambda row: int(row[name]))


def _page(nodes: list[Node], first: int | None) -> Node:
    size = 25 if first is None else first
    info = {"hasNextPage": len(nodes) > size, "hasPreviousPage": False}
    return _connection(nodes[:size], info, len(nodes))


def _connection(nodes: list[Node], info: Node, total: int) -> Node:
    return {
        "edges": [{"node": node} for node in nodes],
        "nodes": nodes,
        "pageInfo": info,
        "totalCount": total,
    }


def _as_json(value: Value, type_: type) -> object:
    """A trait's value as JSON has it: an enum is its name, a float no numeric of PostgreSQL."""
    if isinstance(value, Enum):
        return value.name
    return float(value) if type_ is float and value is not None else value
