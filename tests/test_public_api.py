# SPDX-License-Identifier: Apache-2.0
"""The public API is pinned: ``docs/api.md`` holds its names, parameters and defaults, and the code has them."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_bkitsm.get_provider_info import get_provider_info
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.translation import Language
from tests.tables import table
from tools import public_api
from tools.public_api_zh import catalogue, chinese, lacking
from tools.public_names import CALLS, PACKAGE, SECTIONS, names_of

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = {one.path for section in SECTIONS for one in names_of(section)}
ADVICE = """
The public API is not what docs/api.md says (- the page, + the code).
Not on purpose? Put the name, parameter or default back: DAGs that people have written rely on it.
On purpose? Run `make api`, read the difference of docs/api.md once more, and write into CHANGELOG.md, under
Unreleased, what users have to do; `make api` also names the passages whose Chinese is missing. What was released
goes on working for one more minor version, with a warning.
"""


def difference(language: Language = "en") -> str:
    """Return how the code differs from the page; empty where it does not."""
    before, after = public_api.PAGES[language].read_text(encoding="utf-8"), public_api.page(language)
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))


def _code_for_users() -> Iterator[tuple[str, str]]:
    """Yield the code that users copy: the blocks of the pages, the DAGs, the tested examples."""
    for page in (*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")):
        for block in re.findall(r"^ *```python\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE):
            yield page.name, textwrap.dedent(block)
    for file in (*(ROOT / "dags").glob("*.py"), *(ROOT / "tests" / "docs_examples").glob("*.py")):
        yield file.name, file.read_text()


def _imported() -> Iterator[tuple[str, str]]:
    for file, code in _code_for_users():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                yield from ((file, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("language", public_api.PAGES)
def test_the_code_has_the_names_parameters_and_defaults_of_the_page(language):
    found = difference(language)
    assert not found, f"{ADVICE}\n{found}"


def test_every_passage_has_its_chinese_and_all_chinese_its_passage():
    """Where a docstring was changed: `make api` names both."""
    passages = set(public_api.texts())
    assert sorted(passages - set(catalogue())) == [], "write its Chinese into tools/public_api_zh.json"
    assert sorted(set(catalogue()) - passages) == [], "no docstring says so any more"


@table(("english", "chinese"), catalogue().items())
def test_the_chinese_of_a_passage_has_its_code_links_and_figures(english, chinese):
    assert re.search(r"[\u4e00-\u9fff]", chinese) or chinese == "Hook"
    for pattern in (r"(?::\w+:)?``?[^`]+``?", r"\]\([^)]+\)", r"\d[\d,.]*\d|\d"):
        assert sorted(re.findall(pattern, english)) == sorted(re.findall(pattern, chinese))


DOCSTRING = """Opens a ticket and
returns its number.

Returns two things:

- ``sn``: its
  number;
- ``url``: where it is.

:param title: at most
    128 characters. (templated)
:raises ItsmError: no.
    Never: twice.
"""
OPENED = "提单，返回单号。"


def test_a_docstring_is_put_into_chinese_passage_by_passage(monkeypatch):
    words = {
        "Opens a ticket and returns its number.": OPENED,
        "at most 128 characters. (templated)": "最多 128 个字符。",
    }
    monkeypatch.setattr("tools.public_api_zh.catalogue", lambda: words)
    assert chinese(DOCSTRING.splitlines()) == [
        OPENED,
        "",
        "Returns two things:",
        "",
        r"- \ ``sn``\ : its number;",
        r"- \ ``url``\ : where it is.",
        "",
        ":param title: 最多 128 个字符。",
        ":raises ItsmError: no. Never: twice.",
    ]
    assert list(lacking(DOCSTRING.splitlines())) == [
        "Returns two things:",
        "``sn``: its number;",
        "``url``: where it is.",
        "no. Never: twice.",
    ]


def test_what_users_are_shown_to_import_is_public():
    assert sorted({(file, path) for file, path in _imported() if path not in PUBLIC}) == []


def test_what_airflow_learns_of_the_provider_is_public():
    info = get_provider_info()
    named = {*info["notifications"], *info["extra-links"], *info["cli"]}
    named |= {one["class-name"] for one in info["task-decorators"]}
    named |= {one["hook-class-name"] for one in info["connection-types"]}
    modules = {
        module
        for room in ("hooks", "operators", "sensors", "triggers")
        for one in info[room]
        for module in one["python-modules"]
    }
    assert named <= PUBLIC
    assert modules <= {path.rpartition(".")[0] for path in PUBLIC}


def test_every_call_of_the_hooks_is_public():
    """Each of ITSM's calls is a method of both hooks, and each such method is on the page."""
    built = {name for name, one in vars(calls).items() if _returns_call(one)}
    assert set(CALLS) == {one for one in built if not one.startswith("_")}
    assert all(hasattr(hook, name) for hook in (ItsmHook, ItsmAsyncHook) for name in CALLS)


def _returns_call(one: object) -> bool:
    is_own = inspect.isfunction(one) and one.__module__ == calls.__name__
    return is_own and str(inspect.signature(one).return_annotation).startswith("Call[")
