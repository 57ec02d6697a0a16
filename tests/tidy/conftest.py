"""The quick tests go first, and only what cores are tested by counts as covered.

So a mistake shows early, and live tests run at their own speed: a tracer costs half.
"""

import pytest

QUICK = ("tests/tidy", "tests/unit")
COVERING = ("tests/unit", "tests/contract", "tests/spec")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(QUICK))
    for item in items:
        if not item.nodeid.startswith(COVERING):
            item.add_marker("no_cover")
