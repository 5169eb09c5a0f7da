"""A limit for every test, so that one that hangs fails by name, with its stack, instead of stopping the whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIMIT_S = 120
"""Seconds for a test and its fixtures; the slowest quick one takes a tenth."""
LIMITS_S = {"bench": 900, "lab": 900, "repo": 600, "seeds": 900, "vm": 1800}
"""Seconds for one that boots machines (and may first have to make their trees), plays segments or runs linters."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the limit of its folder."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        item.add_marker(pytest.mark.timeout(LIMITS_S.get(folder, LIMIT_S)))
