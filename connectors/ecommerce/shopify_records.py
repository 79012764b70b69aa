"""What Shopify's objects are as canonical records: pure, one object at a time."""

from collections.abc import Iterator, Mapping
from typing import Final

from connectors.reading import Item, Row, consent_key

PAYMENT_STATES: Final[Mapping[str, str]] = {
    "AUTHORIZED": "pending",
    "PENDING": "pending",
    "PARTIALLY_PAID": "pending",
    "PAID": "paid",
    "PARTIALLY_REFUNDED": "partially_refunded",
    "REFUNDED": "refunded",
    "VOIDED": "voided",
    "EXPIRED": "failed",
}
CONSENT_STATES: Final[Mapping[str, str]] = {"SUBSCRIBED": "granted", "UNSUBSCRIBED": "withdrawn"}
"""Other states (never asked, awaiting a double opt-in, invalid) are silence."""


def customer(item: Item) -> Iterator[tuple[str, Row]]:
    """A customer, and what they consent to by email and by SMS."""
    key, address = key_of(item), item.item("defaultAddress")
    street = [address.text("address1"), address.text("address2")]
    yield (
        "customers",
        {
            "id": key,
            "email": item.get("defaultEmailAddress", "emailAddress"),
            "phone": item.get("defaultPhoneNumber", "phoneNumber"),
            "email_verified": _has_proof_of_email(item) or None,
            "phone_verified": _is_confirmed(item.item("defaultPhoneNumber")) or None,
            "first_name": item.get("firstName"),
            "last_name": item.get("lastName"),
            "street": ", ".join(line for line in street if line),
            "city": address.get("city"),
            "region": address.get("province"),
            "postal_code": address.get("zip"),
            "country": address.get("countryCodeV2"),
            "language": item.get("locale"),
            "tags": item.get("tags"),
            "created_at": item.get("createdAt"),
            "updated_at": item.get("updatedAt"),
            "account_state": item.get("state"),
        },
    )
    email, phone = item.item("defaultEmailAddress"), item.item("defaultPhoneNumber")
    yield from _consent(item, "email", email, {"email": email.text("emailAddress")})
    yield from _consent(item, "sms", phone, {"phone": phone.text("phoneNumber")})


def _has_proof_of_email(item: Item) -> bool:
    """Whether the person answered at the address: with an account, or by a double opt-in.

    `verifiedEmail` alone is no proof: Shopify sets it for whomever the shop's staff adds.
    """
    has_account = item.text("state") == "ENABLED" and item.flag("verifiedEmail")
    return has_account or _is_confirmed(item.item("defaultEmailAddress"))


def _is_confirmed(said: Item) -> bool:
    """Whether a double opt-in came to its end, be it taken back since or not."""
    has_answered = (said.text("marketingState") or "") in CONSENT_STATES
    return has_answered and said.text("marketingOptInLevel") == "CONFIRMED_OPT_IN"


def _consent(
    item: Item, channel: str, said: Item, at: Mapping[str, str | None]
) -> Iterator[tuple[str, Row]]:
    """What was said of the contact point `at`: of another one it is another statement."""
    key = key_of(item)
    status = CONSENT_STATES.get(said.text("marketingState") or "")
    if status is None:
        return
    level = said.text("marketingOptInLevel")
    yield (
        "consents",
        {
            "id": consent_key(key, channel, at),
            "customer_id": key,
            **at,
            "channel": channel,
            "purpose": "marketing",
            "status": status,
            # Shopify leaves the moment out where it was imported with the customer.
            "recorded_at": said.get("marketingUpdatedAt") or item.get("createdAt"),
            "evidence": f"Shopify: {level}" if level else "Shopify",
        },
    )


def product(item: Item) -> Iterator[tuple[str, Row]]:
    """A product; where it has variants, the price of the cheapest and the SKU of the first."""
    variants = item.items("variants", "nodes")
    yield (
        "products",
        {
            "id": key_of(item),
            "sku": variants[0].get("sku") if variants else None,
            "title": item.get("title"),
            "category": item.get("productType"),
            "price": item.get("priceRangeV2", "minVariantPrice", "amount"),
            "currency": item.get("priceRangeV2", "minVariantPrice", "currencyCode"),
            "vendor": item.get("vendor"),
        },
    )


def order(item: Item) -> Iterator[tuple[str, Row]]:
    """An order with its lines, and its refunds; a guest's bears an email or phone, no customer."""
    key, buyer = key_of(item), item.text("customer", "id")
    yield (
        "orders",
        {
            "id": key,
            "customer_id": number_of(buyer) if buyer else None,
            "email": item.get("email"),
            "phone": item.get("phone"),
            "placed_at": item.get("processedAt") or item.get("createdAt"),
            "currency": item.get("currencyCode"),
            "total": item.get("totalPriceSet", "shopMoney", "amount"),
            "discount": item.get("totalDiscountsSet", "shopMoney", "amount"),
            "tax": item.get("totalTaxSet", "shopMoney", "amount"),
            "shipping": item.get("totalShippingPriceSet", "shopMoney", "amount"),
            "status": _status(item),
            "channel": item.get("sourceName"),
            "lines": [_line(line) for line in item.items("lineItems", "nodes")],
            "updated_at": item.get("updatedAt"),
            "name": item.get("name"),
            "tags": item.get("tags") or None,
        },
    )
    for refund in item.items("refunds"):
        # Goods put back without money are no refund.
        if refund.amount("totalRefundedSet", "shopMoney", "amount"):
            yield "refunds", _refund(refund, key)


def _line(line: Item) -> Row:
    product_id = line.text("product", "id")
    return {
        "line": key_of(line),
        "product_id": number_of(product_id) if product_id else None,
        "sku": line.get("sku"),
        "title": line.get("title"),
        "category": line.get("product", "productType") or None,
        "quantity": line.get("quantity"),
        "unit_price": line.get("originalUnitPriceSet", "shopMoney", "amount"),
        "discount": line.get("totalDiscountSet", "shopMoney", "amount"),
    }


def _refund(refund: Item, order_key: str) -> Row:
    return {
        "id": key_of(refund),
        "order_id": order_key,
        "refunded_at": refund.get("createdAt"),
        "amount": refund.get("totalRefundedSet", "shopMoney", "amount"),
        "currency": refund.get("totalRefundedSet", "shopMoney", "currencyCode"),
        "reason": refund.get("note"),
    }


def _status(item: Item) -> str | None:
    if item.flag("test"):
        return "test"
    if item.text("cancelledAt"):
        return "cancelled"
    paid = item.text("displayFinancialStatus")
    if paid == "PAID" and item.text("displayFulfillmentStatus") == "FULFILLED":
        return "fulfilled"
    return PAYMENT_STATES.get(paid, paid.lower()) if paid else None


def key_of(item: Item) -> str:
    """The key of an object."""
    return number_of(item.need("id"))


def number_of(gid: str) -> str:
    """The plain number in `gid://shopify/Customer/123`, which webhooks give too."""
    return gid.rsplit("/", 1)[-1].partition("?")[0]
