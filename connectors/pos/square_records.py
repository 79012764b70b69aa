"""What Square's objects are as canonical records: pure, one object at a time."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cdp.delivery import Deleted, Delivery
from cdp.payloads import payload_of
from connectors.base import Skip
from connectors.money import minor_money
from connectors.reading import Item, Row, consent_key, refused
from connectors.scans import latest_of

ORDER_STATES: Final[Mapping[str, str]] = {
    "OPEN": "pending",
    "COMPLETED": "completed",
    "CANCELED": "cancelled",
    "DRAFT": "draft",
}
LOYALTY_KINDS: Final[Mapping[str, tuple[str, str, int]]] = {
    "ACCUMULATE_POINTS": ("accumulate_points", "earn", 1),
    "ACCUMULATE_PROMOTION_POINTS": ("accumulate_promotion_points", "earn", 1),
    "CREATE_REWARD": ("create_reward", "redeem", -1),
    "DELETE_REWARD": ("delete_reward", "redeem", 1),
    "EXPIRE_POINTS": ("expire_points", "expire", -1),
    "ADJUST_POINTS": ("adjust_points", "adjust", 0),
    "OTHER": ("other_event", "adjust", 0),
}
"""The member with the points, the kind of entry, and the sign that the kind asks for (0: as told).

