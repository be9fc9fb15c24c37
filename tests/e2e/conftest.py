"""One Airflow and one sandbox for all end-to-end tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_bkitsm.collectors.store import CollectorStore, sqlite_engine
from demo.local_airflow import LocalAirflow
from demo.sandbox_process import SandboxProcess

ROOT = Path(__file__).resolve().parents[2]
DAG_ID = "bkitsm_collector_onboarding"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def itsm(home: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(home=home) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow(home: Path, itsm: SandboxProcess) -> Iterator[LocalAirflow]:
    env, dags = itsm.connections(settle_seconds=2), home / "dags"
    dags.mkdir()
    for file in (*(ROOT / "dags").glob("*.py"), *(Path(__file__).parent / "dags").glob("*.py")):
        shutil.copy(file, dags)
    with LocalAirflow(home=home, dags=dags, env=env) as running:
        running.wait_ready(
            DAG_ID,
            "any_service",
            "mapped_tickets",
            "timed_out",
            "called_back",
            "withdrawn_by_airflow",
            "workerless",
            "nothing_to_wait_for",
        )
        yield running


@pytest.fixture(scope="session")
def store(home: Path) -> CollectorStore:
    return CollectorStore(sqlite_engine(home / "bkitsm.db"))
