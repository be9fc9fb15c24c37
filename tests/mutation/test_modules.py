# SPDX-License-Identifier: Apache-2.0
"""Which modules are changed on purpose, and which tests have to notice: none of the pure core is left out."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.mutation.allowed import read_allowed
from tests.mutation.counted import ROOT, mutated_modules, name_of, read_counted
from tests.mutation.mutants import PACKAGE

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
CHANGED = mutated_modules()
TESTS = SETTINGS["pytest_add_cli_args_test_selection"]
# An old name of another module; a list of words; the module that Python runs.
NO_DECISIONS = {"__init__.py", "__main__.py", "payload.py", "reserved_names.py"}
DATABASE = re.compile(r"sqlalchemy|collectors\.(engine|store|tables|transactions|schema)\b")


def pure(room: str) -> list[Path]:
    """Return the modules of a room that decide something and know no database."""
    found = sorted((ROOT / PACKAGE / room).rglob("*.py"))
    return [one for one in found if one.name not in NO_DECISIONS and not DATABASE.search(one.read_text("utf-8"))]


@pytest.mark.parametrize("named", [*SETTINGS["only_mutate"], *TESTS])
def test_what_is_named_is_there(named):
    assert list(ROOT.glob(named))


@pytest.mark.parametrize("room", ["itsm", "approvals", "collectors"])
def test_every_module_that_decides_is_changed(room):
    assert [str(one.relative_to(ROOT)) for one in pure(room) if one not in CHANGED] == []


@pytest.mark.parametrize("file", CHANGED, ids=lambda one: str(one.relative_to(ROOT)))
def test_the_tests_of_a_changed_module_have_to_notice(file):
    room = f"tests/{file.parent.relative_to(ROOT / PACKAGE)}"
    mirror = f"{room}/test_{file.stem}.py"
    is_selected = any(mirror == one or mirror.startswith(f"{one}/") for one in TESTS)
    assert is_selected or not (ROOT / mirror).exists()


def test_what_is_counted_is_still_there():
    assert read_counted().keys() <= {*map(name_of, CHANGED)}


@pytest.mark.parametrize("name", sorted({one for one, _ in read_allowed().reasons} | read_allowed().sentences))
def test_a_function_that_may_keep_a_survivor_is_there(name):
    module, _, function = name.rpartition(".")
    room, _, kind = module.rpartition(".")
    owner = (
        import_module(f"{PACKAGE}.{module}")
        if is_module(module)
        else getattr(import_module(f"{PACKAGE}.{room}"), kind)
    )
    assert hasattr(owner, function)


def is_module(name: str) -> bool:
    return (ROOT / PACKAGE / Path(*name.split("."))).with_suffix(".py").exists()
