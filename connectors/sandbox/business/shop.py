"""The web shop of the sample business, as Shopify's Admin GraphQL API tells it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Final

from connectors.sandbox.business.catalogue import CURRENCY, PRODUCTS, Product
from connectors.sandbox.business.hearing import Ear
from connectors.sandbox.business.population import Home
from connectors.sandbox.business.story import Habit, Life, Purchase, Story
from connectors.sandbox.business.truth import Truth
from connectors.sandbox.state import Item

SOURCE: Final = "web-shop"
MEMBER: Final = Ear(nickname=0.08, slip=0.015, other_email=0.15)
GUEST: Final = Ear(household=0.4, other_email=0.25)
FIRST_ID: Final = 6_000_000_000  # as long as the vendor's own numbers
WITH_TWO_ACCOUNTS: Final = 0.08
WITH_PHONE: Final = 0.65


def tell_shop(story: Story, truth: Truth) -> Iterator[tuple[str, Item]]:
    """Products, customers and orders, as (kind, object) for the emulator."""
    for product in PRODUCTS:
        yield "products", _product(story, product)
    phones: set[str] = set()
    for life in story.lives:
        random = story.random(life.person, "shop")
        bought = life.bought("web")
        if life.is_guest:
            for purchase in bought:
                yield "orders", _guest_order(story, truth, random, life, purchase)
        elif bought or (life.habit is Habit.BROWSER and random.random() < 0.35):
            yield from _accounts(story, truth, random, life, phones)


def _accounts(
    story: Story, truth: Truth, random: Random, life: Life, phones: set[str]
) -> Iterator[tuple[str, Item]]:
    """One account, or two of somebody who forgot the first, each with its orders."""
    person, bought = life.person, life.bought("web")
    parts = [bought]
    is_forgetful = random.random() < WITH_TWO_ACCOUNTS
    if is_forgetful and len(bought) > 2 and len(person.emails) > 1:
        parts = [bought[: len(bought) // 2], bought[len(bought) // 2 :]]
    usual = MEMBER.email(random, person)
    addresses = [usual, *(address for address in person.emails if address != usual)]
    for number, (purchases, email) in enumerate(zip(parts, addresses, strict=False)):
        key = str(FIRST_ID + person.number * 10 + number)
        gid = f"gid://shopify/Customer/{key}"
        truth.about(SOURCE, key, person)
        yield "customers", _customer(story, random, life, gid, purchases, email, phones)
        for purchase in purchases:
            order = _order(story, purchase, email, person.home_on(purchase.day))
            yield "orders", {**order, "customer": {"id": gid}}


def _customer(
    story: Story,
    random: Random,
    life: Life,
    gid: str,
    purchases: Sequence[Purchase],
    email: str,
    phones: set[str],
) -> Item:
    person = life.person
    first = purchases[0].second if purchases else life.first_day * 86_400 + 3600 * 10
    latest = purchases[-1] if purchases else None
    last_day = latest.day if latest else life.first_day
    given = MEMBER.given(random, person)
    family = MEMBER.family(random, person, first // 86_400)
    phone = MEMBER.phone(random, person, last_day) if random.random() < WITH_PHONE else None
    if phone in phones or phone == person.household.phone:
        phone = None  # the vendor takes a number once per shop
    phones.update(filter(None, (phone,)))
    address = _address(f"{gid}-address", person.home_on(last_day), given, family)
    spent = sum(one.total_minor for one in purchases)
    agreed = life.subscribed_day is not None and life.unsubscribed_second is None
    return {
        "id": gid,
        "firstName": given,
        "lastName": family,
        "defaultEmailAddress": {
            "emailAddress": email,
            "marketingState": "SUBSCRIBED" if agreed else "NOT_SUBSCRIBED",
            "marketingUpdatedAt": _iso(story.at(first)) if agreed else None,
        },
        "defaultPhoneNumber": {"phoneNumber": phone} if phone else None,
        "defaultAddress": address,
        "addresses": [address],
        "state": "ENABLED",
        "locale": {"FR": "fr", "US": "en-US", "AU": "en-AU"}.get(person.country, "en-GB"),
        "tags": ["account"] if latest else ["account", "no-order"],
        "numberOfOrders": str(len(purchases)),
        "amountSpent": _amount(spent),
        "createdAt": _iso(story.at(first)),
        "updatedAt": _iso(story.at(_touched(latest) if latest else first)),
    }


def _guest_order(
    story: Story, truth: Truth, random: Random, life: Life, purchase: Purchase
) -> Item:
    person = life.person
    email = GUEST.email(random, person)
    truth.contact(SOURCE, "email", email, person)
    phone = person.phone_on(purchase.day) if random.random() < 0.3 else None
    return {**_order(story, purchase, email, person.home_on(purchase.day)), "phone": phone}


def _order(story: Story, purchase: Purchase, email: str, home: Home) -> Item:
    number = FIRST_ID + purchase.number
    gid = f"gid://shopify/Order/{number}"
    placed = _iso(story.at(purchase.second))
    cancelled = purchase.cancelled_second
    lines = [_line(number, at, *line) for at, line in enumerate(purchase.lines, start=1)]
    return {
        "id": gid,
        "name": f"#{purchase.number + 1000}",
        "email": email,
        "createdAt": placed,
        "processedAt": placed,
        "updatedAt": _iso(story.at(_touched(purchase))),
        "cancelledAt": None if cancelled is None else _iso(story.at(cancelled)),
        "cancelReason": None if cancelled is None else "CUSTOMER",
        "displayFinancialStatus": _status(purchase),
        "displayFulfillmentStatus": "UNFULFILLED" if cancelled else "FULFILLED",
        "currencyCode": CURRENCY,
        "sourceName": "web",
        "shippingAddress": _address(f"{gid}-address", home, None, None),
        "subtotalPriceSet": _money(purchase.goods_minor - purchase.discount_minor),
        "totalPriceSet": _money(purchase.total_minor),
        "totalDiscountsSet": _money(purchase.discount_minor),
        "totalShippingPriceSet": _money(purchase.shipping_minor),
        "totalTaxSet": _money((purchase.total_minor * 20 + 60) // 120),
        "taxesIncluded": True,
        "totalRefundedSet": _money(purchase.refund_minor),
        "lineItems": lines,
        "refunds": _refunds(story, number, purchase),
    }


def _line(order: int, position: int, product: Product, quantity: int) -> Item:
    unit = _money(product.price_minor)
    total = _money(product.price_minor * quantity)
    return {
        "id": f"gid://shopify/LineItem/{order * 10 + position}",
        "title": product.title,
        "sku": product.sku,
        "quantity": quantity,
        "product": {"id": f"gid://shopify/Product/{FIRST_ID + product.number}"},
        "originalUnitPriceSet": unit,
        "originalTotalSet": total,
        "discountedTotalSet": total,
    }


def _refunds(story: Story, order: int, purchase: Purchase) -> list[Item]:
    if purchase.refund_second is None:
        return []
    moment = _iso(story.at(purchase.refund_second))
    return [
        {
            "id": f"gid://shopify/Refund/{order}",
            "createdAt": moment,
            "note": "Returned",
            "totalRefundedSet": _money(purchase.refund_minor),
        }
    ]


def _status(purchase: Purchase) -> str:
    if purchase.cancelled_second is not None:
        return "VOIDED"
    if purchase.refund_second is None:
        return "PAID"
    paid = purchase.total_minor - purchase.refund_minor
    return "REFUNDED" if paid <= 0 else "PARTIALLY_REFUNDED"


def _product(story: Story, product: Product) -> Item:
    created = _iso(story.start)
    return {
        "id": f"gid://shopify/Product/{FIRST_ID + product.number}",
        "title": product.title,
        "vendor": "Harbour & Hill",
        "productType": product.category,
        "createdAt": created,
        "updatedAt": created,
        "variants": [
            {
                "id": f"gid://shopify/ProductVariant/{FIRST_ID + product.number}",
                "sku": product.sku,
                "price": _decimal(product.price_minor),
            }
        ],
    }


def _address(identifier: str, home: Home, given: str | None, family: str | None) -> Item:
    return {
        "id": identifier.replace("Customer", "MailingAddress").replace("Order", "MailingAddress"),
        "firstName": given,
        "lastName": family,
        "address1": home.street,
        "city": home.city,
        "province": home.region or None,
        "provinceCode": home.region if home.country in ("US", "AU") else None,
        "zip": home.postal_code,
        "countryCodeV2": home.country,
    }


def _touched(purchase: Purchase) -> int:
    """When the order last changed: paid at once, then refunded or cancelled."""
    return max(purchase.second, purchase.refund_second or 0, purchase.cancelled_second or 0)


def _decimal(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _amount(minor: int) -> Item:
    return {"amount": _decimal(minor), "currencyCode": CURRENCY}


def _money(minor: int) -> Item:
    return {"shopMoney": _amount(minor)}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
