"""The callback's fixtures, one floor up; and Airflow's real database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.callback.conftest import arrive, metadata, sn, token  # noqa: F401
from tests.collectors.servers import postgres


@contextmanager
def airflow_database(home: Path, url: str) -> Iterator[None]:
    """Make this process's Airflow use a database of its own."""
    from airflow import settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(home))
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, check=True, capture_output=True, env=dict(os.environ))
        _use_configured_database(settings)
        yield
    _use_configured_database(settings)


def _use_configured_database(settings) -> None:
    if settings.engine is not None:
        settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request, tmp_path_factory) -> Iterator[str]:
    """Give Airflow a fresh database."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        with airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
            yield request.param
    else:
        with postgres() as url, airflow_database(home, url):
            yield request.param
