"""Reads a vendor's JSON, of which nothing is sure until it was looked at."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from cdp.delivery import Delivery, Refused, receive
from cdp.payloads import payload_of
from connectors.base import Skip

MAX_POINT: Final = 320  # characters of a contact point within a key; the longest address

TOO_DEEP: Final = "It is nested too deeply."

MISSING: Final[Mapping[str, object]] = {}


class Item:
    """One JSON object of a vendor. A path that leads nowhere is None; a wrong type raises Skip."""

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, object]) -> None:
        self.raw = raw

    def get(self, *path: str) -> object:
        """Whatever lies at the path, unchecked: canonical columns check their own values."""
        found: object = self.raw
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found

    def text(self, *path: str) -> str | None:
        """The text at the path; None where there is none, or it is empty."""
        found = self.get(*path)
        if found is None or found == "":
            return None
        if not isinstance(found, str):
            raise Skip(f"Expected text, got {type(found).__name__}", ".".join(path))
        return found

    def need(self, *path: str) -> str:
        """The text at the path, without which the object means nothing."""
        found = self.text(*path)
        if found is None:
            raise Skip("It is missing.", ".".join(path))
        return found

    def number(self, *path: str) -> int | None:
        """The whole number at the path."""
        found = self.get(*path)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool):
            raise Skip(f"Expected a whole number, got {type(found).__name__}", ".".join(path))
        return found

    def amount(self, *path: str) -> Decimal:
        """The decimal that is written as text at the path; zero where there is none."""
        found = self.text(*path)
        try:
            return Decimal(found or 0)
        except ArithmeticError:
            raise Skip(f"{found!r} is not an amount.", ".".join(path)) from None

    def flag(self, *path: str) -> bool:
        """Whether true stands at the path."""
        return self.get(*path) is True

    def item(self, *path: str) -> "Item":
        """The object at the path; an empty one where there is none."""
        found = self.get(*path)
        if found is None:
            return Item(MISSING)
        if not isinstance(found, Mapping):
            raise Skip(f"Expected an object, got {type(found).__name__}", ".".join(path))
        return Item(found)

    def items(self, *path: str) -> "list[Item]":
        """The objects in the list at the path; none where there is no list."""
        found = self.get(*path)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
            raise Skip("Expected a list of objects.", ".".join(path))
        return [Item(each) for each in found]

    def __bool__(self) -> bool:
        return bool(self.raw)

    def __repr__(self) -> str:
        return f"Item({msgspec.json.encode(self.raw)[:200].decode(errors='replace')})"


Row = dict[str, object]
"""One row of canonical columns."""

Mapper = Callable[[Item], Iterable[tuple[str, Row]]]
"""A pure function from a vendor's object to canonical rows, each with its stream."""


def names_of(objects: Iterable[Item], kind: str, member: str) -> dict[str, str]:
    """The names of the objects of one type, by id; each has its name in the `member` of it."""
    found: dict[str, str] = {}
    for each in objects:
        key, name = each.get("id"), each.get(member, "name")
        if each.get("type") == kind and isinstance(key, str) and isinstance(name, str):
            found[key] = name
    return found


def consent_key(customer: str, channel: str, at: Mapping[str, str | None]) -> str:
    """The key of what a customer said of marketing on a channel, at the contact point `at`.

    Each contact point has its own: the refusal of an address outlives a change of the address.
    """
    values = [value.strip().lower()[:MAX_POINT] for value in at.values() if value]
    return ":".join([customer, channel, "marketing", *values])


def plain_key(item: Item) -> str:
    """The key of an object that bears it as `id`."""
    return item.need("id")


def delivered(
    stream: str,
    items: Iterable[Item],
    mapper: Mapper,
    *,
    version: str | None = None,
    key: Callable[[Item], str] = plain_key,
) -> list[Delivery]:
    """Map the objects of a page. One that cannot be mapped is refused, and the rest go on.

    `stream` is the canonical stream of the record that an object is first of all, and `key` gives
    its key there: a refusal is kept under both, and closed when that record comes and can be taken.
    `version` is the member that counts the versions of an object.
    """
    deliveries: list[Delivery] = []
    for item in items:
        try:
            deliveries += _mapped(item, mapper, version)
        except Skip as skip:
            deliveries.append(refused(stream, item, skip, key))
        except RecursionError:
            deliveries.append(refused(stream, item, Skip(TOO_DEEP), key))
    return deliveries


def refused(
    stream: str, item: Item, skip: Skip, key: Callable[[Item], str] = plain_key
) -> Delivery:
    """The refusal of one object, under its canonical stream and the key where it tells one."""
    try:
        payload = payload_of(item.raw)
    except RecursionError:
        payload = b"null"
    try:
        known: str | None = key(item)
    except Skip:
        known = None
    return Refused(stream, known, skip.reason, skip.path, payload)


def _mapped(item: Item, mapper: Mapper, version: str | None) -> list[Delivery]:
    payload = payload_of(item.raw)
    vendor_version = item.number(version) if version else None
    return [
        receive(name, row, payload=payload, vendor_version=vendor_version)
        for name, row in mapper(item)
    ]
