# SPDX-License-Identifier: Apache-2.0
"""A database of Airflow's own for this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@contextmanager
def airflow_database(home: Path, url: str) -> Iterator[None]:
    """Make this process's Airflow use a database of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(home))
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).write_bytes(_migrated_sqlite())
        else:
            _migrate()
        _use_configured_database()
        yield
    _use_configured_database()


def _migrate(**env: str) -> None:
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **env})


@cache
def _migrated_sqlite() -> bytes:
    """Return Airflow's database with nothing in it: making one takes seconds, copying it does not."""
    with TemporaryDirectory() as home:
        file = Path(home) / "airflow.db"
        _migrate(AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{file}")
        return file.read_bytes()


def _use_configured_database() -> None:
    from airflow import settings

    if settings.engine is not None:
        settings.dispose_orm()
    settings.configure_vars()  # type: ignore[no-untyped-call]
    settings.configure_orm()  # type: ignore[no-untyped-call]
