"""The oracle's view of segments: memberships as they are stored, counted and paged by hand."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

from sqlalchemy import RowMapping

from cdp.fields import camel_case
from tests.schema.client import Value
from tests.schema.ids import gid

Node = dict[str, Any]
SAMPLE_SIZE = 10


class Segments:
    """Segments, who is in them, and what a filter would hold for."""

    def __init__(
        self,
        rows: Mapping[str, Sequence[RowMapping]],
        page_of: Callable[[Sequence[RowMapping], Value], Node],
        by_id: Callable[[int], Node | None],
        holds: Callable[[RowMapping, Value], bool],
        page: Callable[[list[Node], int | None], Node],
    ) -> None:
        self.rows = rows
        self._page_of = page_of
        self._by_id = by_id
        self._holds = holds
        self._page = page
        self.live = sorted(
            (row for row in rows["segment"] if row["archived_at"] is None),
            key=lambda row: str(row["slug"]),
        )

    def root(self) -> Node:
        """The root fields."""
        return {
            "segment": lambda _, id=None, slug=None: self._one(id, slug),  # noqa: A006  GraphQL's name
            "segments": lambda _, first=25: self._page(list(map(self.node, self.live)), first),
            "segmentPreview": lambda _, filter: self._preview(filter),  # noqa: A006
            "segmentOverlap": lambda _, slugs: self._overlap(slugs),
            "segmentMembership": lambda _, segmentSlug, customerId: self._standing(  # noqa: N803
                segmentSlug, customerId
            ),
        }

    def members(self, segment_id: int) -> set[int]:
        """The ids of who is in it."""
        return {
            row["customer_id"]
            for row in self.rows["segment_membership"]
            if row["segment_id"] == segment_id and row["exited_at"] is None
        }

    def of_customer(self, customer_id: int) -> list[Node]:
        """A customer's memberships."""
        return [
            {"segment": self.node(row), "enteredAt": stay["entered_at"]}
            for row in self.live
            for stay in self.rows["segment_membership"]
            if (stay["segment_id"], stay["customer_id"]) == (row["id"], customer_id)
            and stay["exited_at"] is None
        ]

    def node(self, row: RowMapping) -> Node:
        """A segment."""
        inside = self.members(row["id"])

        def customers(_: object, **given: Value) -> Node:
            among = [each for each in self.rows["customer"] if each["id"] in inside]
            return self._page_of(among, given)

        def changes(_: object, first: int | None = 25) -> Node:
            mine = [one for one in self.rows["segment_change"] if one["segment_id"] == row["id"]]
            mine.sort(key=lambda one: int(one["id"]))
            return self._page([self._change(one, row) for one in mine], first)

        return {
            **{camel_case(name): value for name, value in row.items()},
            "__typename": "Segment",
            "id": gid("Segment", row["id"]),
            "isStatic": row["filter"] is None,
            "memberCount": len(inside),
            "customers": customers,
            "changes": changes,
        }

    def _change(self, change: RowMapping, segment: RowMapping) -> Node:
        other = change["other_id"]
        return {
            "segment": lambda _: self.node(segment),
            "kind": change["kind"],
            "at": change["at"],
            "cause": change["cause"],
            "customerId": gid("Customer", change["customer_id"]),
            "customer": lambda _: self._by_id(change["customer_id"]),
            "otherCustomerId": other and gid("Customer", other),
        }

    def by_number(self, number: int) -> Node | None:
        """The segment of that number."""
        return next((self.node(row) for row in self.live if row["id"] == number), None)

    def _named(self, slug: str) -> RowMapping | None:
        return next((row for row in self.live if row["slug"] == slug), None)

    def _one(self, id_: str | None, slug: str | None) -> Node | None:
        for row in self.live:
            if slug == row["slug"] or id_ == gid("Segment", row["id"]):
                return self.node(row)
        return None

    def _preview(self, given: Value) -> Node:
        found = [row for row in self.rows["customer"] if self._holds(row, given)]
        assert len(found) <= SAMPLE_SIZE, "else any of them may be shown"
        ids = sorted(int(row["id"]) for row in found)
        return {
            "count": len(found),
            "percentage": 100 * len(found) / len(self.rows["customer"]),
            "sample": [self._by_id(one) for one in ids],
        }

    def _overlap(self, slugs: list[str]) -> list[Node]:
        named = [row for row in self.live if row["slug"] in slugs]
        return [
            {
                "left": left["slug"],
                "right": right["slug"],
                "count": len(self.members(left["id"]) & self.members(right["id"])),
            }
            for left, right in combinations_with_replacement(named, 2)
        ]

    def _standing(self, slug: str, customer_id: str) -> Node | None:
        row = self._named(slug)
        profiles = {gid("Customer", one["id"]): one for one in self.rows["source_profile"]}
        profile = profiles.get(customer_id)
        if row is None or profile is None:
            return None
        number = profile["customer_id"]
        stays = [
            one
            for one in self.rows["segment_membership"]
            if (one["segment_id"], one["customer_id"]) == (row["id"], number)
        ]
        last = max(stays, key=lambda one: one["entered_at"], default=None)
        return {
            "segment": self.node(row),
            "customer": self._by_id(number),
            "isMember": last is not None and last["exited_at"] is None,
            "enteredAt": last and last["entered_at"],
            "exitedAt": last and last["exited_at"],
        }
