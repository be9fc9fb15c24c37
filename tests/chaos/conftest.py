# SPDX-License-Identifier: Apache-2.0
"""What takes minutes runs only when it is asked for: ``pytest -m chaos``, or ``make chaos``."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "chaos" in config.getoption("markexpr"):
        return
    long = [item for item in items if item.get_closest_marker("chaos")]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
