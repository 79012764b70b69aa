"""The shops' tills of the sample business, as Square's API tells them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Final

from connectors.pos.square_records import loyalty_key
from connectors.sandbox.business.catalogue import CURRENCY, PRODUCTS, Product
from connectors.sandbox.business.contact_points import as_dialled_at_home
from connectors.sandbox.business.hearing import (
    PLACEHOLDER_EMAIL,
    PLACEHOLDER_PHONE,
    Ear,
    tablet_address,
)
from connectors.sandbox.business.population import Person
from connectors.sandbox.business.story import TILLS, Life, Purchase, Story
from connectors.sandbox.business.truth import Truth
from connectors.sandbox.state import Item

SOURCE: Final = "tills"
STAFF: Final = Ear(nickname=0.25, slip=0.04, family_left_out=0.1, household=0.25, other_email=0.15)
WITH_TWO_PROFILES: Final = 0.12
WITH_EMAIL: Final = 0.66
FROM_TABLET: Final = 0.14  # of all profiles, who told no address
WITH_PLACEHOLDER_EMAIL: Final = 0.06
WITH_PHONE: Final = 0.85
WITH_PLACEHOLDER_PHONE: Final = 0.04
WITHOUT_NAME: Final = 0.05
IN_PROGRAMME: Final = 0.6  # of the profiles with a phone
REWARD_POINTS: Final = 150
PROGRAMME: Final = "programme-points"


@dataclass(frozen=True, slots=True)
class _Told:
    """Whom the staff wrote down."""

    given: str | None
    family: str | None
    email: str | None
    phone: str | None
    number: str | None
    """The phone in E.164 where it is a real one."""


def tell_tills(story: Story, truth: Truth) -> Iterator[tuple[str, Item]]:
    """Locations, catalog, customers, orders, refunds and loyalty, as (kind, object)."""
    for town in TILLS.values():
        yield "locations", _location(story, town)
    for category in dict.fromkeys(product.category for product in PRODUCTS):
        yield "catalog", _category(story, category)
    for product in PRODUCTS:
        yield "catalog", _article(story, product)
    members: set[str] = set()
    for life in story.lives:
        random = story.random(life.person, "tills")
        for purchase in life.purchases:
            if purchase.place == "till" and purchase.is_unnamed:
                yield from _order(story, life.person, purchase, None)
        bought = life.bought("till")
        if bought:
            yield from _profiles(story, truth, random, life, bought, members)


def _profiles(
    story: Story,
    truth: Truth,
    random: Random,
    life: Life,
    bought: Sequence[Purchase],
    members: set[str],
) -> Iterator[tuple[str, Item]]:
    """One profile, or two where the staff did not find the first, each with its orders."""
    parts = [bought]
    if random.random() < WITH_TWO_PROFILES and len(bought) > 1:
        parts = [bought[: len(bought) // 2], bought[len(bought) // 2 :]]
    for number, purchases in enumerate(parts):
        key = f"TILL{life.person.number * 10 + number:022d}"
        told = _told(random, life.person, purchases[0].day)
        truth.about(SOURCE, key, life.person)
        yield "customers", _customer(story, random, life, key, told, purchases)
        for purchase in purchases:
            yield from _order(story, life.person, purchase, key)
        if told.number and told.number not in members and random.random() < IN_PROGRAMME:
            members.add(told.number)  # the vendor's programme knows a phone once
            truth.about(SOURCE, loyalty_key(_account(key)), life.person)
            yield from _loyalty(story, key, told.number, purchases)


def _told(random: Random, person: Person, day: int) -> _Told:
    email: str | None = None
    if random.random() < WITH_EMAIL:
        email = STAFF.email(random, person)
        email = email.capitalize() if random.random() < 0.2 else email
    elif random.random() < FROM_TABLET / (1 - WITH_EMAIL):
        email = tablet_address(person)
    elif random.random() < WITH_PLACEHOLDER_EMAIL / (1 - WITH_EMAIL):
        email = PLACEHOLDER_EMAIL
    number = STAFF.phone(random, person, day) if random.random() < WITH_PHONE else None
    phone = number
    if number is None and random.random() < WITH_PLACEHOLDER_PHONE / (1 - WITH_PHONE):
        phone = PLACEHOLDER_PHONE
    elif number is not None and random.random() < 0.4:
        phone = as_dialled_at_home(number)
    if number is not None and random.random() < WITHOUT_NAME:
        return _Told(None, None, None, phone, number)
    given, family = STAFF.given(random, person), STAFF.family(random, person, day)
    return _Told(given, family, email, phone, number)


def _customer(
    story: Story, random: Random, life: Life, key: str, told: _Told, purchases: Sequence[Purchase]
) -> Item:
    home = life.person.home_on(purchases[0].day)
    item: Item = {
        "id": key,
        "given_name": told.given,
        "family_name": told.family,
        "email_address": told.email,
        "phone_number": told.phone,
        "creation_source": "LOYALTY" if told.given is None else "DIRECTORY",
        "preferences": {"email_unsubscribed": life.unsubscribed_second is not None},
        "created_at": _iso(story.at(purchases[0].second)),
        "updated_at": _iso(story.at(purchases[0].second)),
        "version": 0,
    }
    if random.random() < 0.3:
        item["birthday"] = life.person.birth_date.isoformat()
    if random.random() < 0.4:
        item["address"] = {
            "address_line_1": home.street,
            "locality": home.city,
            "administrative_district_level_1": home.region or None,
            "postal_code": home.postal_code,
            "country": home.country,
        }
    return _said(item)


def _order(
    story: Story, person: Person, purchase: Purchase, customer: str | None
) -> Iterator[tuple[str, Item]]:
    key, moment = f"ORDER{purchase.number:021d}", _iso(story.at(purchase.second))
    location = _place(TILLS[person.country])
    yield (
        "orders",
        _said(
            {
                "id": key,
                "location_id": location,
                "customer_id": customer,
                "state": "COMPLETED",
                "created_at": moment,
                "updated_at": moment,
                "closed_at": moment,
                "version": 4,
                "line_items": [_line(at, *line) for at, line in enumerate(purchase.lines, start=1)],
                "total_money": _money(purchase.total_minor),
                "total_discount_money": _money(purchase.discount_minor),
                "total_tax_money": _money((purchase.total_minor * 20 + 60) // 120),
                "total_tip_money": _money(0),
                "total_service_charge_money": _money(0),
                "tenders": [
                    {
                        "id": f"PAY{purchase.number:021d}",
                        "type": "CARD",
                        "amount_money": _money(purchase.total_minor),
                    }
                ],
            }
        ),
    )
    if purchase.refund_second is not None:
        refunded = _iso(story.at(purchase.refund_second))
        yield (
            "refunds",
            {
                "id": f"REFUND{purchase.number:021d}",
                "status": "COMPLETED",
                "location_id": location,
                "amount_money": _money(purchase.refund_minor),
                "payment_id": f"PAY{purchase.number:021d}",
                "order_id": key,
                "reason": "Returned",
                "created_at": refunded,
                "updated_at": refunded,
            },
        )


def _line(position: int, product: Product, quantity: int) -> Item:
    total = product.price_minor * quantity
    return {
        "uid": f"line-{position}",
        "catalog_object_id": f"VARIATION{product.number:017d}",
        "name": product.title,
        "quantity": str(quantity),
        "item_type": "ITEM",
        "base_price_money": _money(product.price_minor),
        "gross_sales_money": _money(total),
        "total_discount_money": _money(0),
        "total_money": _money(total),
    }


def _loyalty(
    story: Story, customer: str, number: str, purchases: Sequence[Purchase]
) -> Iterator[tuple[str, Item]]:
    """The account, a point for each euro, and a reward whenever there are enough."""
    account = _account(customer)
    balance = lifetime = 0
    for purchase in purchases:
        earned = purchase.total_minor // 100
        balance, lifetime = balance + earned, lifetime + earned
        order = f"ORDER{purchase.number:021d}"
        details: Item = {"loyalty_program_id": PROGRAMME, "points": earned, "order_id": order}
        yield _event(story, account, "earn", purchase, {"accumulate_points": details})
        if balance >= REWARD_POINTS:
            balance -= REWARD_POINTS
            reward: Item = {"loyalty_program_id": PROGRAMME, "points": -REWARD_POINTS}
            yield _event(story, account, "reward", purchase, {"create_reward": reward})
    joined, latest = purchases[0].second, purchases[-1].second
    yield (
        "loyalty_accounts",
        {
            "id": account,
            "program_id": PROGRAMME,
            "customer_id": customer,
            "mapping": {"id": f"{account}-phone", "phone_number": number},
            "balance": balance,
            "lifetime_points": lifetime,
            "enrolled_at": _iso(story.at(joined)),
            "created_at": _iso(story.at(joined)),
            "updated_at": _iso(story.at(latest)),
        },
    )


def _account(customer: str) -> str:
    return f"LOYALTY-{customer}"


def _event(
    story: Story, account: str, what: str, purchase: Purchase, details: Item
) -> tuple[str, Item]:
    kind = "ACCUMULATE_POINTS" if what == "earn" else "CREATE_REWARD"
    return (
        "loyalty_events",
        {
            "id": f"{what}-{purchase.number}",
            "type": kind,
            "created_at": _iso(story.at(purchase.second)),
            "loyalty_account_id": account,
            "source": "SQUARE",
            **details,
        },
    )


def _location(story: Story, town: str) -> Item:
    return {
        "id": _place(town),
        "name": f"Harbour & Hill {town}",
        "status": "ACTIVE",
        "currency": CURRENCY,
        "created_at": _iso(story.start),
    }


def _category(story: Story, category: str) -> Item:
    moment = _iso(story.start)
    return {
        "type": "CATEGORY",
        "id": _category_key(category),
        "updated_at": moment,
        "created_at": moment,
        "version": 1,
        "is_deleted": False,
        "category_data": {"name": category, "category_type": "REGULAR_CATEGORY"},
    }


def _category_key(category: str) -> str:
    return f"CATEGORY-{category.upper().replace(' ', '-')}"


def _article(story: Story, product: Product) -> Item:
    moment = _iso(story.start)
    return {
        "type": "ITEM",
        "id": f"ITEM{product.number:022d}",
        "updated_at": moment,
        "created_at": moment,
        "version": 1,
        "is_deleted": False,
        "item_data": {
            "name": product.title,
            "categories": [{"id": _category_key(product.category)}],
            "reporting_category": {"id": _category_key(product.category)},
            "variations": [
                {
                    "type": "ITEM_VARIATION",
                    "id": f"VARIATION{product.number:017d}",
                    "updated_at": moment,
                    "version": 1,
                    "item_variation_data": {
                        "item_id": f"ITEM{product.number:022d}",
                        "name": "Regular",
                        "sku": product.sku,
                        "price_money": _money(product.price_minor),
                    },
                }
            ],
        },
    }


def _place(town: str) -> str:
    return f"PLACE-{town.upper()}"


def _said(item: Item) -> Item:
    """Without what was not said: the vendor leaves such members out."""
    return {name: value for name, value in item.items() if value is not None}


def _money(minor: int) -> Item:
    return {"amount": minor, "currency": CURRENCY}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
