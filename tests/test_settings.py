# SPDX-License-Identifier: Apache-2.0
"""The options of ``[bkitsm]``: one declaration and one reader each, and nobody else reads them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_bkitsm
from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.get_provider_info import get_provider_info
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

PACKAGE = Path(airflow_provider_bkitsm.__file__).parent
DOCS = PACKAGE.parent / "docs"
READS = ("get", "getboolean", "getint", "getfloat", "getjson", "getsection", "has_option", "get_mandatory_value")

DEFAULTS = {
    "callback": True,
    "callback_base_url": "",
    "collect_itsm": "on",
    "collect_itsm_businesses": "",
    "user_mapping": {},
    "remind": "",
    "itsm_frame_origin": "",
    "store_conn_id": "",
    "waiting_note": "en",
    "home_count": True,
    "forbid_self_approval": False,
    "freeze_gc": False,
    "initialize_metrics": False,
    "remind_by_allowed": (),
}


def readers() -> set[str]:
    """The functions of the module for everybody."""
    found = inspect.getmembers(settings, inspect.isfunction)
    return {name for name, one in found if one.__module__ == settings.__name__ and not name.startswith("_")}


def test_every_option_is_declared_once_and_has_a_reader_of_its_name():
    declared = get_provider_info()["config"]["bkitsm"]["options"]
    assert set(declared) == readers() == set(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_without_an_entry_the_declared_default_counts(monkeypatch, name):
    monkeypatch.delenv(f"AIRFLOW__BKITSM__{name.upper()}", raising=False)
    assert getattr(settings, name)() == DEFAULTS[name]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("callback", "False", False),
        ("forbid_self_approval", "true", True),
        ("freeze_gc", "true", True),
        ("remind", "a.b.c", "a.b.c"),
        ("user_mapping", '{"a": "b"}', {"a": "b"}),
        ("user_mapping", "", {}),
        ("waiting_note", " ZH ", "zh"),
        ("waiting_note", "off", None),
        ("home_count", "False", False),
    ],
)
def test_an_entry_is_read_with_its_type(monkeypatch, name, text, value):
    monkeypatch.setenv(f"AIRFLOW__BKITSM__{name.upper()}", text)
    assert getattr(settings, name)() == value


@pytest.mark.parametrize("text", ["{", "[]", "1", '"a"', "null"])
def test_a_mapping_that_is_none_is_an_error(monkeypatch, text):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", text)
    with pytest.raises(ItsmConfigurationError, match="user_mapping is no JSON object"):
        settings.user_mapping()


def sections_read(tree: ast.AST) -> Iterator[int]:
    """Lines on which Airflow's configuration is read, other than a named section that is Airflow's own."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS):
            continue
        of = node.func.value
        reads_conf = "conf" in ast.unparse(of)
        section = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if reads_conf and (section is None or section == settings.SECTION):
            yield node.lineno


def test_no_other_module_reads_the_section():
    own = {"settings.py"}
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        if path.name not in own and "sandbox" not in path.parts
        for line in sections_read(ast.parse(path.read_text(encoding="utf-8")))
    }
    # An option of Airflow's own, whose section is a variable there.
    assert {one.rpartition(":")[0] for one in found} <= {"sensors/ticket.py"}


@pytest.mark.parametrize(
    "line",
    ['airflow_conf().get("bkitsm", "remind")', 'conf.getboolean("bkitsm", "x")', "conf.get(SECTION, X)"],
)
def test_another_reader_would_be_found(line):
    assert list(sections_read(ast.parse(line))) == [1]


def test_the_declarations_are_read_without_airflows_configuration():
    code = (
        "import sys; from airflow_provider_bkitsm.get_provider_info import get_provider_info as g; g();"
        "print([one for one in sys.modules if one.startswith('airflow.')])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_option_is_in_the_documentation(name):
    assert any(f"{name}" in path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
