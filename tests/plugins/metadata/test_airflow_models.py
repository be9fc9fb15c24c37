# SPDX-License-Identifier: Apache-2.0
"""Airflow's models are imported in one module, and by nothing that a DAG file loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import airflow_provider_bkitsm
from airflow_provider_bkitsm.plugins.metadata import airflow_models

PACKAGE = Path(airflow_provider_bkitsm.__file__).parent


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return found


def test_no_other_module_imports_airflows_models():
    using = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(one == "airflow.models" or one.startswith("airflow.models.") for one in imported(path))
    }
    # What writes a DAG into the database has moved between the versions that are supported.
    assert using == {"plugins/metadata/airflow_models.py", "version_compat.py"}


def test_the_rooms_others_modules_take_all_of_airflow_from_it():
    others = [path for path in (PACKAGE / "plugins" / "metadata").glob("*.py") if path.name != "airflow_models.py"]
    assert [one for path in others for one in imported(path) if one.split(".")[0] == "airflow"] == []


def test_each_name_is_airflows():
    for name in airflow_models.__all__:
        assert getattr(airflow_models, name).__module__.startswith("airflow.")


def test_what_dags_and_components_load_does_without_it():
    """One after the other in one process: the first that loads it is named."""
    code = (
        "import sys, importlib\n"
        "for module in ('operators.ticket', 'sensors.ticket', 'triggers.ticket', 'plugins.bkitsm'):\n"
        "    importlib.import_module(f'airflow_provider_bkitsm.{module}')\n"
        "    if 'airflow_provider_bkitsm.plugins.metadata' in sys.modules: sys.exit(module)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # The last line names the module; Airflow 3.1 logs lines of its own.
    assert done.returncode == 0, done.stderr
