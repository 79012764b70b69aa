"""Whom to look at again, and why, in words: taken from the outbox, or of a transaction's own."""

from typing import Final

_TOLD: Final = """
), told AS (
    SELECT told.id, taken.at, taken.cause FROM taken, unnest(taken.ids) AS told(id)
), borne AS (
    SELECT id, at, cause FROM told
    UNION
    SELECT profile.customer_id, told.at, told.cause
    FROM told JOIN source_profile profile ON profile.id = told.id
)"""
"""What was taken (`at`, `cause`, `ids`), as those ids themselves and as who bears them now."""

_BECAUSE: Final = """
SELECT DISTINCT ON (borne.id)
    borne.id,
    coalesce(turn.cause, CASE borne.cause WHEN 'list' THEN 'list changed' ELSE borne.cause END)
        AS cause,
    turn.other_id
FROM borne LEFT JOIN LATERAL (
    SELECT CASE kind WHEN 'split' THEN 'split from' ELSE 'merged with' END AS cause,
        from_customer_id AS other_id
    FROM merge_event WHERE customer_id = borne.id AND at = borne.at
    UNION ALL
    SELECT 'split from', customer_id
    FROM merge_event WHERE from_customer_id = borne.id AND at = borne.at
    LIMIT 1
) turn ON borne.cause IN ('ingest', 'identity')
ORDER BY borne.id, turn.cause DESC NULLS LAST
"""
"""A change of the map in the same transaction, told by the ledger, is a better cause than ingest.
"""

TAKE: Final = f"""
WITH taken AS (
    DELETE FROM touched_customer WHERE id IN (
        SELECT id FROM touched_customer WHERE due_at <= $1 ORDER BY id LIMIT $2
    ) RETURNING at, cause, ids{_TOLD}
INSERT INTO touched_now (id, cause, other_id){_BECAUSE}"""  # noqa: S608  # our own constants
"""Takes rows out of the outbox into `touched_now`."""

TELL: Final = f"""
WITH taken AS (SELECT now() AS at, 'identity' AS cause, $1::bigint[] AS ids{_TOLD}{_BECAUSE}"""
"""The same of customers whose map this transaction has changed: `id`, `cause`, `other_id`."""

_WHO_SHARES: Final = """
speaker AS MATERIALIZED (
    SELECT profile.id, told.cause
    FROM touched_now told JOIN source_profile profile ON profile.customer_id = told.id
    WHERE EXISTS (SELECT FROM consent WHERE source_profile_id = profile.id)
        OR EXISTS (SELECT FROM message WHERE source_profile_id = profile.id
            AND kind IN ('unsubscribed', 'complained'))
), point AS (
    SELECT borne.kind, borne.value, speaker.cause
    FROM speaker JOIN identifier borne ON borne.source_profile_id = speaker.id
    WHERE borne.kind IN ('email', 'phone')
    UNION
    SELECT said.contact_point_kind, said.contact_point, speaker.cause
    FROM speaker JOIN consent said ON said.source_profile_id = speaker.id
    WHERE said.contact_point IS NOT NULL
)"""

_SHARERS: Final = """
SELECT DISTINCT ON (profile.customer_id) profile.customer_id AS id, point.cause
FROM point
JOIN identifier borne ON borne.kind = point.kind AND borne.value = point.value
JOIN source_profile profile ON profile.id = borne.source_profile_id
WHERE borne.is_current
ORDER BY profile.customer_id, point.cause
"""

TAKE_WHO_SHARES: Final = f"""
WITH{_WHO_SHARES}
INSERT INTO touched_now (id, cause){_SHARERS}ON CONFLICT DO NOTHING
"""  # our own constants
"""Whoever bears a contact point of somebody touched who once said what they allow: a denial there
holds for them too, so it may have begun or ended for them.
"""

TELL_WHO_SHARES: Final = f"""
WITH touched_now AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS told(id, cause)),
{_WHO_SHARES}{_SHARERS}"""  # noqa: S608  # our own constants
"""The same of those who are given, with the causes: `id` and `cause`; some of them as well."""
