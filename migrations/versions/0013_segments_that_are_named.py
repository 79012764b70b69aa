"""A filter that names a segment which there is not is refused by the statement that reads by it."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.execute(
        """
        CREATE FUNCTION require_segments(slugs text[]) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
        DECLARE unknown text;
        BEGIN
            SELECT slug INTO unknown FROM unnest(slugs) AS named(slug)
            WHERE NOT EXISTS (
                SELECT FROM segment WHERE segment.slug = named.slug AND archived_at IS NULL
            ) ORDER BY slug LIMIT 1;
            IF unknown IS NOT NULL THEN
                RAISE EXCEPTION 'There is no segment %.', quote_literal(unknown)
                    USING ERRCODE = 'CD404';
            END IF;
            RETURN true;
        END $$
        """
    )
