"""What is read of everybody: facts first in the row, and rates that any process can look up.

To find a column of a row is to walk those before it, and PostgreSQL has no other way to order the
columns of a table than to write it anew. A subquery that depends on its row is evaluated by one
process alone, a function by several side by side.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_FIRST = (
    "id",
    "profile_count",
    "created_at",
    "updated_at",
    "order_count",
    "priced_order_count",
    "order_day_count",
    "unpriced_count",
    "first_order_on",
    "last_order_on",
    "first_order_at",
    "last_order_at",
    "net_spend",
    "gross_spend",
    "refunded",
    "qualifying_spend",
)
_LAST = (
    "name",
    "first_name",
    "last_name",
    "email",
    "phone",
    "birth_date",
    "gender",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "language",
    "attributes",
    "search",
)

# Each column as it was declared; what is computed is computed anew.
_COLUMNS = """
SELECT attname AS name, attgenerated = 's' AS is_computed,
    quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
        || CASE WHEN attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || told || ') STORED'
                ELSE coalesce(' DEFAULT ' || told, '') END
        || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END AS declared,
    quote_literal(col_description(attrelid, attnum)) AS comment
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    CROSS JOIN LATERAL (SELECT pg_get_expr(adbin, adrelid) AS told) AS expression
WHERE attrelid = 'customer'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
"""
_INDEXES = """
SELECT pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = 'customer'::regclass AND NOT indisprimary ORDER BY indexrelid
"""

# The latest rate of some days up to one; of one day the one changed last, then the first source's.
_RATE = """
CREATE OR REPLACE FUNCTION exchange_rate_on(given text, wanted text, day date, valid_days integer)
RETURNS numeric LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT rate FROM exchange_rate
        WHERE currency = given AND base = wanted AND deleted_at IS NULL
            AND "on" <= day AND "on" >= day - valid_days
        ORDER BY "on" DESC, updated_at DESC NULLS LAST, source_id, key LIMIT 1
    );
END $$
"""


def upgrade() -> None:
    """Go up."""
    _put_facts_first()
    _run(_RATE)


def _put_facts_first() -> None:
    connection = op.get_bind()
    found = connection.execute(sa.text(_COLUMNS)).all()
    columns = sorted(found, key=lambda one: _place(one.name))
    indexes = connection.scalars(sa.text(_INDEXES)).all()
    about = connection.scalar(sa.text("SELECT obj_description('customer'::regclass)"))
    stored = ", ".join(f'"{one.name}"' for one in columns if not one.is_computed)
    _run("ALTER TABLE customer RENAME TO former_customer")
    _run("ALTER TABLE former_customer RENAME CONSTRAINT pk_customer TO pk_former_customer")
    _run(f"CREATE TABLE customer ({', '.join(one.declared for one in columns)})")
    _run(f"INSERT INTO customer ({stored}) SELECT {stored} FROM former_customer ORDER BY id")  # noqa: S608  # names of columns
    _run("DROP TABLE former_customer")
    _run("ALTER TABLE customer ADD CONSTRAINT pk_customer PRIMARY KEY (id)")
    for index in indexes:
        _run(index)
    for one in columns:
        if one.comment is not None:
            _run(f'COMMENT ON COLUMN customer."{one.name}" IS {one.comment}')
    op.create_table_comment("customer", about)
    _run("ANALYZE customer")


def _run(statement: str) -> None:
    """Run a statement as it is written, whatever colons are in it."""
    op.get_bind().exec_driver_sql(statement)


def _place(name: str) -> int:
    """Those of _FIRST, the others as they are, those of _LAST."""
    if name in _FIRST:
        return _FIRST.index(name) - len(_FIRST)
    return _LAST.index(name) + 1 if name in _LAST else 0
