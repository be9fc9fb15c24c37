# SPDX-License-Identifier: Apache-2.0
"""Everything that can be killed or cleaned, on this machine: PostgreSQL, a sandbox, an Airflow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import requests
from airflow.utils.db_cleanup import config_dict

from airflow_provider_bkitsm.collectors.database import server_engine
from airflow_provider_bkitsm.collectors.store import CollectorStore
from demo.airflow_api import wait_until
from demo.local_airflow import COMPONENTS, LocalAirflow
from demo.sandbox_process import SandboxProcess
from tests.chaos.settings import CELERY, LOCAL, celery, environment, write_policy
from tests.chaos.turnstile import Turnstile
from tests.collectors.servers import Server, find_binary, postgres_server, redis_server

DAG_ID = "bkitsm_collector_onboarding"
DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / f"{DAG_ID}.py"
SANDBOX, WORKER, TRIGGERER, SCHEDULER = "sandbox", "worker", "triggerer", "scheduler"
# The scheduler's own process: its tasks live on, and are started once more by the next scheduler.
ORPHANS = "orphans"
TRIGGERERS = ("triggerer", "triggerer-2")
# All of them, for five minutes; and the DAG's file, which goes and comes back, as in a deployment.
NO_TRIGGERER, DAGS_GONE = "no-triggerer", "dag-file"
# ``airflow db clean`` of one table, and of what Airflow deletes with it; or of all that waits do not need.
OTHER_TABLES = "clean-others"
_TABLES = ("trigger", "task_instance", "dag_run", "dag_version", "dag", "xcom", "task_state_store")
CLEANS = {f"clean-{name}": name for name in _TABLES} | {OTHER_TABLES: ""}
# The living keep these fresh: only what is a minute old can be old in earnest.
_KEPT_FRESH = {"dag", "job"}
# A task's state expires 30 days after it was written.
_EVER = timedelta(days=365)
# The triggerers start anew after a clean-up, on what it has left; then all have to notice what is gone.
_DOWN_SECONDS = {NO_TRIGGERER: 300.0, DAGS_GONE: 40.0} | dict.fromkeys(CLEANS, 15.0)
RECONCILE = "reconcile"
# The LocalExecutor's workers hold the connections of a scheduler that was killed: its open transaction, and the
# rows that are locked by it, would last as long as they do. Airflow's migration is idle in one for 20 s at times.
_DATABASE = {"idle_in_transaction_session_timeout": "60s"}
_RECONCILE_DAG = f"""
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_bkitsm.operators.collector import CollectorReconcileOperator

with DAG("{RECONCILE}", schedule=None):
    CollectorReconcileOperator(task_id="{RECONCILE}", grace=timedelta(0))
