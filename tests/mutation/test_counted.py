# SPDX-License-Identifier: Apache-2.0
"""What is mutated anew, and what is kept of the modules that have not changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation import counted
from tests.mutation.counted import (
    Counted,
    changed,
    digest_of,
    files_that_test,
    name_of,
    read_counted,
    write_counted,
)
from tests.mutation.mutants import PACKAGE, Mutant

FILES = (
    *(f"{PACKAGE}/itsm/{name}.py" for name in ("wait", "errors")),
    *(f"tests/itsm/test_{name}.py" for name in ("wait", "wait_long")),
)
LEFT = Mutant(name="m", function="itsm.wait.f", change="1 => 2", status="survived", is_text=True)


@pytest.fixture
def room(tmp_path, monkeypatch) -> Path:
    """A room with two modules, of which one has tests of its own."""
    monkeypatch.setattr(counted, "ROOT", tmp_path)
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(file)
    return tmp_path


def module(room: Path, name: str) -> Path:
    return room / PACKAGE / "itsm" / f"{name}.py"


def as_they_are(modules: list[Path]) -> dict[str, Counted]:
    return {name_of(one): Counted(digest=digest_of(one), noticed={"killed": 3}, left=(LEFT,)) for one in modules}


@pytest.mark.parametrize(
    ("file", "anew"),
    [
        ("tests/itsm/test_wait_long.py", ["itsm.errors", "itsm.wait"]),
        (f"{PACKAGE}/itsm/wait.py", ["itsm.wait"]),
        (f"{PACKAGE}/itsm/errors.py", ["itsm.errors"]),
        ("tests/itsm/conftest.py", []),
    ],
)
def test_a_module_is_mutated_anew_when_it_or_one_of_its_tests_has_changed(room, file, anew):
    modules = [module(room, "errors"), module(room, "wait")]
    known = as_they_are(modules)
    assert changed(modules, known) == []
    (room / file).write_text("another")
    assert [*map(name_of, changed(modules, known))] == anew


def test_a_module_that_was_never_counted_is_mutated(room):
    modules = [module(room, "errors"), module(room, "wait")]
    assert changed(modules, as_they_are(modules[:1])) == modules[1:]


def test_a_module_without_files_that_test_its_own_is_tested_by_its_room(room):
    assert [file.name for file in files_that_test(module(room, "wait"))] == ["test_wait.py", "test_wait_long.py"]
    assert files_that_test(module(room, "errors")) == files_that_test(module(room, "wait"))


def test_a_renamed_test_is_another_one(room):
    before = digest_of(module(room, "wait"))
    (room / "tests/itsm/test_wait_long.py").rename(room / "tests/itsm/test_wait_short.py")
    assert digest_of(module(room, "wait")) != before


def test_what_was_counted_is_read_as_it_was_written(room, tmp_path):
    known = as_they_are([module(room, "wait")])
    write_counted(known, tmp_path / "counted.json")
    assert read_counted(tmp_path / "counted.json") == known
