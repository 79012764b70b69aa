"""What sources tell in generated histories: records of few people with much in common.

What is drawn belongs to no history yet: `HERE` stands for its number wherever anything has a name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from hypothesis import strategies as st

from cdp.delivery import Deleted, Received, receive

START: Final = datetime(2024, 1, 1, tzinfo=UTC)
SOURCES: Final = ("shop", "till", "mail")
Row: TypeAlias = Mapping[str, object]
Delivery: TypeAlias = Received | Deleted
Said: TypeAlias = tuple[str, Delivery]
"""A source, and what it tells."""
Thing: TypeAlias = tuple[str, str, Row | None, datetime]
"""What a source tells of, as the fields of Telling."""


HERE: Final = "#"
_NUMBER: Final = re.compile(r"\+447700900(\d\d)|(\d\d)")


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing that a source tells; a record is the canonical `row`, None: it was deleted `at`."""

    source: str
    stream: str
    key: str
    row: Row | None
    at: datetime = START

    def of(self, number: int) -> Said:
        """As it is told in the history of that number, which has two digits."""
        if self.row is None:
            key = self.key.replace(HERE, f"{number:02d}")
            return self.source, Deleted(self.stream, key, self.at)
        row = {name: named(value, number) for name, value in self.row.items()}
        delivery = receive(self.stream, row)
        assert isinstance(delivery, Received), delivery
        return self.source, delivery

    def name(self, number: int) -> str:
        """What its source profile is called in the history of that number."""
        return f"{self.source}/{self.stream}/{named(self.key, number)}"


def named(value: object, number: int) -> object:
    """With the number of the history in every name."""
    if isinstance(value, str):
        return value.replace(HERE, f"{number:02d}")
    if isinstance(value, list):
        return [named(one, number) for one in value]
    if isinstance(value, dict):
        return {name: named(one, number) for name, one in value.items()}
    return value


def number_of(name: str) -> int:
    """The number of the history that a key or identifier belongs to."""
    found = _NUMBER.search(name)
    assert found is not None, name
    return int(found[1] or found[2])


@dataclass(frozen=True, slots=True)
class Town:
    """People who can be told of; those of two towns have nothing in common. At most three."""

    number: int = 0

    @property
    def letter(self) -> str:
        """What tells its names from those of another."""
        return "abc"[self.number]

    def emails(self) -> Sequence[str]:
        """Few, so that they are shared."""
        return [f"{name}{self.letter}{HERE}@example.com" for name in ("ann", "bob", "home", "x")]

    def phones(self) -> Sequence[str]:
        """In E.164, of those that no subscriber ever has."""
        return [f"+447700900{HERE}{3 * self.number + last}" for last in (1, 2, 3)]

    def cards(self) -> Sequence[str]:
        """Of loyalty."""
        return [f"A{self.letter}{HERE}", f"B{self.letter}{HERE}"]

    def handles(self) -> Sequence[str]:
        """On one network."""
        return [f"ann{self.letter}{HERE}", f"bob{self.letter}{HERE}"]

    def devices(self) -> Sequence[str]:
        """Of visitors."""
        return [f"d{self.letter}{HERE}", f"e{self.letter}{HERE}"]

    def key(self, name: str) -> str:
        """Of a record."""
        return f"{self.letter}{HERE}{name}"


TOWN: Final = Town()


def _maybe(values: Sequence[str], nulls: int = 2) -> st.SearchStrategy[str | None]:
    return st.sampled_from((*values, *[None] * nulls))


def _moments() -> st.SearchStrategy[str]:
    return st.integers(0, 5).map(lambda days: (START + timedelta(days=days)).isoformat())


def _keys(town: Town, names: Sequence[str], nulls: int = 2) -> st.SearchStrategy[str | None]:
    return _maybe([town.key(name) for name in names], nulls)


