# SPDX-License-Identifier: Apache-2.0
"""What was counted of each module, in ``counted.json``: it is mutated anew once it or its tests have changed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.mutation.mutants import PACKAGE, Mutant

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("counted.json")


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The mutants of one module.

    :param digest: of the module and its tests, as they were.
    :param noticed: how many mutants were noticed, by how.
    :param left: those that no test noticed.
    """

    digest: str
    noticed: Mapping[str, int]
    left: tuple[Mutant, ...] = ()


def mutated_modules() -> list[Path]:
    """Return the files of the modules that are mutated, those of one room behind each other."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    found = {file for pattern in settings["only_mutate"] for file in ROOT.glob(pattern)}
    return sorted(
        (file for file in found if file.name != "__init__.py"), key=lambda file: (file.parent, file.name)
    )


def name_of(module: Path) -> str:
    """Return what a module's file is called, without the package."""
    return ".".join(module.relative_to(ROOT / PACKAGE).with_suffix("").parts)


def digest_of(module: Path) -> str:
    """Return what is another text once a module, or one of its tests, has changed."""
    digest = sha256()
    for file in (module, *files_that_test(module)):
        digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def files_that_test(module: Path) -> list[Path]:
    """Return the files with a module's tests; all of its room where it has none of its own."""
    room = ROOT / "tests" / module.parent.relative_to(ROOT / PACKAGE)
    own = [*room.glob(f"test_{module.stem}.py"), *room.glob(f"test_{module.stem}_*.py")]
    return sorted(own or room.glob("test_*.py"))


def changed(modules: Iterable[Path], counted: Mapping[str, Counted]) -> list[Path]:
    """Return the modules that were never counted, or have changed since."""
    before = {name: one.digest for name, one in counted.items()}
    return [module for module in modules if before.get(name_of(module)) != digest_of(module)]


def read_counted(file: Path = FILE) -> dict[str, Counted]:
    """Read what was counted, by module."""
    return {name: _counted(one) for name, one in json.loads(file.read_text(encoding="utf-8")).items()}


def write_counted(counted: Mapping[str, Counted], file: Path = FILE) -> None:
    """Write what was counted, by module."""
    listed = {name: asdict(one) for name, one in sorted(counted.items())}
    file.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _counted(given: dict[str, Any]) -> Counted:
    return Counted(**given | {"left": tuple(Mutant(**one) for one in given["left"])})
