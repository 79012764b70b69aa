"""Consent by its four rules in plain Python, over the rows of the tables: what the SQL must say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables

Row = Mapping[str, Any]
Point = tuple[str, str] | None
Use = tuple[str, str]
"""A channel and a purpose."""

REACHED_BY: Final = {"email": "email", "sms": "phone", "whatsapp": "phone", "call": "phone"}
READ: Final = (tables.consent, tables.message, tables.source_profile, tables.identifier)


@dataclass(frozen=True)
class Said:
    """One statement, of one contact point; `point` None: of the profile."""

    use: Use
    status: str
    at: datetime
    point: Point
    profile_id: int | None
    source_id: int
    event: str | None
    key: str
    evidence: str | None

    @property
    def is_denial(self) -> bool:
        """Denied or withdrawn."""
        return self.status != "granted"

    def rank(self) -> tuple[Any, ...]:
        """What sorts the latest last."""
        return (self.at, self.is_denial, self.source_id, self.event or "", self.key)


async def load(connection: AsyncConnection) -> dict[str, list[Row]]:
    """The tables that consent is read from."""
    rows: dict[str, list[Row]] = {}
    for table in READ:
        found = await connection.execute(select(table))
        rows[table.name] = [dict(row) for row in found.mappings()]
    return rows


class Model:
    """How customers stand, worked out one by one."""

    def __init__(self, rows: Mapping[str, Iterable[Any]], as_of: datetime) -> None:
        self.profiles: dict[int, Row] = {row["id"]: row for row in rows["source_profile"]}
        self.identifiers: list[Row] = list(rows["identifier"])
        self.said = [
            one
            for row in (*rows["consent"], *rows["message"])
            for one in self._statements(row)
            if one.at <= as_of
        ]

    def _statements(self, row: Row) -> Iterator[Said]:
        if "status" not in row and row["kind"] not in ("unsubscribed", "complained"):
            return
        if "status" in row and row["status"] is None:
            return
        owner = self.profiles.get(row["source_profile_id"])
        channel = row["channel"].strip().lower()
        named = row.get("contact_point")
        if owner is None and named is None:
            return
        points: list[Point] = [(row["contact_point_kind"], named)] if named else []
        if owner is not None and not named:
            kind = REACHED_BY.get(channel)
            points += sorted(point for point in self.borne(owner["id"]) if point[0] == kind)
        for point in points or [None]:
            one = Said(
                (channel, row.get("purpose") or "marketing"),
                row.get("status") or "withdrawn",
                row.get("recorded_at") or row["occurred_at"],
                point,
                row["source_profile_id"],
                row["source_id"],
                None if "status" in row else row["kind"],
                row["key"],
                row.get("evidence"),
            )
            if one.is_denial or self._lasts(one, row, owner):
                yield one

    def _lasts(self, one: Said, row: Row, owner: Row | None) -> bool:
        """Whether a grant still has its record, its profile, and the profile its contact point."""
        given_up = any(
            (each["kind"], each["value"]) == one.point
            and each["source_profile_id"] == one.profile_id
            and not each["is_current"]
            for each in self.identifiers
        )
        is_gone = row["deleted_at"] or (owner and owner["deleted_at"])
        return not is_gone and not (given_up and row.get("contact_point"))

    def borne(self, profile_id: int) -> set[tuple[str, str]]:
        """The current identifiers of a profile."""
        return {
            (each["kind"], each["value"])
            for each in self.identifiers
            if each["source_profile_id"] == profile_id and each["is_current"]
        }

    def customer_of(self, profile_id: int | None) -> int | None:
        """Whose the profile is."""
        profile = self.profiles.get(profile_id) if profile_id is not None else None
        return profile["customer_id"] if profile else None

    def bears(self, customer_id: int, point: Point) -> bool:
        """Whether any profile of the customer bears the contact point."""
        return any(
            point in self.borne(each)
            for each, row in self.profiles.items()
            if row["customer_id"] == customer_id
        )

    def statements(self, customer_id: int) -> list[tuple[Said, bool, bool]]:
        """What counts for a customer, each with whether it holds, and whether it is their own."""
        own = [one for one in self.said if self.customer_of(one.profile_id) == customer_id]
        found = []
        for one in own:
            same = [
                each
                for each in own
                if (each.use, each.point) == (one.use, one.point)
                and (one.point or each.profile_id == one.profile_id)
            ]
            found.append((one, one == max(same, key=Said.rank), True))
        for use, point in {(one.use, one.point) for one in self.said if one.point}:
            last = max(
                (one for one in self.said if (one.use, one.point) == (use, point)), key=Said.rank
            )
            if last.is_denial and last not in own and self.bears(customer_id, point):
                found.append((last, True, False))
        return found

    def consents(self, customer_id: int) -> dict[Use, Said]:
        """The statement that decides, by channel and purpose."""
        holding = [one for one, holds, _ in self.statements(customer_id) if holds]
        return {
            use: min(
                (one for one in holding if one.use == use and one.is_denial == is_denied),
                key=lambda one: (*_falling(one), one.point or ("~", "")),
            )
            for use, is_denied in {
                (one.use, any(each.is_denial for each in holding if each.use == one.use))
                for one in holding
            }
        }


def _falling(one: Said) -> tuple[Any, ...]:
    """What sorts the latest first."""
    words = tuple(-ord(letter) for word in (one.event or "", "\0", one.key) for letter in word)
    return (-one.at.timestamp(), not one.is_denial, -one.source_id, words)
