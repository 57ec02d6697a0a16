"""Alembic's entry: run the steps in the transaction that `migrate` has begun."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"], version_table_schema=attributes["schema"]
)
context.run_migrations()
