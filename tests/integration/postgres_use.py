"""What tests of the PostgreSQL provider share."""

import os
from pathlib import Path

from sqlalchemy import create_engine, text

REPOSITORY = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0


def run_sql(url: str, *statements: str) -> object:
    """Run the statements in one transaction; return the last one's first value."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            results = [connection.execute(text(each)) for each in statements]
            return results[-1].scalar() if results[-1].returns_rows else None
    finally:
        engine.dispose()
