"""The canonical records that a connector or a file may deliver, validated once at the edge."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

MAX_KEY = 512  # characters; a PostgreSQL index entry holds at most about 2,700 bytes
MAX_MONEY = Decimal(10) ** 15  # above any order; keeps sums exact and columns narrow
MAX_POINTS = 10**9  # of one entry, as of one act; millions of such fit a number of JSON exactly
MAX_KEY_BYTES = 2500  # of a key made of several, or of an identifier, in UTF-8: one index entry

CURRENCY_PATTERN = r"^[A-Za-z]{3}\Z"  # a dollar sign would let the end of a line pass
COUNTRY_PATTERN = r"^[A-Za-z]{2}\Z"

Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_KEY)]
Text: TypeAlias = Annotated[str, Meta(max_length=10_000)]
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_KEY)]
Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]
Currency: TypeAlias = Annotated[str, Meta(pattern=CURRENCY_PATTERN)]
Country: TypeAlias = Annotated[str, Meta(pattern=COUNTRY_PATTERN)]
Amount: TypeAlias = Decimal
MessageKind: TypeAlias = Literal[
    "sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed", "replied"
]
Points: TypeAlias = Annotated[int, Meta(ge=-MAX_POINTS, le=MAX_POINTS)]


class Record(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One thing as a source said it, in canonical form. Absent and null mean the same: not said."""

    stream: ClassVar[str]

    attributes: dict[str, object] = msgspec.field(default_factory=dict)
    """What the source said beyond the stream's columns, by column name."""

    @property
    def key(self) -> str:
        """The key within (source, stream)."""
        raise NotImplementedError


