"""Completes a shop's objects when they are put: defaults, and what follows from the rest."""

import re

from connectors.sandbox.shopify_schema import DEFAULTS, SHOP
from connectors.sandbox.state import Item, as_item, as_list, as_text

TYPES = {"customers": "Customer", "orders": "Order", "products": "Product"}
"""The GraphQL type of each kind."""


def filled(kind: str, item: Item) -> Item:
    """Return a copy with everything that the schema wants and that follows from the rest."""
    key = as_text(item["id"])
    if not key.startswith(f"gid://shopify/{TYPES[kind]}/"):
        raise ValueError(f"{key!r} is no gid of {TYPES[kind]}")
    whole: Item = {**DEFAULTS[kind], "legacyResourceId": key.rsplit("/", 1)[-1], **item}
    match kind:
        case "customers":
            return _filled_customer(whole)
        case "orders":
            return _filled_order(whole)
        case _:
            return _filled_product(whole)


def _filled_customer(item: Item) -> Item:
    email, phone = item.get("defaultEmailAddress"), item.get("defaultPhoneNumber")
    home = item.get("defaultAddress")
    if isinstance(home, dict):
        home = {"id": f"gid://shopify/MailingAddress/{item['legacyResourceId']}", **home}
        item["defaultAddress"] = home
        item["addresses"] = item["addresses"] or [home]
    names = [str(name) for name in (item.get("firstName"), item.get("lastName")) if name]
    if isinstance(email, dict):
        address = {"marketingState": "NOT_SUBSCRIBED", "validFormat": True, **email}
        item["defaultEmailAddress"] = address
        item.setdefault("email", email["emailAddress"])
        item.setdefault("emailMarketingConsent", _consent(address))
    if isinstance(phone, dict):
        number = {"marketingState": "NOT_SUBSCRIBED", **phone}
        item["defaultPhoneNumber"] = number
        item.setdefault("phone", phone["phoneNumber"])
        item.setdefault("smsMarketingConsent", _consent(number))
    item.setdefault("displayName", " ".join(names) or item.get("email") or item.get("phone") or "")
    item.setdefault("amountSpent", {"amount": "0.0", "currencyCode": SHOP["currencyCode"]})
    item["addressesV2"] = item["addresses"]
    return item


def _consent(address: Item) -> Item:
    return {
        "marketingState": address["marketingState"],
        "marketingOptInLevel": address.get("marketingOptInLevel") or "UNKNOWN",
        "consentUpdatedAt": address.get("marketingUpdatedAt"),
    }


def _bag(money: object) -> object:
    if not isinstance(money, dict):
        return money
    return {"presentmentMoney": money["shopMoney"], **money}


def _bags_filled(item: Item) -> Item:
    return {name: _bag(value) if name.endswith("Set") else value for name, value in item.items()}


def _zero(like: object) -> Item:
    money = as_item(as_item(like)["shopMoney"])
    nothing = {"amount": "0.0", "currencyCode": money["currencyCode"]}
    return {"shopMoney": nothing, "presentmentMoney": nothing}


def _filled_order(item: Item) -> Item:
    item = _bags_filled(item)
    total = item["totalPriceSet"]
    currency = as_item(as_item(total)["shopMoney"])["currencyCode"]
    nothing = _zero(total)
    item.setdefault("currencyCode", currency)
    item.setdefault("presentmentCurrencyCode", item["currencyCode"])
    item.setdefault("processedAt", item["createdAt"])
    for name in ("totalShippingPriceSet", "totalRefundedSet", "currentTotalDiscountsSet"):
        item.setdefault(name, nothing)
    item.setdefault("currentTotalTaxSet", item.get("totalTaxSet") or nothing)
    item.setdefault("currentTotalPriceSet", total)
    item.setdefault("currentSubtotalPriceSet", item.get("subtotalPriceSet") or total)
    item.setdefault("netPaymentSet", total)
    lines = [_filled_line(as_item(line)) for line in as_list(item["lineItems"])]
    by_id = {line["id"]: line for line in lines}
    item["lineItems"] = lines
    item["refunds"] = [_filled_refund(as_item(r), by_id) for r in as_list(item["refunds"])]
    quantities = [line["quantity"] for line in lines]
    item.setdefault("subtotalLineItemsQuantity", sum(q for q in quantities if isinstance(q, int)))
    return item


def _filled_line(item: Item) -> Item:
    line = _bags_filled({**DEFAULTS["lines"], **item})
    line.setdefault("name", line["title"])
    line.setdefault("currentQuantity", line["quantity"])
    unit = line["originalUnitPriceSet"]
    line.setdefault("discountedUnitPriceSet", unit)
    line.setdefault("discountedTotalSet", line["originalTotalSet"])
    line.setdefault("totalDiscountSet", _zero(unit))
    return line


def _filled_refund(item: Item, lines: dict[object, Item]) -> Item:
    refund = _bags_filled(item)
    refund.setdefault("legacyResourceId", as_text(item["id"]).rsplit("/", 1)[-1])
    refund.setdefault("updatedAt", item["createdAt"])
    parts: list[Item] = []
    for part in as_list(item.get("refundLineItems", [])):
        whole: Item = {"restockType": "RETURN", **_bags_filled(as_item(part))}
        whole.setdefault("totalTaxSet", _zero(whole["subtotalSet"]))
        whole["lineItem"] = lines[as_item(whole["lineItem"])["id"]]
        parts.append(whole)
    refund["refundLineItems"] = parts
    return refund


def _filled_product(item: Item) -> Item:
    item.setdefault("handle", re.sub(r"[^a-z0-9]+", "-", as_text(item["title"]).lower()).strip("-"))
    variants: list[Item] = []
    for position, part in enumerate(as_list(item["variants"]), start=1):
        variant: Item = {"title": "Default Title", "position": position, **as_item(part)}
        variant.setdefault("legacyResourceId", as_text(variant["id"]).rsplit("/", 1)[-1])
        variant.setdefault("displayName", f"{item['title']} - {variant['title']}")
        variant.setdefault("createdAt", item["createdAt"])
        variant.setdefault("updatedAt", item["updatedAt"])
        variants.append(variant)
    item["variants"] = variants
    prices = sorted((as_text(v["price"]) for v in variants), key=float) or ["0.0"]
    currency = SHOP["currencyCode"]
    lowest, highest = ({"amount": p, "currencyCode": currency} for p in (prices[0], prices[-1]))
    item.setdefault("priceRangeV2", {"minVariantPrice": lowest, "maxVariantPrice": highest})
    return item