"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is running.

    :param servers: databases, by name.
    :param turnstile: what Airflow takes for the sandbox.
    :param dag_file: the DAG's file, where Airflow parses it.
    """

    executor: str
    servers: Mapping[str, Server]
    sandbox: SandboxProcess
    turnstile: Turnstile
    airflow: LocalAirflow
    store: CollectorStore
    dag_file: Path

    def kill(self, component: str) -> None:
        """``kill -9``: the whole process tree, but for ``ORPHANS``."""
        if component == SANDBOX:
            self.sandbox.kill()
        elif component in self.servers:
            self.servers[component].kill()
        elif component == ORPHANS:
            self.airflow.kill_one(SCHEDULER, alone=True)
        elif component == NO_TRIGGERER:
            for name in TRIGGERERS:
                self.airflow.kill_one(name)
        elif component == DAGS_GONE:
            self.dag_file.unlink()
        elif component in CLEANS:
            self._clean(CLEANS[component])
        else:
            self.airflow.kill_one(component)

    def restart(self, component: str) -> None:
        """Start what was killed: in its place, with its state."""
        time.sleep(_DOWN_SECONDS.get(component, 0.0))
        if component == SANDBOX:
            self.sandbox.start()
        elif component in self.servers:
            self.servers[component].start()
        elif component == NO_TRIGGERER or component in CLEANS:
            for name in TRIGGERERS:
                self.airflow.start_one(name)
        elif component == DAGS_GONE:
            shutil.copy(DAG_FILE, self.dag_file)
        else:
            self.airflow.start_one(SCHEDULER if component == ORPHANS else component)

    def _clean(self, table: str) -> None:
        """Delete all rows of a table, as if they were old by now."""
        now, tables = datetime.now(UTC), {table} if table else set(config_dict) - set(_TABLES)
        old, minute_old = now + _EVER, now - timedelta(minutes=1)
        for before, names in ((old, tables - _KEPT_FRESH), (minute_old, tables & _KEPT_FRESH)):
            if names:
                self.airflow.clean(*sorted(names), before=before)
        self.kill(NO_TRIGGERER)

    def reconcile(self) -> dict[str, Any]:
        """Compare store, waits and ITSM as the DAG that does it in production; return its report."""
        api = self.airflow.api
        run = api.trigger(RECONCILE)
        api.wait_for_run(RECONCILE, run, seconds=240)
        report: dict[str, Any] = api.xcom(RECONCILE, run, RECONCILE)
        return report

    def heard(self) -> int:
        """Count the callbacks that resumed a run: waiting for polls alone, little of the flow would be seen."""
        log = self.airflow.process_logs / "api-server.log"
        return sum(
            "callback for ticket" in line and ": resumed" in line
            for line in log.read_text(errors="replace").splitlines()
        )

    def until(self, look: Callable[[], Any], seconds: float, otherwise: Callable[[], object]) -> Any:
        """Look until there is something to see, past outages; what they ended is started again."""

        def patiently() -> Any:
            self.airflow.check()
            try:
                return look()
            except (requests.RequestException, RuntimeError):
                return None

        return wait_until(patiently, otherwise, seconds=seconds)


def missing(executor: str) -> str | None:
    """Say what this machine lacks for an executor; None if nothing."""
    programs = ("initdb", "postgres", *(("redis-server",) if executor == CELERY else ()))
    for program in programs:
        if find_binary(program) is None:
            return f"there is no {program} on this machine; Debian has it in postgresql or redis-server"
    if executor == CELERY and find_spec("airflow.providers.celery") is None:
        return "apache-airflow-providers-celery is not installed; it comes with the extra 'chaos'"
    return None


@contextmanager
def stage(home: Path, *, executor: str = LOCAL) -> Iterator[Stage]:
    """Start everything."""
    with ExitStack() as stack:
        servers = {"postgresql": stack.enter_context(postgres_server(**_DATABASE))}
        database = servers["postgresql"].url
        sandbox = stack.enter_context(SandboxProcess(home=home / "sandbox"))
        turnstile = stack.enter_context(Turnstile(sandbox.url))
        env = environment(database, turnstile.url)
        components = [*COMPONENTS, "triggerer-2"]
        if executor == CELERY:
            servers["redis"] = stack.enter_context(redis_server())
            env |= celery(servers["redis"].url, database)
            components.append("celery-worker")
        dags = _dags(home)
        airflow = LocalAirflow(
            home=home / "airflow",
            dags=dags,
            database_url=database,
            env=env,
            components=components,
            supervised=True,
        )
        write_policy(airflow.home)
        stack.enter_context(airflow).wait_ready(DAG_ID, RECONCILE)
        yield Stage(
            executor=executor,
            servers=servers,
            sandbox=sandbox,
            turnstile=turnstile,
            airflow=airflow,
            store=CollectorStore(server_engine(database)),
            dag_file=dags / DAG_FILE.name,
        )


def _dags(home: Path) -> Path:
    folder = home / "dags"
    folder.mkdir(parents=True)
    shutil.copy(DAG_FILE, folder)
    (folder / f"{RECONCILE}.py").write_text(_RECONCILE_DAG)
    return folder