def _customers(town: Town) -> st.SearchStrategy[tuple[str, Row]]:
    handles: list[dict[str, str]] = [{}, {}, *({"x": handle} for handle in town.handles())]
    others: list[dict[str, str]] = [{}, {}, {}, {"shop": town.key("1")}, {"till": town.key("2")}]
    row = st.fixed_dictionaries(
        {
            "id": _keys(town, "12345", nulls=0),
            "first_name": _maybe(["Ann", "Annie", "Bob", "Robert", "Carla"]),
            "last_name": _maybe(["Doe", "Smith"]),
            "birth_date": _maybe(["1980-02-03", "1999-12-01"]),
            "email": _maybe(town.emails()),
            "phone": _maybe(town.phones()),
            "loyalty_card": _maybe(town.cards(), nulls=4),
            "emails": st.lists(st.sampled_from(town.emails()), max_size=2),
            "handles": st.sampled_from(handles),
            "external_ids": st.sampled_from(others),
            "city": _maybe(["Rome", "Paris"]),
            "updated_at": _moments(),
        }
    )
    return row.map(lambda one: ("customers", one))


def _orders(town: Town) -> st.SearchStrategy[tuple[str, Row]]:
    row = st.fixed_dictionaries(
        {
            "id": _keys(town, "abcde", nulls=0),
            "customer_id": _keys(town, "123"),
            "email": _maybe(town.emails()),
            "phone": _maybe(town.phones()),
            "loyalty_card": _maybe(town.cards(), nulls=4),
            "placed_at": _moments(),
            "currency": st.just("EUR"),
            "total": st.sampled_from(["10.00", "25.50"]),
            "status": st.sampled_from(["paid", "cancelled", "refunded", None]),
            "updated_at": _moments(),
        }
    )
    return row.map(lambda one: ("orders", one))


def _others(town: Town) -> st.SearchStrategy[tuple[str, Row]]:
    """Records without versions: what a key says it says for ever, so that no order is needed."""
    at = START.isoformat()
    consent = {"channel": "email", "purpose": "news", "status": "denied", "recorded_at": at}
    points = {"kind": "earn", "points": 5, "occurred_at": at}
    view = {"network": "x", "kind": "like", "occurred_at": at}
    refund = {"refunded_at": at, "amount": "4", "currency": "EUR"}
    who, email, phone = _keys(town, "12"), _maybe(town.emails()), _maybe(town.phones())
    card, handle = _maybe(town.cards()), _maybe(town.handles())
    device = _maybe(town.devices())
    return st.one_of(
        _unversioned("refunds", refund, order_id=_keys(town, "abc", nulls=0)),
        _unversioned("consents", consent, customer_id=who, email=email, phone=phone),
        _unversioned("loyalty_entries", points, customer_id=who, loyalty_card=card),
        _unversioned(
            "interactions", view, customer_id=who, email=email, anonymous_id=device, handle=handle
        ),
    )


def _unversioned(
    stream: str, row: Row, **columns: st.SearchStrategy[str | None]
) -> st.SearchStrategy[tuple[str, Row]]:
    """Records whose key is made of what tells one from another."""
    return st.fixed_dictionaries(columns).map(
        lambda own: (
            stream,
            {"id": "/".join((HERE, *(text or "-" for text in own.values()))), **row, **own},
        )
    )


def things(town: Town) -> st.SearchStrategy[Thing]:
    """One thing of any stream that somebody tells."""
    people, orders = _customers(town), _orders(town)
    records = st.one_of(people, people, orders, _others(town)).map(
        lambda one: (one[0], str(one[1]["id"]), one[1], START)
    )
    gone = [("customers", town.key("1")), ("customers", town.key("2")), ("orders", town.key("a"))]
    deletes: st.SearchStrategy[Thing] = st.tuples(st.sampled_from(gone), st.integers(0, 5)).map(
        lambda one: (*one[0], None, START + timedelta(days=one[1]))
    )
    return st.one_of(records, records, records, deletes)
