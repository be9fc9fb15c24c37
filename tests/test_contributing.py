# SPDX-License-Identifier: Apache-2.0
"""The map of the package is the package: its rooms, their order, and where a newcomer finds a rule."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "airflow_provider_bkitsm"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]
LAYERS = [set(layer.split(" | ")) for layer in CONTRACTS[0]["layers"]]
ROOMS = set().union(*LAYERS)


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading."""
    part = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return rows[2:]


def _rooms() -> Iterator[str]:
    for first, *_ in _table("The map of rooms"):
        yield from (name.rstrip("/") for name in re.findall(r"`([\w/]+)`", first))


def _pointers() -> list[tuple[str, str]]:
    """Return each file that an answer names, with the function or class it names in it."""
    found = []
    for _, answer in _table("Where do I find"):
        found += re.findall(r"`([\w/]+\.\w+)`(?:: `(\w+)`)?", answer)
    return found


def _defined(file: Path) -> set[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".js":
        return set(re.findall(r"^(?:export )?(?:const|function|class) (\w+)", text, re.MULTILINE))
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return names


def test_the_map_has_every_room_once():
    rooms = list(_rooms())
    assert sorted(rooms) == sorted(ROOMS)


def test_the_map_is_in_the_order_of_the_layers():
    rank = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    found = [rank[room] for room in _rooms()]
    assert found == sorted(found)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_the_picture_has_every_room(room):
    assert f">{room}<" in (ROOT / "docs" / "rooms.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(("file", "name"), _pointers())
def test_what_an_answer_points_to_is_there(file, name):
    path = ROOT / file if file.startswith("tools/") else PACKAGE / file
    assert path.exists()
    assert not name or name in _defined(path)
