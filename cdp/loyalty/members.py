"""Who belongs to the programme, and who of them may be given something."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg

from cdp.loyalty.terms import Terms
from cdp.values import CustomerId
from cdp.versions import Driver


async def members_of(
    driver: Driver, ids: Sequence[CustomerId], terms: Terms, at: datetime
) -> set[CustomerId]:
    """Those of the given customers who may be given something."""
    return are_members(await people_of(driver, ids, terms, at), terms)


def are_members(people: Iterable[asyncpg.Record], terms: Terms) -> set[CustomerId]:
    """Those of the people of `people_of` who may be given something: members, none suspended."""
    return {
        one["customer_id"] for one in people if is_member(one, terms) and not one["is_suspended"]
    }


def is_member(person: asyncpg.Record, terms: Terms | None) -> bool:
    """Whether the programme takes one of them, suspended or not."""
    has_account, has_card = person["has_account"], person["has_card"]
    return terms is not None and terms.programme.takes(has_account=has_account, has_card=has_card)


async def people_of(
    driver: Driver, ids: Sequence[CustomerId], terms: Terms | None, at: datetime
) -> Sequence[asyncpg.Record]:
    """Of each customer: what makes a member, since when, paid since when, suspended."""
    paid = terms.programme.paid.plans if terms and terms.programme.paid else []
    return await driver.fetch(
        "SELECT p.customer_id, bool_or(p.stream = 'customers') AS has_account,"
        " bool_or(carries.card) AS has_card,"
        " min(coalesce(p.created_at, p.first_stored_at)) AS member_since,"
        " bool_or(coalesce(standing.is_suspended, false)) AS is_suspended,"
        " min(paid.started_at) AS paid_since"
        " FROM source_profile p"
        " LEFT JOIN LATERAL (SELECT EXISTS (SELECT FROM identifier i"
        " WHERE i.source_profile_id = p.id AND i.kind = 'loyalty_card') AS card) carries ON true"
        " LEFT JOIN LATERAL (SELECT s.is_suspended FROM loyalty_standing s"
        " WHERE s.source_profile_id = p.id ORDER BY s.id DESC LIMIT 1) standing ON true"
        " LEFT JOIN LATERAL (SELECT min(s.started_at) AS started_at FROM subscription s"
        " WHERE s.source_profile_id = p.id AND s.plan = ANY($2::text[]) AND s.deleted_at IS NULL"
        " AND s.status IN ('trialing', 'active', 'past_due') AND s.started_at <= $3"
        " AND (s.ended_at IS NULL OR s.ended_at > $3)) paid ON true"
        " WHERE p.customer_id = ANY($1::bigint[]) GROUP BY p.customer_id",
        ids,
        list(paid),
        at,
    )
