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
    assert f'--8<-- "dags/{name}.py"' in TEXT


def test_every_file_named_exists():
    named = {path.partition("#")[0] for path in re.findall(r"\]\((?!http)([^)]+)\)", TEXT)}
    assert len(named) > len(DAGS)
    assert all((PAGE.parent / path).exists() for path in named)


def test_the_decorator_an_editor_completes_is_there():
    (example,) = (one for one in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "--8<--" not in one)
    names: dict = {}
    exec(example, names)
    assert names["approve"].function("host-1")["APPROVER"] == "alice"
