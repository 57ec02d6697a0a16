"""The database schema of a stack, as numbered steps that are never edited."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

_GATE = 0x57A1E
"""Key of the advisory lock under which schemas are migrated, one at a time."""


async def migrate(url: str, schema: str) -> None:
    """Create a stack's schema, or bring it up to date; does nothing when it is."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        gate = text("SELECT pg_advisory_xact_lock(:gate)")
        await connection.execute(gate, {"gate": _GATE})
        await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
        await connection.execute(text(f'SET LOCAL search_path TO "{schema}"'))
        await connection.run_sync(_upgrade, schema)


def _upgrade(connection: Connection, schema: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, schema=schema)
    command.upgrade(config, "head")