class Keyed(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A record whose source gives it an id."""

    id: Key

    @property
    def key(self) -> str:
        """The id that the source gave."""
        return self.id


class CustomerRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """A person as one source tells it: becomes a source profile."""

    stream: ClassVar[str] = "customers"

    email: Name | None = None
    emails: list[Name] = []
    phone: Name | None = None
    phones: list[Name] = []
    email_verified: bool | None = None
    phone_verified: bool | None = None
    first_name: Name | None = None
    last_name: Name | None = None
    full_name: Name | None = None
    birth_date: date | None = None
    gender: Name | None = None
    street: Name | None = None
    city: Name | None = None
    region: Name | None = None
    postal_code: Name | None = None
    country: Country | None = None
    language: Name | None = None
    loyalty_card: Name | None = None
    handles: dict[str, Name] = {}
    external_ids: dict[str, Name] = {}
    tags: list[Name] = []
    created_at: Instant | None = None
    updated_at: Instant | None = None
    deleted_at: Instant | None = None


class ProductRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """Something that is sold."""

    stream: ClassVar[str] = "products"

    sku: Name | None = None
    title: Text | None = None
    category: Name | None = None
    price: Amount | None = None
    currency: Currency | None = None


class OrderLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of an order, as it stands inside the order's `lines`."""

    quantity: Amount
    unit_price: Amount
    line: Key | UnsetType = UNSET
    product_id: Name | None = None
    sku: Name | None = None
    title: Text | None = None
    category: Name | None = None
    discount: Amount | None = None


class OrderRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """A purchase. `total` is what the customer was asked to pay, before refunds."""

    stream: ClassVar[str] = "orders"

    placed_at: Instant
    currency: Currency
    total: Amount
    customer_id: Name | None = None
    email: Name | None = None
    phone: Name | None = None
    loyalty_card: Name | None = None
    discount: Amount | None = None
    tax: Amount | None = None
    shipping: Amount | None = None
    status: Name | None = None
    channel: Name | None = None
    lines: list[OrderLine] | None = None
    updated_at: Instant | None = None


def line_names(lines: Sequence[OrderLine]) -> list[str]:
    """What names each line within its order: what its source calls it, else its place from 1."""
    return [
        str(number) if line.line is UNSET else line.line for number, line in enumerate(lines, 1)
    ]


def line_key(order_id: str, line: str) -> str:
    """The key of a line; `split_line_key` takes it apart. A colon within a part is escaped."""
    return f"{_escape(order_id)}:{_escape(line)}"


def split_line_key(key: str) -> tuple[str, str]:
    """The order's key and the line's name that `line_key` joined."""
    order_id, _, line = key.partition(":")
    return _unescape(order_id), _unescape(line)


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A")


def _unescape(part: str) -> str:
    return part.replace("%3A", ":").replace("%25", "%")


class OrderLineRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A line of an order that arrives by itself; its order may come before or after it."""

    stream: ClassVar[str] = "order_lines"

    order_id: Key
    line: Key
    quantity: Amount
    unit_price: Amount
    product_id: Name | None = None
    sku: Name | None = None
    title: Text | None = None
    category: Name | None = None
    discount: Amount | None = None

    @property
    def key(self) -> str:
        """The order's key and the line's name, as `line_key` joins them."""
        return line_key(self.order_id, self.line)


class RefundRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """Money given back on an order; `amount` is positive."""

    stream: ClassVar[str] = "refunds"

    order_id: Key
    refunded_at: Instant
    amount: Amount
    currency: Currency
    reason: Text | None = None


class CampaignRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was sent to many."""

    stream: ClassVar[str] = "campaigns"

    name: Text | None = None
    channel: Name | None = None
    started_at: Instant | None = None
    cost: Amount | None = None
    currency: Currency | None = None


class MessageRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """One event of one message to a person; `message_id` groups the events of a message."""

    stream: ClassVar[str] = "messages"

    channel: Name
    kind: MessageKind
    occurred_at: Instant
    message_id: Name | None = None
    customer_id: Name | None = None
    email: Name | None = None
    phone: Name | None = None
    handle: Name | None = None
    campaign_id: Name | None = None
    url: Text | None = None


class InteractionRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """Something a person did: a follow, a like, a page view."""

    stream: ClassVar[str] = "interactions"

    kind: Name
    occurred_at: Instant
    customer_id: Name | None = None
    email: Name | None = None
    anonymous_id: Name | None = None
    network: Name | None = None
    handle: Name | None = None
    properties: dict[str, object] | None = None


class TicketRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """A case in the support queue."""

    stream: ClassVar[str] = "tickets"

    opened_at: Instant
    customer_id: Name | None = None
    email: Name | None = None
    phone: Name | None = None
    channel: Name | None = None
    subject: Text | None = None
    status: Name | None = None
    priority: Name | None = None
    first_response_at: Instant | None = None
    resolved_at: Instant | None = None
    updated_at: Instant | None = None


FEEDBACK_SCALES: Mapping[str, int] = {"nps": 10, "csat": 5, "ces": 7, "review": 5}
"""The highest score of each kind, on the scale that it has of its own."""


class FeedbackRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """A score that a person gave; `scale` is the highest score possible.

    Unless told, 10 for nps, 7 for ces and 5 for csat and review.
    """

    stream: ClassVar[str] = "feedback"

    kind: Literal["nps", "csat", "ces", "review"]
    score: Amount
    given_at: Instant
    customer_id: Name | None = None
    email: Name | None = None
    scale: Amount | None = None
    comment: Text | None = None
    product_id: Name | None = None


class LoyaltyEntryRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """A movement of points in a source's own programme; `points` is negative where points go."""

    stream: ClassVar[str] = "loyalty_entries"

    kind: Literal["earn", "redeem", "adjust", "expire"]
    points: Points
    occurred_at: Instant
    customer_id: Name | None = None
    loyalty_card: Name | None = None
    expires_at: Instant | None = None
    order_id: Name | None = None
    reason: Text | None = None


class SubscriptionRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """A contract that renews."""

    stream: ClassVar[str] = "subscriptions"

    customer_id: Key
    status: Literal["trialing", "active", "past_due", "paused", "cancelled", "expired"]
    started_at: Instant
    plan: Name | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    interval: Literal["day", "week", "month", "year"] | None = None
    renews_at: Instant | None = None
    cancelled_at: Instant | None = None
    ended_at: Instant | None = None
    updated_at: Instant | None = None


class ConsentRecord(Keyed, frozen=True, kw_only=True, omit_defaults=True):
    """A permission given or taken back, for one channel and one purpose."""

    stream: ClassVar[str] = "consents"

    channel: Name
    purpose: Name
    status: Literal["granted", "denied", "withdrawn"]
    recorded_at: Instant
    customer_id: Name | None = None
    email: Name | None = None
    phone: Name | None = None
    evidence: Text | None = None

    @property
    def updated_at(self) -> datetime:
        """Orders the versions of one statement: an older file read again takes nothing back.

        Of two that were recorded at one moment, the refusal is the later.
        """
        is_refusal = self.status != "granted"
        return self.recorded_at + timedelta(microseconds=1) if is_refusal else self.recorded_at


class ExchangeRateRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """On a day, one unit of `currency` is `rate` units of `base`."""

    stream: ClassVar[str] = "exchange_rates"

    on: date
    currency: Currency
    base: Currency
    rate: Amount

    @property
    def key(self) -> str:
        """The day and the two currencies."""
        return f"{self.on}:{self.currency.upper()}:{self.base.upper()}"


STREAMS: Mapping[str, type[Record]] = {
    record.stream: record
    for record in (
        CustomerRecord,
        ProductRecord,
        OrderRecord,
        OrderLineRecord,
        RefundRecord,
        CampaignRecord,
        MessageRecord,
        InteractionRecord,
        TicketRecord,
        FeedbackRecord,
        LoyaltyEntryRecord,
        SubscriptionRecord,
        ConsentRecord,
        ExchangeRateRecord,
    )
}
"""Every canonical stream and the type of its records."""
