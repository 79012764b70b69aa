"""The kinds of objects that a seller has, and the orders in which Square lists them."""

from collections.abc import Callable

from connectors.sandbox.state import (
    Item,
    SortValue,
    as_text,
    micros,
)

Reader = Callable[[Item], SortValue | None]


def _time(name: str) -> Reader:
    return lambda item: micros(item[name]) if item.get(name) else None


def _name(item: Item) -> SortValue:
    """Return DEFAULT's sort value: given and family name, else company, e-mail, phone."""
    names = f"{item.get('given_name') or ''} {item.get('family_name') or ''}".strip()
    fallbacks = (item.get(field) for field in ("company_name", "email_address", "phone_number"))
    return (names or next((str(value) for value in fallbacks if value), "")).casefold()


def key_of(name: str = "id") -> Callable[[Item], str]:
    """Return a reader of an object's key."""
    return lambda item: as_text(item[name])


CREATED, UPDATED = _time("created_at"), _time("updated_at")


PUBLIC_FIELDS = ("given_name", "family_name", "company_name", "email_address", "phone_number")
"""A customer with none of these is never found (OpenAPI, SearchCustomersResponse.customers)."""


def _public(read: Reader) -> Reader:
    """Return a reader that leaves a customer without public information out of its order."""
    return lambda item: read(item) if any(item.get(name) for name in PUBLIC_FIELDS) else None


KINDS: dict[str, dict[str, Reader]] = {
    "customers": {
        "DEFAULT": _public(_name),
        "CREATED_AT": _public(CREATED),
        "UPDATED_AT": _public(UPDATED),
    },
    "orders": {"CREATED_AT": CREATED, "UPDATED_AT": UPDATED, "CLOSED_AT": _time("closed_at")},
    "locations": {"CREATED_AT": CREATED},
    "refunds": {"CREATED_AT": CREATED, "UPDATED_AT": UPDATED},
    "loyalty_accounts": {"CREATED_AT": CREATED},
    "loyalty_events": {"CREATED_AT": CREATED},
    "catalog": {"ID": key_of(), "UPDATED_AT": UPDATED},
}


EVENT_NAMES = {
    "customers": ("customer", "customer"),
    "orders": ("order", "order"),
    "refunds": ("refund", "refund"),
    "loyalty_accounts": ("loyalty.account", "loyalty_account"),
    "loyalty_events": ("loyalty.event", "loyalty_event"),
}
