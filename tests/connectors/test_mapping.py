"""What each vendor's objects become."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from cdp.delivery import Deleted, Received, Refused
from cdp.records import CustomerRecord, OrderRecord, ProductRecord
from connectors.ecommerce import shopify_records as shopify
from connectors.email import klaviyo
from connectors.money import from_minor
from connectors.pos import square_records as square
from connectors.reading import Item, Mapper, Row, delivered
from connectors.social import bluesky


def rows(mapped: Iterable[tuple[str, Row]], stream: str) -> list[Row]:
    return [row for name, row in mapped if name == stream]


def taken(item: dict[str, object], mapper: Mapper) -> list[object]:
    """The records of an object, all of which must be taken."""
    deliveries = delivered("list", [Item(item)], mapper)
    assert not [each for each in deliveries if isinstance(each, Refused)]
    return [each.record for each in deliveries if isinstance(each, Received)]


def money(amount: str) -> dict[str, object]:
    return {"shopMoney": {"amount": amount, "currencyCode": "EUR"}}


SHOPIFY_ORDER: dict[str, object] = {
    "id": "gid://shopify/Order/7",
    "email": "ann@example.com",
    "phone": "+447700900123",
    "createdAt": "2026-01-05T10:00:00Z",
    "processedAt": "2026-01-05T10:00:00Z",
    "updatedAt": "2026-01-06T10:00:00Z",
    "currencyCode": "EUR",
    "displayFinancialStatus": "PARTIALLY_REFUNDED",
    "sourceName": "web",
    "customer": None,
    "totalPriceSet": money("30.00"),
    "lineItems": {
        "nodes": [
            {
                "id": "gid://shopify/LineItem/1",
                "title": "Mug",
                "quantity": 2,
                "product": {"id": "gid://shopify/Product/3", "productType": "Kitchen"},
                "originalUnitPriceSet": money("15.00"),
            }
        ]
    },
    "refunds": [
        {
            "id": "gid://shopify/Refund/9",
            "createdAt": "2026-01-06T10:00:00Z",
            "totalRefundedSet": money("5.00"),
        },
        {
            "id": "gid://shopify/Refund/10",
            "createdAt": "2026-01-06T10:00:00Z",
            "totalRefundedSet": money("0.0"),
        },
    ],
}


def test_shopify_guest_order_bears_its_contact_points_and_no_customer() -> None:
    order = taken(SHOPIFY_ORDER, shopify.order)[0]
    assert isinstance(order, OrderRecord)
    assert (order.id, order.customer_id, order.email) == ("7", None, "ann@example.com")
    assert order.total == Decimal("30.00")
    assert order.lines is not None
    assert (order.lines[0].category, order.lines[0].product_id) == ("Kitchen", "3")


def test_shopify_goods_put_back_without_money_are_no_refund() -> None:
    refunds = rows(shopify.order(Item(SHOPIFY_ORDER)), "refunds")
    assert [(refund["id"], refund["amount"]) for refund in refunds] == [("9", "5.00")]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"test": True, "displayFinancialStatus": "PAID"}, "test"),
        ({"cancelledAt": "2026-01-06T10:00:00Z", "displayFinancialStatus": "PAID"}, "cancelled"),
        ({"displayFinancialStatus": "PAID"}, "paid"),
        ({"displayFinancialStatus": "PAID", "displayFulfillmentStatus": "FULFILLED"}, "fulfilled"),
        ({"displayFinancialStatus": "AUTHORIZED"}, "pending"),
        ({"displayFinancialStatus": "VOIDED"}, "voided"),
    ],
)
def test_shopify_status_of_an_order(state: dict[str, object], status: str) -> None:
    (order,) = rows(shopify.order(Item({**SHOPIFY_ORDER, **state})), "orders")
    assert order["status"] == status


@pytest.mark.parametrize(
    ("state", "statuses"),
    [("SUBSCRIBED", ["granted"]), ("UNSUBSCRIBED", ["withdrawn"]), ("NOT_SUBSCRIBED", [])],
)
def test_shopify_consent_is_what_was_said_and_silence_is_none(
    state: str, statuses: list[str]
) -> None:
    item: dict[str, object] = {
        "id": "gid://shopify/Customer/5",
        "createdAt": "2026-01-01T00:00:00Z",
        "defaultEmailAddress": {"emailAddress": "ann@example.com", "marketingState": state},
    }
    taken(item, shopify.customer)
    consents = rows(shopify.customer(Item(item)), "consents")
    assert [consent["status"] for consent in consents] == statuses


@pytest.mark.parametrize(
    ("said", "proofs"),
    [
        ({"state": "ENABLED", "verifiedEmail": True}, (True, None)),
        ({"state": "DISABLED", "verifiedEmail": True}, (None, None)),
        ({"state": "ENABLED", "verifiedEmail": False}, (None, None)),
        ({"defaultEmailAddress": {"marketingState": "SUBSCRIBED"}}, (None, None)),
        (
            {
                name: {"marketingState": "SUBSCRIBED", "marketingOptInLevel": "CONFIRMED_OPT_IN"}
                for name in ("defaultEmailAddress", "defaultPhoneNumber")
            },
            (True, True),
        ),
    ],
)
def test_shopify_contact_points_are_verified_by_an_account_or_a_double_opt_in(
    said: dict[str, object], proofs: tuple[bool | None, bool | None]
) -> None:
    item = {"id": "gid://shopify/Customer/5", "createdAt": "2026-01-01T00:00:00Z", **said}
    person, *_ = taken(item, shopify.customer)
    assert isinstance(person, CustomerRecord)
    assert (person.email_verified, person.phone_verified) == proofs


@pytest.mark.parametrize(
    ("amount", "currency", "value"),
    [(1234, "EUR", "12.34"), (1234, "JPY", "1234"), (1234, "KWD", "1.234"), (-50, "usd", "-0.50")],
)
def test_smallest_units_follow_the_currency(amount: int, currency: str, value: str) -> None:
    assert from_minor(amount, currency) == Decimal(value)


SQUARE_ORDER: dict[str, object] = {
    "id": "SALE",
    "created_at": "2026-01-05T10:00:00.000Z",
    "updated_at": "2026-01-05T10:00:00.000Z",
    "state": "COMPLETED",
    "version": 4,
    "total_money": {"amount": 1200, "currency": "JPY"},
    "tenders": [{"id": "PAYMENT", "type": "CARD", "customer_id": "ANN"}],
    "line_items": [
        {"uid": "1", "quantity": "2", "base_price_money": {"amount": 600, "currency": "JPY"}}
    ],
}


def test_square_order_of_a_currency_without_decimals_and_its_payer() -> None:
    (order,) = taken(SQUARE_ORDER, square.order)
    assert isinstance(order, OrderRecord)
    assert (order.total, order.customer_id, order.status) == (Decimal(1200), "ANN", "completed")
    (delivery,) = delivered("orders", [Item(SQUARE_ORDER)], square.order, version="version")
    assert isinstance(delivery, Received)
    assert delivery.vendor_version == 4


def test_square_order_that_only_returns_goods_is_no_purchase() -> None:
    item = {**SQUARE_ORDER, "line_items": [], "returns": [{"source_order_id": "SALE"}]}
    assert list(square.order(Item(item))) == []


def test_square_refund_goes_to_the_order_that_sold_the_goods() -> None:
    item = Item(
        {
            "id": "R",
            "status": "COMPLETED",
            "order_id": "RETURN",
            "created_at": "2026-01-06T10:00:00Z",
            "amount_money": {"amount": 500, "currency": "EUR"},
        }
    )
    ((_, refund),) = square.refund_of(item, {"RETURN": "SALE"})
    assert (refund["order_id"], refund["amount"]) == ("SALE", Decimal("5.00"))
    assert list(square.refund_of(Item({**item.raw, "status": "PENDING"}), {})) == []


def test_square_variations_are_products_in_the_category_that_is_reported() -> None:
    variation = {
        "id": "V1",
        "item_variation_data": {
            "name": "Large",
            "sku": "MUG-L",
            "price_money": {"amount": 1250, "currency": "EUR"},
        },
    }
    item: dict[str, object] = {
        "id": "ITEM",
        "item_data": {
            "name": "Mug",
            "categories": [{"id": "SALE"}],
            "reporting_category": {"id": "KITCHEN"},
            "variations": [variation, {"id": "V2"}],
        },
    }
    names = {"SALE": "Sale", "KITCHEN": "Kitchen"}
    large, plain = taken(item, lambda each: square.products(each, names))
    assert isinstance(large, ProductRecord)
    assert isinstance(plain, ProductRecord)
    assert (large.id, large.sku, large.price, large.currency) == (
        "V1",
        "MUG-L",
        Decimal("12.50"),
        "EUR",
    )
    assert [(each.title, each.category) for each in (large, plain)] == [("Mug", "Kitchen")] * 2
    old = Item({"id": "ITEM", "item_data": {"category_id": "SALE", "variations": [variation]}})
    ((_, row),) = square.products(old, names)
    assert row["category"] == "Sale"


def test_square_birthday_without_a_year_is_not_a_date_of_birth() -> None:
    item = {"id": "ANN", "birthday": "0000-09-21", "preferences": {"email_unsubscribed": True}}
    mapped = list(square.customer(Item(item)))
    assert rows(mapped, "customers")[0]["birth_date"] is None
    assert rows(mapped, "consents")[0]["status"] == "withdrawn"


def test_square_deleted_customer_is_a_tombstone() -> None:
    event = {"created_at": "2026-01-05T10:00:00Z", "data": {"id": "ANN", "deleted": True}}
    gone, untold = square.deletes([Item(event), Item({**event, "created_at": 7})])
    assert isinstance(gone, Deleted)
    assert (gone.key, gone.deleted_at) == ("ANN", datetime(2026, 1, 5, 10, tzinfo=UTC))
    assert isinstance(untold, Refused)
    assert (untold.stream, untold.key, untold.path) == ("customers", "ANN", "created_at")


@pytest.mark.parametrize(
    ("kind", "member", "points", "entry"),
    [
        ("ACCUMULATE_POINTS", "accumulate_points", 7, ("earn", 7)),
        ("CREATE_REWARD", "create_reward", 50, ("redeem", -50)),
        ("CREATE_REWARD", "create_reward", -50, ("redeem", -50)),
        ("DELETE_REWARD", "delete_reward", 50, ("redeem", 50)),
        ("EXPIRE_POINTS", "expire_points", 5, ("expire", -5)),
        ("ADJUST_POINTS", "adjust_points", -3, ("adjust", -3)),
    ],
)
def test_square_points_bear_the_sign_of_their_kind(
    kind: str, member: str, points: int, entry: tuple[str, int]
) -> None:
    item = Item(
        {
            "id": "E",
            "type": kind,
            "loyalty_account_id": "A",
            "created_at": "2026-01-05T10:00:00Z",
            member: {"points": points},
        }
    )
    ((_, row),) = square.loyalty_entry(item)
    assert (row["kind"], row["points"]) == entry
    assert row["customer_id"] == "loyalty:A"


def test_square_redeeming_a_reward_moves_no_points() -> None:
    item = Item({"id": "E", "type": "REDEEM_REWARD", "redeem_reward": {"reward_id": "W"}})
    assert list(square.loyalty_entry(item)) == []


def klaviyo_event(metric: str, **properties: object) -> list[tuple[str, Row]]:
    item = Item(
        {
            "id": "E",
            "attributes": {
                "datetime": "2026-01-05T10:00:00+00:00",
                "event_properties": properties,
            },
            "relationships": {
                "profile": {"data": {"id": "P"}},
                "metric": {"data": {"id": "M"}},
            },
        }
    )
    return list(klaviyo.event_of(item, {"M": metric}))


def test_klaviyo_metric_of_a_message_says_what_became_of_it() -> None:
    message = {"$message": "C", "URL": "https://example.com/"}
    ((stream, row),) = klaviyo_event("Clicked Email", **message)
    assert (stream, row["kind"], row["channel"]) == ("messages", "clicked", "email")
    assert (row["message_id"], row["campaign_id"]) == ("C:P", "C")


def test_klaviyo_other_metrics_are_interactions() -> None:
    assert [row["kind"] for _, row in klaviyo_event("Viewed Product")] == ["product_view"]
    assert [row["kind"] for _, row in klaviyo_event("Joined the Club!")] == ["joined_the_club"]


@pytest.mark.parametrize(
    ("marketing", "statuses"),
    [
        ({"consent": "SUBSCRIBED", "last_updated": "2026-01-01T00:00:00+00:00"}, ["granted"]),
        ({"consent": "NEVER_SUBSCRIBED"}, []),
        (
            {
                "consent": "SUBSCRIBED",
                "last_updated": "2026-01-01T00:00:00+00:00",
                "suppression": [{"reason": "USER_SUPPRESSED", "timestamp": "2026-01-02T00:00:00"}],
            },
            ["withdrawn"],
        ),
        (
            {
                "consent": "SUBSCRIBED",
                "last_updated": "2026-01-01T00:00:00+00:00",
                "suppression": [{"reason": "HARD_BOUNCE", "timestamp": "2026-01-02T00:00:00"}],
            },
            ["granted"],
        ),
    ],
)
def test_klaviyo_consent_follows_subscription_and_suppression(
    marketing: dict[str, object], statuses: list[str]
) -> None:
    item: dict[str, object] = {
        "id": "P",
        "attributes": {"subscriptions": {"email": {"marketing": marketing}}},
    }
    taken(item, klaviyo.profile)
    consents = rows(klaviyo.profile(Item(item)), "consents")
    assert [consent["status"] for consent in consents] == statuses


@pytest.mark.parametrize(
    ("marketing", "proofs"),
    [
        ({"consent": "SUBSCRIBED", "double_optin": True}, [True]),
        ({"consent": "UNSUBSCRIBED", "double_optin": True}, [True]),
        ({"consent": "SUBSCRIBED", "double_optin": False}, [None]),
        ({}, [None]),
    ],
)
def test_klaviyo_address_is_verified_by_a_double_opt_in_alone(
    marketing: dict[str, object], proofs: list[bool | None]
) -> None:
    attributes = {"email": "ann@example.com", "subscriptions": {"email": {"marketing": marketing}}}
    person, *_ = taken({"id": "P", "attributes": attributes}, klaviyo.profile)
    assert isinstance(person, CustomerRecord)
    assert [person.email_verified] == proofs


def test_klaviyo_consent_by_whatsapp_is_of_its_own_number() -> None:
    marketing: dict[str, object] = {
        "consent": "UNSUBSCRIBED",
        "last_updated": "2026-01-05T10:00:00",
        "phone_number": "+447700900124",
    }
    item: dict[str, object] = {
        "id": "P",
        "attributes": {
            "phone_number": "+447700900123",
            "subscriptions": {"whatsapp": {"marketing": marketing}},
        },
    }
    taken(item, klaviyo.profile)
    (consent,) = rows(klaviyo.profile(Item(item)), "consents")
    told = consent["channel"], consent["status"], consent["phone"]
    assert told == ("whatsapp", "withdrawn", "+447700900124")


def test_klaviyo_permission_that_ends_by_itself_is_silence() -> None:
    marketing = {
        "consent": "SUBSCRIBED",
        "last_updated": "2026-01-05T10:00:00",
        "valid_until": "2026-02-05T10:00:00",
    }
    attributes = {"subscriptions": {"whatsapp": {"marketing": marketing}}}
    mapped = klaviyo.profile(Item({"id": "P", "attributes": attributes}))
    assert rows(mapped, "consents") == []


def test_klaviyo_country_in_words_is_no_country_code() -> None:
    item: dict[str, object] = {"id": "P", "attributes": {"location": {"country": "France"}}}
    (person,) = taken(item, klaviyo.profile)
    assert isinstance(person, CustomerRecord)
    assert (person.country, person.attributes["country_name"]) == (None, "France")


def notification(reason: str, uri: str) -> dict[str, object]:
    return {
        "uri": uri,
        "author": {"did": "did:plc:ann", "handle": "ann.example.com", "displayName": "Ann"},
        "reason": reason,
        "reasonSubject": "at://did:plc:shop/app.bsky.feed.post/1",
        "indexedAt": "2026-01-05T10:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("reason", "kinds"),
    [("like", ["like"]), ("reply", ["comment"]), ("repost", ["share"]), ("verified", [])],
)
def test_bluesky_reason_is_a_kind_of_interaction(reason: str, kinds: list[str]) -> None:
    item = notification(reason, "at://did:plc:ann/app.bsky.feed.like/self")
    mapped = list(bluesky.notification(Item(item)))
    taken(item, bluesky.notification)
    assert [row["kind"] for row in rows(mapped, "interactions")] == kinds
    assert rows(mapped, "customers")[0]["handles"] == {"bluesky": "ann.example.com"}


def test_bluesky_follow_is_one_interaction_in_both_lists() -> None:
    uri = "at://did:plc:ann/app.bsky.graph.follow/3jzfcijpj2z2a"
    told = Item(notification("follow", uri) | {"reasonSubject": None})
    listed = Item({"did": "did:plc:ann", "viewer": {"followedBy": uri}})
    assert rows(bluesky.notification(told), "interactions") == rows(
        bluesky.follower(listed), "interactions"
    )


def test_bluesky_key_of_a_record_tells_its_moment() -> None:
    moment = datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=UTC)
    number = int(moment.timestamp()) * 1_000_000 + moment.microsecond << 10 | 7
    letters = [bluesky.TID_LETTERS[number >> 5 * place & 31] for place in range(12, -1, -1)]
    assert bluesky.tid_time(f"at://did:plc:ann/x/{''.join(letters)}") == moment


def test_bluesky_keys_of_the_interoperability_samples(shared_data: Path) -> None:
    samples = shared_data / "vendors/atproto/interop-test-files/syntax"
    for name, is_valid in (("tid_syntax_valid.txt", True), ("tid_syntax_invalid.txt", False)):
        lines = (samples / name).read_text().splitlines()
        keys = [line for line in lines if line.strip() and not line.startswith("#")]
        told = [bluesky.tid_time(f"at://did:plc:ann/x/{key}") is not None for key in keys]
        assert told == [is_valid] * len(keys)


def test_object_of_the_wrong_shape_is_refused_and_the_rest_go_on() -> None:
    good: dict[str, object] = {"did": "did:plc:ann", "handle": "ann.example.com"}
    refused, taken_one = delivered("customers", [Item({"did": 7}), Item(good)], bluesky.follower)
    assert isinstance(refused, Refused)
    assert (refused.path, refused.stream) == ("did", "customers")
    assert isinstance(taken_one, Received)


def test_object_that_is_nested_too_deeply_is_refused_alone() -> None:
    deep: object = "Bo\ud83d"
    for _ in range(5_000):
        deep = [deep]
    item = Item({"id": "7", "name": deep})
    (refused,) = delivered("customers", [item], square.customer)
    assert isinstance(refused, Refused)
    assert (refused.key, refused.reason) == ("7", "It is nested too deeply.")
