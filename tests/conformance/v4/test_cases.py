# SPDX-License-Identifier: Apache-2.0
"""Every case of ITSM v4 has a test on each side it is for, and a report says what a run has leaned on."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_bkitsm.itsm.v4.facts import FACTS, Confidence
from tests.conformance.v4.__main__ import report
from tests.conformance.v4.cases import CASES, facts_of

HERE = Path(__file__).parent
PACKAGE = HERE.parents[2] / "airflow_provider_bkitsm"
SANDBOX, *CLIENT = (HERE / f"test_{name}.py" for name in ("sandbox", "client", "callbacks"))
DIALECT = HERE.parents[1] / "itsm" / "v4" / "test_dialect.py"


def cases_in(*files: Path) -> set[int]:
    return {int(one) for file in files for one in re.findall(r"@case\((\d+)\)", file.read_text(encoding="utf-8"))}


def test_there_are_fifty_five():
    assert list(CASES) == list(range(1, 56))


def test_each_is_tested_on_each_of_its_sides():
    assert {one for one, case in CASES.items() if "F" in case.sides} <= cases_in(SANDBOX)
    assert {one for one, case in CASES.items() if "C" in case.sides} <= cases_in(*CLIENT, DIALECT)


def test_a_case_is_as_sure_as_its_least_sure_fact():
    assert CASES[22].confidence is Confidence.SEVERAL
    assert CASES[31].confidence is Confidence.ASSUMED
    assert CASES[21].leans_on == (FACTS["people-list"],)


def test_every_fact_that_is_no_assumption_has_a_source():
    for fact in FACTS.values():
        assert bool(fact.sources) is (fact.confidence is not Confidence.ASSUMED), fact.key


def test_facts_are_listed_with_the_least_sure_first():
    assert [one.key for one in facts_of(["identity", "zone", "batch", "zone"])] == ["zone", "batch", "identity"]
    with pytest.raises(KeyError):
        facts_of(["nothing"])


def test_the_facts_named_in_the_code_exist():
    """As in a comment: (fact ``zone``)."""
    source = "".join(file.read_text(encoding="utf-8") for file in (PACKAGE / "itsm" / "v4").glob("*.py"))
    named = re.findall(r"[Ff]acts? ((?:``[\w-]+``|\"[\w-]+\")(?:(?:, | and )(?:``[\w-]+``|\"[\w-]+\"))*)", source)
    keys = {key for some in named for key in re.findall(r"[\w-]+", some.replace(" and ", " "))}
    assert len(keys) > 15
    assert keys <= FACTS.keys()


def test_the_report_names_what_a_run_leaned_on():
    text = report(Counter({22: 1, 31: 2}), failed={23})
    assert "2 of 55 cases passed, 1 failed: 23" in text
    assert "own-approval" in text
    assert "tasks" in text
    assert "zone" not in text


# The room of v4, and what leads there. "finished" is a word of the core too, and our own pages have an api/v1/.
KNOWS_V4 = ("itsm/v4/", "sandbox/", "hooks/connection.py", "hooks/connection_form.py", "testing/")
OF_V4 = re.compile(
    r"\bticket/(?:create|detail|list|logs|handle)\b|system_ticket|system_workflow|approval_tasks"
    r"|handle_approval_node|tickets/revoked|\"termination\"|\"revoked\"|\"suspend\"|\"draft\""
    r"|APPROVE_TASK|SYSTEM-TOKEN|ticket__title|form_data\[|workflow_key"
)


def test_no_other_file_names_a_path_or_a_status_of_v4():
    files = (file for file in PACKAGE.rglob("*") if file.suffix in (".py", ".js", ".html"))
    others = {file.relative_to(PACKAGE).as_posix(): file for file in files}
    found = {
        name: OF_V4.findall(file.read_text(encoding="utf-8"))
        for name, file in others.items()
        if not name.startswith(KNOWS_V4) and OF_V4.search(file.read_text(encoding="utf-8"))
    }
    assert found == {}
