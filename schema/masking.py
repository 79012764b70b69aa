"""What a role without personal data may read: an allow-list of columns, and a veil for keys."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, Text, cast, func, literal, select

from cdp import tables
from cdp.attributes import ATTRIBUTES
from cdp.keys import MASKING_PEPPER
from schema.objects import constant

VEIL_CHARACTERS: Final = 32  # of a hash in hexadecimal: enough that no two rows share one

_RECORD: Final = frozenset({"source_id", "updated_at", "learned_at", "deleted_at"})
_PERSONAL_RECORD: Final = frozenset({"digest", "payload", "attributes", "vendor_version"})
_OWNED: Final = _RECORD | {"source_profile_id"}
_PERSONAL_OWNED: Final = _PERSONAL_RECORD | {"customer_id", "key"}

_OPEN_ATTRIBUTES: Final = frozenset(each.name for each in ATTRIBUTES if not each.is_personal)
_PERSONAL_ATTRIBUTES: Final = frozenset(each.name for each in ATTRIBUTES if each.is_personal)
_CONSENT: Final = frozenset(
    {"customer_id", "channel", "purpose", "status", "at", "event", "source_id", "profile_id"}
    | {"holds", "is_own"}
)
_PERSONAL_CONSENT: Final = frozenset({"point_kind", "point", "evidence", "key"})

OPEN: Mapping[str, frozenset[str]] = {
    "customer": _OPEN_ATTRIBUTES
    | {"id", "profile_count", "created_at", "updated_at"}
    | {
        each.name
        for each in (*tables.FACT_COLUMNS, *tables.ACTIVITY_COLUMNS, *tables.LOYALTY_COLUMNS)
    },
    "source_profile": _RECORD
    | _OPEN_ATTRIBUTES
    | {"id", "customer_id", "stream", "created_at", "first_stored_at"}
    | {"email_verified", "phone_verified"},
    "attribute_claim": _RECORD | {"id", "value", "is_verified", "rule", "because", "place"},
    "identifier": frozenset(
        {"kind", "source_profile_id", "source_id", "is_current", "first_seen_at", "last_seen_at"}
    ),
    "blocked_value": frozenset({"kind", "blocked_at"}),
    "merge_event": frozenset(
        {"id", "at", "kind", "customer_id", "from_customer_id"}
        | {"profile_ids", "other_ids", "rule_version", "actor", "decision_id", "undoes_event_id"}
    ),
    "merge_evidence": frozenset({"kind", "weight", "profileIds"}),
    "identity_decision": frozenset(
        {"id", "kind", "action", "at", "actor", "retracted_at", "retracted_by"}
    ),
    "decision_member": frozenset({"decision_id", "source_profile_id", "side"}),
    "match_pair": frozenset(
        {"left_id", "right_id", "weight", "probability", "parts", "model_version"}
        | {"left_digest", "right_digest"}
    ),
    "match_review": frozenset(
        {"id", "kind", "left_id", "right_id", "left_ids", "right_ids"}
        | {"pair_left_id", "pair_right_id", "reason", "priority", "opened_at"}
    ),
    "match_comparison": frozenset({"name", "level", "weight"}),
    "identity_rules": frozenset(
        {"version", "document", "model_version", "applied_at", "actor", "reason"}
    ),
    "kind_rule": frozenset({"kind", "rule"}),
    "payload": frozenset(
        {"notes", "new", "changed", "unchanged", "stale", "deleted", "refused", "merged"}
    ),
    "ingest_refusal": frozenset({"index", "path", "reason"}),
    "user_error": frozenset({"code", "message", "path"}),
    "identity_change": frozenset({"kind"}),
    "trait_change": frozenset({"name"}),
    "sales_order": _OWNED
    | {"key", "placed_at", "currency", "total", "discount", "tax", "shipping", "status", "channel"},
    "order_line": _RECORD
    | {"key", "order_key", "line", "product_id", "sku", "title", "category"}
    | {"quantity", "unit_price", "discount"},
    "refund": _RECORD | {"key", "order_key", "refunded_at", "amount", "currency"},
    "message": _OWNED | {"campaign_id", "channel", "kind", "occurred_at"},
    "interaction": _OWNED | {"kind", "network", "occurred_at"},
    "ticket": _OWNED
    | {"channel", "status", "priority", "opened_at", "first_response_at", "resolved_at"},
    "feedback": _OWNED | {"kind", "score", "scale", "product_id", "given_at"},
    "loyalty_entry": _OWNED | {"kind", "points", "occurred_at", "expires_at", "order_id"},
    "points_entry": frozenset(tables.points_entry.c.keys()),
    "points_lot": frozenset(tables.points_lot.c.keys()) - {"key"},
    "points_transaction": frozenset(
        {"id", "cause", "recorded_at", "reward", "about_id", "held_until"}
    ),
    "tier_period": frozenset(tables.tier_period.c.keys()),
    "loyalty_award": frozenset(tables.loyalty_award.c.keys()),
    "subscription": _OWNED
    | {"plan", "status", "amount", "currency", "interval"}
    | {"started_at", "renews_at", "cancelled_at", "ended_at"},
    "consent": _OWNED | {"channel", "purpose", "status", "recorded_at"},
    "customer_consent": _CONSENT,
    "consent_statement": _CONSENT,
    "source": frozenset({"id", "name", "connector", "created_at", "removed_at", "tells_delivery"}),
    "checkpoint": frozenset({"source_id", "stream", "epoch", "updated_at"}),
    "sync_run": frozenset({"id", "source_id", "started_at", "finished_at", "status", "counts"}),
    "workspace": frozenset(),
    "segment": frozenset(
        {"id", "slug", "name", "description", "owner", "is_personal", "created_at", "updated_at"}
        | {"archived_at", "evaluated_at", "due_at", "due_cause"}
    ),
    "segment_membership": frozenset({"segment_id", "customer_id", "entered_at", "exited_at"}),
    "segment_change": frozenset(
        {"id", "segment_id", "customer_id", "kind", "at", "cause", "other_id"}
    ),
    "segment_standing": frozenset({"is_member", "entered_at", "exited_at"}),
    "segment_overlap": frozenset({"left", "right", "count"}),
    "article": frozenset(tables.article.c.keys()),
    "recommendation": frozenset(
        {"other_code", "score", "code", "bought_at", "customers", "lift", "computed_at"}
    ),
    "business": frozenset({"as_of"}),
    "business_purchases": frozenset(
        {"buyers", "repeat_buyers", "repeat_purchase_rate", "orders", "orders_per_customer"}
        | {"gross_spend", "refunded", "net_revenue", "average_order_value", "unpriced_count"}
    ),
    "business_unattributed": frozenset(
        {"orders", "gross_spend", "refunded", "net_revenue", "unpriced_count"}
    ),
    "business_retention": frozenset(
        {"window_days", "active_before", "retained", "active", "retention_rate", "churn_rate"}
    ),
    "money_distribution": frozenset(
        {"customers", "total", "mean", "p10", "p25", "median", "p75", "p90", "highest"}
        | {"top_tenth_share"}
    ),
    "net_promoter_score": frozenset(
        {"window_days", "answers", "promoters", "passives", "detractors", "score", "low", "high"}
    ),
    "customer_satisfaction": frozenset(
        {"window_days", "answers", "satisfied", "rate", "low", "high", "mean"}
    ),
    "business_loyalty": frozenset(
        {"members", "participants", "participation_rate", "points_issued", "points_redeemed"}
        | {"points_expired", "redemption_rate", "breakage_rate"}
    ),
    "business_subscriptions": frozenset(
        {"subscribers", "mrr", "subscribers_before", "mrr_before", "churned", "mrr_lost"}
        | {"churn_rate", "annual_churn_rate", "mrr_churn_rate"}
    ),
    "campaign_effect": frozenset(
        {"key", "name", "channel", "started_at", "messages", "customers", "orders", "revenue"}
        | {"cost", "roi"}
    ),
    "retention_grid": frozenset({"period", "as_of", "earlier_customers", "cohorts"}),
    "retention_cohort": frozenset({"starts_on", "size", "cells"}),
    "retention_cell": frozenset(
        {"index", "starts_on", "is_complete", "customers", "rate", "revenue"}
    ),
    "freshness": frozenset({"name", "computed_at", "is_stale"}),
    "source_freshness": frozenset({"told_at", "is_seen"}),
    "audience": frozenset(tables.audience.c.keys()),
    "audience_group": frozenset(
        {"customers", "pending", "conversions", "rate", "revenue", "revenue_per_customer"}
    ),
    "audience_effect": frozenset({"difference", "difference_low", "difference_high", "lift"}),
    "score_model": frozenset(tables.score_model.c.keys()),
    "score_basis": frozenset(tables.score_basis.c.keys()),
}
"""By table, the columns that every role reads. What stands nowhere here reads as null when masked.

