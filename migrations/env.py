"""Alembic's entry: runs the revisions on the connection that it is given."""

from alembic import context

from cdp.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
