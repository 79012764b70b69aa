"""Facts of money are kept to the smallest unit; what is counted otherwise since is due."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_MONEY = ("gross_spend", "refunded", "qualifying_spend")
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"


def upgrade() -> None:
    """Go up."""
    told = op.get_bind().scalar(sa.text("SELECT value FROM workspace WHERE key = 'currency'"))
    currency = told or "EUR"
    digits = 0 if currency in _WHOLE.split() else 3 if currency in _THOUSANDTHS.split() else 2
    if _round(digits):
        op.execute(
            "UPDATE segment SET due_at = now(), due_cause = 'migration' WHERE archived_at IS NULL"
        )
    _mark_due(is_by_hundredths=digits == 2)


def _round(digits: int) -> bool:
    """What customers have bought, and the cut points that it is compared with; whether any was."""
    customer = sa.table("customer", *(sa.column(name, sa.Numeric) for name in _MONEY))
    money = [customer.c[name] for name in _MONEY]
    changed = op.get_bind().execute(
        customer.update()
        .where(sa.or_(*(sa.func.scale(each) > digits for each in money)))
        .values({each.name: sa.func.round(each, digits) for each in money})
    )
    op.execute(
        sa.text(
            "UPDATE score_basis SET monetary_cuts = (SELECT array_agg(round(cut, :digits)"
            " ORDER BY place) FROM unnest(monetary_cuts) WITH ORDINALITY AS told (cut, place))"
            " WHERE monetary_cuts IS NOT NULL"
        ).bindparams(digits=digits)
    )
    return changed.rowcount > 0


def _mark_due(*, is_by_hundredths: bool) -> None:
    """Customers whose fees by the month, or whose cases, are counted otherwise by this release."""
    op.execute(
        sa.text(
            "UPDATE customer SET activity_change_at = now() WHERE id IN"
            " (SELECT profile.customer_id FROM source_profile profile WHERE profile.id IN"
            " (SELECT source_profile_id FROM subscription WHERE interval = 'year' OR :every_fee"
            " UNION SELECT source_profile_id FROM ticket"
            " WHERE resolved_at < opened_at OR first_response_at < opened_at"
            " OR (resolved_at IS NOT NULL AND lower(status) NOT IN"
            " ('closed', 'solved', 'resolved', 'done', 'completed', 'archived', 'spam'))))"
        ).bindparams(every_fee=not is_by_hundredths)
    )
