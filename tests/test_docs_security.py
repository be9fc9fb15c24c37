# SPDX-License-Identifier: Apache-2.0
"""The page on security: whatever it says is held, a test holds, and the page names that test.

That the tests are there is checked with all links, in ``test_docs.py``. The grants to ask for are those of
the calls that the code makes.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_bkitsm.itsm.v2 import calls

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
PACKAGE = ROOT / "airflow_provider_bkitsm"
# Sections by who somebody is; their tables say what holds what they try.
ACTORS = (
    "An application on the gateway",
    "A user of ITSM",
    "Who writes DAGs",
    "Who can write XComs of a DAG",
    "Who reaches the callback",
    "Who can write the store",
)
_TEST = re.compile(r"\]\(\.\./tests/\w[\w/]*\.py#test_\w+\)")


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("actor", ACTORS)
def test_what_is_held_is_tested(actor):
    rows = [line for line in _section(actor).splitlines() if line.startswith("| ")][2:]
    assert rows
    untested = [row for row in rows if not _TEST.search(row) and "as above" not in row]
    assert not untested


@pytest.mark.parametrize("actor", ACTORS)
def test_what_is_not_held_is_said(actor):
    assert "Not held" in _section(actor)


# What the page asks of ITSM's administrators, and of the log platform's.
ITSM, _, BKLOG = _section("What to ask of ITSM's administrators").partition("Of the log platform's administrators")


def _calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def _made_calls() -> set[str]:
    """Return ITSM's names of the calls that the package itself makes, without those hooks only offer to DAGs."""
    files = {*(PACKAGE / "itsm" / "v2").glob("*.py")} - {PACKAGE / "itsm" / "v2" / "pagination.py"}
    functions = {
        one.func.attr
        for path in files
        for one in _calls(path)
        if isinstance(one.func, ast.Attribute) and ast.unparse(one.func.value) == "calls"
    }
    makers = [getattr(calls, name) for name in functions]
    return {_endpoint(one) for one in makers if str(one.__annotations__["return"]).startswith("Call[")}


def _endpoint(maker: Callable[..., object]) -> str:
    """Return the path a call is made for: the first text of its function that is one, else the function's name."""
    found = re.search(r'"([a-z_]+(?:/[a-z_]+)*)/"', inspect.getsource(maker))
    return found[1] if found else maker.__name__


def test_every_call_to_itsm_that_the_package_makes_is_asked_for():
    made = _made_calls()
    assert {"create_ticket", "token/verify", "comment", "get_workflow_detail"} < made
    assert made <= set(re.findall(r"`([\w/]+)`", ITSM))


def test_every_call_to_the_log_platform_is_asked_for():
    made = {
        f"{one.func.attr.lstrip('_').upper()} /{_template(one.args[0])}"
        for one in _calls(PACKAGE / "hooks" / "bklog.py")
        if isinstance(one.func, ast.Attribute) and one.func.attr in ("_get", "_post")
    }
    assert made == set(re.findall(r"`((?:GET|POST) /[^`]+)`", BKLOG))


def _template(path: ast.expr) -> str:
    """Return a path of the platform with ``{id}`` for what differs."""
    return re.sub(r"\{\w+\}", "{id}", ast.unparse(path).strip("f'"))