A reward takes its points when it is created, so that redeeming it moves none; one that is deleted
gives them back, so that it was not redeemed.
"""


def customer(item: Item) -> Iterator[tuple[str, Row]]:
    """A customer, and the refusal of email if they unsubscribed."""
    key, address = item.need("id"), item.item("address")
    street = [address.text(f"address_line_{number}") for number in (1, 2, 3)]
    birthday = item.text("birthday")
    yield (
        "customers",
        {
            "id": key,
            "email": item.get("email_address"),
            "phone": item.get("phone_number"),
            "first_name": item.get("given_name"),
            "last_name": item.get("family_name"),
            # 0000 stands for a year that the customer did not tell.
            "birth_date": birthday if birthday and not birthday.startswith("0000") else None,
            "street": ", ".join(line for line in street if line),
            "city": address.get("locality"),
            "region": address.get("administrative_district_level_1"),
            "postal_code": address.get("postal_code"),
            "country": address.get("country"),
            "external_ids": _external_ids(key, item.text("reference_id")),
            "created_at": item.get("created_at"),
            "updated_at": item.get("updated_at"),
            "nickname": item.get("nickname"),
            "company": item.get("company_name"),
            "creation_source": item.get("creation_source"),
        },
    )
    if item.flag("preferences", "email_unsubscribed"):
        at = {"email": item.text("email_address")}
        yield (
            "consents",
            {
                "id": consent_key(key, "email", at),
                "customer_id": key,
                **at,
                "channel": "email",
                "purpose": "marketing",
                "status": "withdrawn",
                "recorded_at": item.get("updated_at"),
                "evidence": "Square: preferences.email_unsubscribed",
            },
        )


def deletes(events: Iterable[Item]) -> list[Delivery]:
    """The tombstones that `customer.deleted` events ask for."""
    deliveries: list[Delivery] = []
    for event in events:
        try:
            key, moment = event.need("data", "id"), latest_of([event], "created_at")
            if moment is None:
                raise Skip("It is no moment.", "created_at")
        except Skip as skip:
            deliveries.append(refused("customers", event, skip, lambda it: it.need("data", "id")))
        else:
            deliveries.append(Deleted("customers", key, moment, payload_of(event.raw)))
    return deliveries


def loyalty_account(item: Item) -> Iterator[tuple[str, Row]]:
    """A profile of its own: the account changes without its customer, and may have none."""
    key = item.need("id")
    yield (
        "customers",
        {
            "id": loyalty_key(key),
            "phone": item.get("mapping", "phone_number"),
            "loyalty_card": key,
            "external_ids": _external_ids(item.text("customer_id"), None),
            "created_at": item.get("enrolled_at") or item.get("created_at"),
            "updated_at": item.get("updated_at"),
            "loyalty_balance": item.get("balance"),
            "loyalty_lifetime_points": item.get("lifetime_points"),
        },
    )


def loyalty_key(account: str) -> str:
    """The key of the profile that a loyalty account is."""
    return f"loyalty:{account}"


def loyalty_entry(item: Item) -> Iterator[tuple[str, Row]]:
    """A movement of points; events that move none give no row."""
    member, kind, sign = LOYALTY_KINDS.get(item.need("type"), ("", "", 0))
    points = item.number(member, "points") if member else None
    if not points:
        return
    yield (
        "loyalty_entries",
        {
            "id": item.need("id"),
            "customer_id": loyalty_key(item.need("loyalty_account_id")),
            "kind": kind,
            "points": sign * abs(points) if sign else points,
            "occurred_at": item.get("created_at"),
            "order_id": item.get(member, "order_id"),
            "reason": item.get(member, "reason"),
        },
    )


def product_key(item: Item) -> str:
    """The key of the first product that an item of the catalog is."""
    variations = item.items("item_data", "variations")
    return variations[0].need("id") if variations else item.need("id")


def products(item: Item, categories: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """A product for each variation of an item: that is what the lines of an order name."""
    said = item.item("item_data")
    listed = [each.text("id") for each in said.items("categories")]
    # The one that the seller reports by, else the first; category_id is the member of old items.
    named = [said.text("reporting_category", "id"), *listed, said.text("category_id")]
    category = next((categories[key] for key in named if key and key in categories), None)
    for variation in said.items("variations"):
        data = variation.item("item_variation_data")
        yield (
            "products",
            {
                "id": variation.need("id"),
                "sku": data.get("sku"),
                "title": said.get("name"),
                "category": category,
                "price": minor_money(data, "price_money"),
                "currency": data.get("price_money", "currency"),
                "variation": data.get("name"),
                "item_id": item.need("id"),
            },
        )


def order(item: Item) -> Iterator[tuple[str, Row]]:
    """A sale. An order that only returns goods is no purchase: its refund tells the money."""
    lines = item.items("line_items")
    if not lines and item.items("returns"):
        return
    payers = [payer for tender in item.items("tenders") if (payer := tender.text("customer_id"))]
    state = item.text("state") or ""
    yield (
        "orders",
        {
            "id": item.need("id"),
            "customer_id": item.text("customer_id") or next(iter(payers), None),
            "placed_at": item.get("created_at"),
            "currency": item.get("total_money", "currency"),
            "total": minor_money(item, "total_money"),
            "discount": minor_money(item, "total_discount_money"),
            "tax": minor_money(item, "total_tax_money"),
            "status": ORDER_STATES.get(state, state.lower()),
            "channel": "pos",
            "lines": [_line(line) for line in lines],
            "updated_at": item.get("updated_at"),
            "location_id": item.get("location_id"),
            "source_name": item.get("source", "name"),
        },
    )


def _line(line: Item) -> Row:
    return {
        "line": line.get("uid"),
        "product_id": line.get("catalog_object_id"),
        "title": line.get("name"),
        "quantity": line.get("quantity"),
        "unit_price": minor_money(line, "base_price_money") or 0,
        "discount": minor_money(line, "total_discount_money"),
    }


def refund_of(item: Item, sales: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """Money that was given back, on the order that sold the goods; a pending one is none yet."""
    named = item.text("order_id")
    if item.text("status") != "COMPLETED" or named is None:
        return
    yield (
        "refunds",
        {
            "id": item.need("id"),
            "order_id": sales.get(named, named),
            "refunded_at": item.get("created_at"),
            "amount": minor_money(item, "amount_money"),
            "currency": item.get("amount_money", "currency"),
            "reason": item.get("reason"),
        },
    )


def undone(refunds: list[Item]) -> list[Delivery]:
    """A bank may still refuse what was given back: then it never was."""
    return [
        Deleted("refunds", key, moment, payload_of(refund.raw))
        for refund in refunds
        if refund.get("status") in ("REJECTED", "FAILED")
        and isinstance(key := refund.get("id"), str)
        and (moment := latest_of([refund], "updated_at"))
    ]


def _external_ids(customer_id: str | None, reference_id: str | None) -> dict[str, str]:
    """What ties a loyalty account to its customer, and either to another system."""
    named = {"square_customer": customer_id, "square_reference": reference_id}
    return {kind: value for kind, value in named.items() if value}
