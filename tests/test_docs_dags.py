# SPDX-License-Identifier: Apache-2.0
"""What the page on DAGs says of each is so, and what it shows is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_dags import DAGS, parsed

PAGE = Path(__file__).resolve().parents[1] / "docs" / "dags.md"
TEXT = PAGE.read_text()
# Their rows' cells, by name.
ROWS = {
    re.findall(r"`(\w+)`", line)[0]: line.split(" | ")
    for line in TEXT.splitlines()
    if line.startswith("| [`bkitsm_")
}


@pytest.mark.parametrize("name", DAGS)
def test_every_dag_has_its_row_with_its_parameters_and_is_shown(name):
    named = re.findall(r"`(\w+)`", ROWS[name][2])
    assert named == (parsed(name)["params"] or ["SCHEDULE", "CLOSE_REFUSED"])
    assert f"\n[`dags/{name}.py`](../dags/{name}.py)\n" in TEXT
