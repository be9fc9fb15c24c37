# SPDX-License-Identifier: Apache-2.0
"""What a version before has begun: as it was recorded, and where its wheel can be built as that does it now."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from benchmarks.versions import importing
from tests.once import made_once
from tests.upgrade.wheels import has_history, install_wheel

HERE = Path(__file__).parent
RECORDED = sorted((HERE / "data").glob("*.json"))


@dataclass(frozen=True, kw_only=True)
class Before:
    """What one version has left behind, and the sandbox in which it has done so.

    :param left: what ``record.py`` has written.
    """

    left: dict[str, Any]
    sandbox: SandboxServer
    home: Path

    def opens(self, request: dict[str, Any]) -> str:
        """Open a ticket as that version did, and return its number here."""
        form = {field["key"]: field["value"] for field in request["fields"]}
        sn = ItsmHook().create_ticket(**request | {"fields": form}).sn
        self.sandbox.wait_for_step(sn)
        return sn

    def begins(self, name: str) -> dict[str, Any]:
        """Open the ticket of a part, and return what was left of that, with the number it has here."""
        part = self.left[name]
        sn = self.opens(part["request"])
        found: dict[str, Any] = json.loads(json.dumps(part).replace(part["sn"], sn).replace("{sn}", sn))
        return found

    def writes_store(self, collectors: dict[str, Any]) -> None:
        """Write the store's file as that version left it."""
        with sqlite3.connect(self.home / "bkitsm.db") as store:
            store.executescript("\n".join(collectors["store"]))


def _as_its_wheel_does(commit: str) -> bytes:
    """Build a version's wheel, let it begin everything anew, and return what it left."""
    with TemporaryDirectory() as folder:
        installed = install_wheel(commit, Path(folder))
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        env |= importing(installed) | {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        file = Path(folder) / "left.json"
        record = [sys.executable, str(HERE / "record.py"), commit, str(file)]
        subprocess.run(record, cwd=folder, env=env, check=True, capture_output=True)
        return file.read_bytes()


def _ways() -> list[Any]:
    recorded = [(path.stem, path.read_text()) for path in RECORDED]
    built = [(name, commit) for name, text in recorded if has_history(commit := json.loads(text)["commit"])]
    return [
        *(pytest.param((text, None), id=name) for name, text in recorded),
        *(pytest.param((None, commit), id=f"{name}-wheel") for name, commit in built),
    ]


@pytest.fixture(params=_ways())
def before(request, connections, sandbox, tmp_path) -> Before:
    text, commit = request.param
    left = json.loads(
        text if commit is None else made_once(f"left-by-{commit}", partial(_as_its_wheel_does, commit))
    )
    return Before(left=left, sandbox=sandbox, home=tmp_path)
