# SPDX-License-Identifier: Apache-2.0
"""What most tests need: a sandbox, connections to it, and a task's context."""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from sqlalchemy import Engine, event

from airflow_provider_bkitsm.hooks.store import keep_connections_open
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests import store_tables
from tests.collectors import servers
from tests.mail import MailServer, mail_server
from tests.once import run_folder

# Airflow's example plugins listen to every task, which then needs a worker at its end.
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

# What commands and pages say is asserted in English, whatever the language of the machine. Programs inherit it.
os.environ["LC_ALL"] = "C.UTF-8"

# To look for garbage among all the modules of Airflow takes a quarter of the tests' time.
gc.set_threshold(100_000)

# How long examples take says nothing about their results.
settings.register_profile("provider", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("provider")
# Of a mutant only counts whether an example fails, not which is the smallest that does, and each time the same.
settings.register_profile(
    "mutation",
    settings.get_profile("provider"),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
)

# Before any worker is started, so that all of them share it.
run_folder()


def _wait_for_no_disk(connection: Any, _record: Any) -> None:
    """Let SQLite leave the disk to the system, as the tests' servers do: a killed process loses nothing by it."""
    if isinstance(connection, sqlite3.Connection):
        # A file that is no database is for whoever uses the connection to find.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA synchronous=OFF")


event.listen(Engine, "connect", _wait_for_no_disk)

Connect = Callable[..., None]
AIRFLOW = tuple(int(part) for part in version("apache-airflow-core").split(".")[:2])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("since_airflow"):
            since, why = mark.args
            if tuple(map(int, since.split("."))) > AIRFLOW:
                item.add_marker(pytest.mark.skip(reason=f"since Airflow {since}: {why}"))


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make alone."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_pool_for_the_store() -> Iterator[None]:
    """Undo what starting the plugin tells its process: to keep connections of the store open."""
    yield
    keep_connections_open(keep=False)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Give a database to tests of this process that leave nothing behind, on a PostgreSQL for all processes."""
    with servers.shared("postgres", servers.postgres) as server, servers.own_database(server) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """Give one on a MariaDB likewise."""
    with servers.shared("mariadb", servers.mariadb) as server, servers.own_database(server) as url:
        yield url


@pytest.fixture
def own_postgres_url(postgres_url: str) -> Iterator[str]:
    """Give a database of this test's own."""
    with servers.own_database(postgres_url) as url:
        yield url


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """Serve a fresh sandbox."""
    with SandboxServer(Settings(start_delay=0.02)) as server:
        yield server


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that defines an Airflow connection for this test."""

    def define(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return define


@pytest.fixture
def mail(connect: Connect) -> Iterator[MailServer]:
    """Serve a mail server, with Airflow's connection to it."""
    with mail_server() as server:
        connect("smtp_default", conn_type="smtp", host="127.0.0.1", port=server.port, extra=server.extra)
        yield server


@pytest.fixture
def connections(sandbox: SandboxServer, connect: Connect, monkeypatch, tmp_path: Path) -> Iterator[Connect]:
    """Define the default connections to the sandbox, and a store of this test's own."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    # The sandbox's flows start in a fraction of the time a real ITSM's take.
    monkeypatch.setattr("airflow_provider_bkitsm.tickets.opener.START_SECONDS", 0.05)
    monkeypatch.setattr("airflow_provider_bkitsm.tickets.withdrawal.RETRY_SECONDS", 0.05)
    caller = {"login": "sandbox", "password": "sandbox-secret"}
    itsm = {"settle_seconds": 0.2, "read_retries": 0}
    connect("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra=itsm, **caller)
    connect("bklog_default", conn_type="bklog", host=sandbox.bklog_url, **caller)
    with store_tables.written_into(tmp_path / "bkitsm.db"):
        yield connect


@pytest.fixture
def reconnect(sandbox: SandboxServer, connections: Connect) -> Callable[..., None]:
    """Return what gives the ITSM connection other settings, as its owner may while people decide."""

    def change(**extra: Any) -> None:
        caller = {"login": "sandbox", "password": "sandbox-secret", "host": sandbox.itsm_url}
        usual = {"settle_seconds": 0.2, "read_retries": 0}
        connections("bkitsm_default", conn_type="bkitsm", extra=usual | extra, **caller)

    return change


@dataclass
class FakeTask:
    """A task instance's context, and what was pushed to it.

    :param clear_number: how often a person cleared it, each time after one try.
    :param began: when its run began.
    :param person: who started its run, by name in Airflow.
    """

    task_id: str
    run_id: str = "run_1"
    clear_number: int = 0
    try_number: int = 1
    began: datetime | None = None
    person: str | None = None
    states: Any = None
    xcom: dict[str, Any] = field(default_factory=dict)

    def _push(self, key: str, value: Any) -> None:
        self.xcom[key] = value

    @property
    def context(self) -> Any:
        """What ``execute`` is given."""
        began = self.began or datetime.now(UTC)
        one = (self.run_id, self.task_id, self.try_number, self.clear_number, began)
        ti = SimpleNamespace(
            id=uuid.uuid5(uuid.NAMESPACE_OID, repr(one)),
            dag_id="dag",
            run_id=self.run_id,
            task_id=self.task_id,
            map_index=-1,
            try_number=self.try_number + self.clear_number,
            max_tries=self.clear_number,
            start_date=began,
            xcom_push=self._push,
        )
        run = SimpleNamespace(
            dag_id="dag",
            run_after=began,
            start_date=began,
            run_id=self.run_id,
            clear_number=self.clear_number,
            triggering_user_name=self.person,
        )
        return {"ti": ti, "dag_run": run, "task_state_store": self.states}


@pytest.fixture
def task() -> Callable[..., FakeTask]:
    """Return a maker of task contexts; a run begins once."""
    begun: dict[str, datetime] = {}

    def make(task_id: str, run_id: str = "run_1", **more: Any) -> FakeTask:
        began = more.pop("began", None) or begun.setdefault(run_id, datetime.now(UTC))
        return FakeTask(task_id, run_id=run_id, began=began, **more)

    return make


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make Shanghai's the machine's own time zone."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()
