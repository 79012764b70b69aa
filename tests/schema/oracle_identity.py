"""The oracle's part on who is who: the ledger, decisions, the review queue and the rules."""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import RowMapping

from cdp.fields import camel_case
from cdp.identity.rules import check_document, rules_text
from tests.schema.ids import gid

Node = dict[str, Any]

STRENGTHS: Final = ("unique", "common", "weak")
COMPARED: Final = {
    "given_key": "The first names differ.",
    "family_key": "The last names differ.",
    "birth_date": "The birth dates differ.",
}


class WhoIsWho:
    """Reads the rows of identity; profiles and customers are made by whoever made it."""

    def __init__(
        self,
        rows: Mapping[str, Sequence[RowMapping]],
        profile: Callable[[RowMapping], Node],
        customer: Callable[[int], Node | None],
    ) -> None:
        self.rows = rows
        self.profile = profile
        self.customer = customer
        self.profiles = {row["id"]: row for row in rows["source_profile"]}
        self.events = {row["id"]: row for row in rows["merge_event"]}
        self.decided = {row["id"]: row for row in rows["identity_decision"]}

    def _profiles(self, ids: Collection[int]) -> list[Node]:
        return [self.profile(self.profiles[one]) for one in sorted(ids) if one in self.profiles]

    # The ledger -----------------------------------------------------------------------------

    def history(self, ids: Collection[int]) -> list[Node]:
        """The events of a customer with these profiles."""
        found = [
            row
            for row in self.rows["merge_event"]
            if row["customer_id"] in ids or row["from_customer_id"] in ids
        ]
        found.sort(key=lambda row: (row["at"], row["id"]), reverse=True)
        return [self.event(row) for row in found]

    def event(self, row: RowMapping) -> Node:
        """One entry of the ledger."""
        decision_id, undone = row["decision_id"], row["undoes_event_id"]
        return {
            **{camel_case(name): value for name, value in row.items()},
            "__typename": "MergeEvent",
            "id": gid("MergeEvent", row["id"]),
            "kind": row["kind"].upper(),
            "customerId": gid("Customer", row["customer_id"]),
            "fromCustomerId": gid("Customer", row["from_customer_id"]),
            "evidence": [
                self._evidence(one)
                for one in sorted(row["evidence"], key=itemgetter("kind", "value"))
            ],
            "profiles": lambda _: self._profiles(row["profile_ids"]),
            "others": lambda _: self._profiles(row["other_ids"]),
            "decision": lambda _: decision_id and self.decision(self.decided[decision_id]),
            "undoes": lambda _: undone and self.event(self.events[undone]),
            "isUndone": self._is_undone(row),
        }

    def _is_undone(self, row: RowMapping) -> bool:
        decision = self.decided.get(row["decision_id"])
        if row["undoes_event_id"] is None and decision and decision["retracted_at"]:
            return True
        return any(each["undoes_event_id"] == row["id"] for each in self.rows["merge_event"])

    def _evidence(self, piece: Node) -> Node:
        is_decision = piece["kind"] == "decision"
        return {
            **piece,
            "sourceProfiles": lambda _: self._profiles({int(one) for one in piece["profileIds"]}),
            "decision": lambda _: (
                self.decision(self.decided[int(piece["value"])]) if is_decision else None
            ),
        }

    # Decisions ------------------------------------------------------------------------------

    def decisions(self, ids: Collection[int]) -> list[Node]:
        """Those that speak of any of these profiles."""
        about = {
            member["decision_id"]
            for member in self.rows["decision_member"]
            if member["source_profile_id"] in ids
        }
        found = [row for row in self.rows["identity_decision"] if row["id"] in about]
        found.sort(key=lambda row: (row["at"], row["id"]), reverse=True)
        return [self.decision(row) for row in found]

    def decision(self, row: RowMapping) -> Node:
        """One decision."""
        left, right = self._side(row, "left"), self._side(row, "right")
        return {
            **{camel_case(name): value for name, value in row.items()},
            "__typename": "IdentityDecision",
            "id": gid("IdentityDecision", row["id"]),
            "kind": row["kind"].upper(),
            "action": row["action"].upper(),
            "isOverruled": row["retracted_at"] is None and self._contradicts(row, left, right),
            "left": lambda _: self._profiles(left),
            "right": lambda _: self._profiles(right),
        }

    def _side(self, row: RowMapping, side: str) -> set[int]:
        return {
            member["source_profile_id"]
            for member in self.rows["decision_member"]
            if (member["decision_id"], member["side"]) == (row["id"], side)
        }

    def _contradicts(self, row: RowMapping, left: set[int], right: set[int]) -> bool:
        here = {self.profiles[one]["customer_id"] for one in left}
        there = {self.profiles[one]["customer_id"] for one in right}
        match row["kind"]:
            case "same":
                return len(here | there) > 1
            case "not_same":
                return bool(here & there)
            case _:
                return len(here) > 1 or len(there) > 1 or bool(here & there)

    # The queue ------------------------------------------------------------------------------

    def queue(self) -> list[Node]:
        """Every review, the first one first."""
        rows = sorted(self.rows["match_review"], key=lambda row: (-row["priority"], row["id"]))
        return [self.review(row) for row in rows]

    def reviews(self, ids: set[int]) -> list[Node]:
        """Those of which a side begins with one of these profiles."""
        rows = [row for row in self.rows["match_review"] if {row["left_id"], row["right_id"]} & ids]
        rows.sort(key=lambda row: (-row["priority"], row["id"]))
        return [self.review(row) for row in rows]

    def review(self, row: RowMapping) -> Node:
        """One review."""
        pair = next(
            (
                each
                for each in self.rows["match_pair"]
                if (each["left_id"], each["right_id"])
                == (row["pair_left_id"], row["pair_right_id"])
            ),
            None,
        )
        parts = pair["parts"] if pair else []
        return {
            **{camel_case(name): value for name, value in row.items()},
            "__typename": "MatchReview",
            "id": gid("MatchReview", row["id"]),
            "value": None if row["kind"] == "similarity" else row["value"],
            "probability": pair and pair["probability"],
            "weight": pair and pair["weight"],
            "left": lambda _: self._match_side(row["left_id"], row["left_ids"]),
            "right": lambda _: self._match_side(row["right_id"], row["right_ids"]),
            "comparisons": parts,
            "against": self._against(row, parts),
        }

    def _match_side(self, first: int, ids: Sequence[int]) -> Node:
        known = self.profiles.get(first)
        return {
            "customer": lambda _: known and self.customer(known["customer_id"]),
            "sourceProfiles": lambda _: self._profiles(ids),
        }

    def _against(self, row: RowMapping, parts: Sequence[Node]) -> list[str]:
        sides = (set(row["left_ids"]), set(row["right_ids"]))
        told: list[str] = []
        for decision in self.rows["identity_decision"]:
            left, right = self._side(decision, "left"), self._side(decision, "right")
            crosses = (left & sides[0] and right & sides[1]) or (
                right & sides[0] and left & sides[1]
            )
            if decision["kind"] != "same" and decision["retracted_at"] is None and crosses:
                told = ["A person decided that they are not the same."]
        for name, sentence in COMPARED.items():
            here, there = (
                {self.profiles[one][name] for one in side if one in self.profiles} - {None, ""}
                for side in sides
            )
            is_short_form = name == "given_key" and any(
                part["name"] == "given_name" and part["weight"] > 0 for part in parts
            )
            if here and there and not here & there and not is_short_form:
                told.append(sentence)
        for part in sorted(parts, key=itemgetter("weight")):
            if part["weight"] < 0 and part["name"] == "relatives":
                told.append("Relatives of one household would be alike too.")
            elif part["weight"] < 0 and part["level"]:
                told.append(f"The comparison of {part['name']} says: {part['level']}.")
        return told

    # The rules ------------------------------------------------------------------------------

    def rules(self) -> Node:
        """The version in force."""
        row = max(self.rows["identity_rules"], key=itemgetter("version"))
        document = row["document"]
        return {
            **{camel_case(name): value for name, value in row.items()},
            "kinds": [
                {
                    "kind": kind,
                    "strength": rule["strength"].upper(),
                    "mostPerCustomer": rule["most_per_customer"],
                    "mostPersons": rule["most_persons"],
                }
                for kind, rule in sorted(
                    document["kinds"].items(),
                    key=lambda each: (STRENGTHS.index(each[1]["strength"]), each[0]),
                )
            ],
            "linkage": {
                "joinWeight": document["linkage"]["join_weight"],
                "reviewWeight": document["linkage"]["review_weight"],
                "modelVersion": row["model_version"],
            },
            "document": rules_text(check_document(document)),
        }