Numbers of orders and refunds are open; other keys of records may be an address or a handle.
"""

PERSONAL: Mapping[str, frozenset[str]] = {
    "customer": _PERSONAL_ATTRIBUTES | {"attributes", "search"},
    "source_profile": _PERSONAL_RECORD
    | (_PERSONAL_ATTRIBUTES - {"name"})
    | {"key", "full_name", "loyalty_card", "tags", "given_key", "family_key", "compared_digest"},
    "identifier": frozenset({"value"}),
    "blocked_value": frozenset({"value", "reason"}),
    "merge_event": frozenset({"evidence", "reason"}),
    "merge_evidence": frozenset({"value"}),
    "identity_decision": frozenset({"reason"}),
    "decision_member": frozenset(),
    "match_pair": frozenset(),
    "match_review": frozenset({"value"}),
    "identity_rules": frozenset(),
    "sales_order": _PERSONAL_RECORD | {"customer_id"},
    "order_line": _PERSONAL_RECORD,
    "refund": _PERSONAL_RECORD | {"reason"},
    "message": _PERSONAL_OWNED | {"message_id", "url"},
    "interaction": _PERSONAL_OWNED | {"properties"},
    "ticket": _PERSONAL_OWNED | {"subject"},
    "feedback": _PERSONAL_OWNED | {"comment"},
    "loyalty_entry": _PERSONAL_OWNED | {"loyalty_card", "reason"},
    "points_entry": frozenset(),
    "points_lot": frozenset({"key"}),
    "tier_period": frozenset(),
    "loyalty_award": frozenset(),
    "article": frozenset(),
    "points_transaction": frozenset({"key", "digest", "actor", "reason"}),
    "subscription": _PERSONAL_OWNED,
    "consent": _PERSONAL_OWNED
    | {"email", "phone", "contact_point_kind", "contact_point", "evidence"},
    "customer_consent": _PERSONAL_CONSENT,
    "consent_statement": _PERSONAL_CONSENT,
    "source": frozenset({"settings"}),
    "checkpoint": frozenset({"cursor"}),
    "sync_run": frozenset({"error"}),
    "workspace": frozenset({"key", "value"}),
    "segment": frozenset({"filter", "error"}),
    "segment_membership": frozenset(),
    "segment_change": frozenset(),
    "audience": frozenset(),
    "score_model": frozenset(),
    "score_basis": frozenset(),
}
"""The rest, named so that a new column is a decision: a test asks that each column stand in one."""


def is_open(table: str, column: str) -> bool:
    """Whether a masked role reads a column of a table."""
    return column in OPEN.get(table, ())


def veil(table: str, source_id: ColumnElement[int], key: ColumnElement[str]) -> ColumnElement[str]:
    """What stands for a record's key where it is masked: the same each time, and leads nowhere.

    A hash keyed with a secret that never leaves the database, so that no guess can be confirmed.
    """
    stored = tables.workspace.alias()
    secret = select(stored.c.value).where(stored.c.key == literal(MASKING_PEPPER, Text))
    text = func.concat_ws(constant(":"), constant(table), cast(source_id, Text), key, type_=Text)
    keyed = secret.correlate_except(stored).scalar_subquery().concat(text)
    digest = func.sha256(func.convert_to(keyed, constant("UTF8")))
    return func.left(func.encode(digest, constant("hex")), VEIL_CHARACTERS, type_=Text)
