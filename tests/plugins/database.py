# SPDX-License-Identifier: Apache-2.0
"""A database of Airflow's own for this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy.engine import make_url

from tests.collectors.servers import find_binary
from tests.once import made_once


@contextmanager
def airflow_database(home: Path, url: str) -> Iterator[None]:
    """Make this process's Airflow use a database of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(home))
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        make_tables(url)
        _use_configured_database()
        yield
    _use_configured_database()


def make_tables(url: str) -> None:
    """Make Airflow's tables in an empty database: the first as Airflow does, each other one from a copy."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        Path(str(parts.database)).write_bytes(migrated_sqlite())
    else:
        _fill_postgres(url)


def _migrate(url: str) -> None:
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    env = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    subprocess.run(command, check=True, capture_output=True, env=env)


def _fill_postgres(url: str) -> None:
    where = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    dump, load = find_binary("pg_dump"), find_binary("psql")
    if dump is None or load is None:
        _migrate(url)
        return
    is_new = False

    def migrated() -> bytes:
        nonlocal is_new
        is_new = True
        _migrate(url)
        return subprocess.run([dump, "--no-owner", where], check=True, capture_output=True).stdout

    tables = made_once("airflow.sql", migrated)
    if not is_new:
        command = [load, "--quiet", "--set=ON_ERROR_STOP=1", where]
        subprocess.run(command, input=tables, check=True, capture_output=True)


def migrated_sqlite() -> bytes:
    """Return Airflow's database with nothing in it: making one takes seconds, copying it does not."""
    return made_once("airflow.db", _new_sqlite)


def _new_sqlite() -> bytes:
    with TemporaryDirectory() as home:
        file = Path(home) / "airflow.db"
        _migrate(f"sqlite:///{file}")
        return file.read_bytes()


def _use_configured_database() -> None:
    from airflow import settings

    if settings.engine is not None:
        settings.dispose_orm()
    settings.configure_vars()  # type: ignore[no-untyped-call]
    settings.configure_orm()  # type: ignore[no-untyped-call]
