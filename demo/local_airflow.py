# SPDX-License-Identifier: Apache-2.0
"""A real Airflow on this machine: API server, scheduler, DAG processor and triggerer, in a home of its own."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import requests

from demo.airflow_api import AirflowApi, wait_until
from demo.processes import Process, end, environment, free_ports, stop_all

# Airflow binds its log servers to every interface; here the API server reads the log files themselves.
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
# What can be asked for besides.
_MORE = {
    "triggerer-2": COMPONENTS["triggerer"],
    "celery-worker": ("celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip"),
}
# As the health page names them; the API server answers for the database.
_HEALTH = {"api-server": "metadatabase", "dag-processor": "dag_processor"}
_USER = "admin"
# SQLite lets one process write at a time; on a slow disk the others have to wait longer than its default of 5 s.
# Not much longer: Airflow's API server notes on its event loop who triggers a run, and while that waits for a lock
# that one of its own threads holds, neither goes on.
_PATIENT = "timeout=10"
# Small, quick to react, and nothing that asks the network.
_ALWAYS = {
    "API__HOST": "127.0.0.1",
    "API__WORKERS": "1",
    "API__EXPOSE_STACKTRACE": "True",
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__PARALLELISM": "4",
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    # A file that changes twice in half a minute is written twice.
    "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "USAGE_DATA_COLLECTION__ENABLED": "False",
}


class LocalAirflow:
    """Airflow's processes; use as a context manager, or call ``start`` and ``stop``.

    :param home: a directory of this Airflow's own; its database, logs and secrets live there.
    :param dags: the DAGs folder.
    :param database_url: metadata database; None: SQLite below ``home``.
    :param env: more environment, such as ``AIRFLOW_CONN_...``.
    :param components: what to start: of ``COMPONENTS``, and a second triggerer (``triggerer-2``) or a worker of
        the CeleryExecutor (``celery-worker``).
    :param supervised: start a component again that has ended by itself, as a service manager does.
    :cvar command: starts Airflow's command line.
    """

    command: ClassVar[tuple[str, ...]] = (sys.executable, "-m", "airflow")

    def __init__(
        self,
        *,
        home: Path,
        dags: Path,
        database_url: str | None = None,
        env: Mapping[str, str] | None = None,
        components: Collection[str] = tuple(COMPONENTS),
        supervised: bool = False,
    ) -> None:
        self.home = home
        self.components = components
        self.supervised = supervised
        self.port, *self._log_ports = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.username, self.password = _USER, secrets.token_urlsafe(9)
        self.env = {**environment(home), **self._settings(dags, database_url), **(env or {})}
        self._processes: dict[str, Process] = {}
        self._api: AirflowApi | None = None

    def password_of(self, username: str) -> str:
        """Return the password of one of its users."""
        known: dict[str, str] = json.loads((self.home / "passwords.json").read_text())
        return known[username]

    @property
    def api(self) -> AirflowApi:
        """The REST client, signed in as an administrator."""
        if self._api is None:
            self._api = AirflowApi(url=self.url, username=self.username, password=self.password)
        return self._api

    def __enter__(self) -> LocalAirflow:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Prepare the home and the database, then start everything."""
        self.process_logs.mkdir(parents=True, exist_ok=True)
        (self.home / "airflow.cfg").touch()  # else every component would generate one at once
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({self.username: self.password}))
        self.migrate()
        for name in self.components:
            self.start_one(name)

    def migrate(self) -> None:
        """Make or renew the tables of its database."""
        self._command("db", "migrate")

    @property
    def process_logs(self) -> Path:
        """Where each component's own log is, as ``<component>.log``."""
        return self.home / "process_logs"

    def start_one(self, name: str) -> None:
        """Start a component."""
        self._processes[name] = self._process(name, self.env)

    def stop_one(self, name: str) -> None:
        """End a component as a service manager does."""
        end(self._processes.pop(name))

    def kill_one(self, name: str, *, alone: bool = False) -> None:
        """End a component at once, as ``kill -9`` does; ``start_one`` brings it back.

        :param alone: let live on what it started.
        """
        process = self._processes.pop(name)
        (process.kill_alone if alone else process.kill_tree)()

    def stands_still(self, name: str) -> AbstractContextManager[None]:
        """Let a component do nothing meanwhile; what it started goes on."""
        return self._processes[name].stands_still()

    def kill(self) -> None:
        """End all components at once; a triggerer takes ten seconds to end orderly."""
        for name in list(self._processes):
            self.kill_one(name)

    @contextmanager
    def another_api_server(self, *, prefix: str = "", env: Mapping[str, str] | None = None) -> Iterator[str]:
        """Run a second API server against the same database; give its URL, its log is ``api-server-2.log``.

        The first one stays the one that tasks talk to.

        :param prefix: path it is served below, such as ``/airflow``.
        :param env: what its environment has besides.
        """
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}{prefix}"
        below = {"AIRFLOW__API__BASE_URL": url} if prefix else {}
        whole = {**self.env, "AIRFLOW__API__PORT": str(port), **below, **(env or {})}
        process = self._process("api-server", whole, log="api-server-2")
        try:
            wait_until(lambda: _answers(url), lambda: f"no second API server:\n{process.tail()}")
            yield url
        finally:
            end(process)

    def wait_ready(self, *dag_ids: str) -> None:
        """Wait until every component is healthy and the DAGs are there.

        :raises RuntimeError: a component has ended, or a DAG cannot be imported.
        """
        wait_until(self._healthy, lambda: f"Airflow is not healthy: {self._health()}")
        wait_until(lambda: self._has(dag_ids), lambda: f"DAGs are missing: {dag_ids}")

    def clean(self, *tables: str, before: datetime) -> None:
        """Delete what is older from tables, as administrators do (``airflow db clean``)."""
        when, names = before.isoformat(), ",".join(tables)
        self._command(
            *("db", "clean", "--tables", names, "--clean-before-timestamp", when, "--skip-archive", "--yes")
        )

    def check(self) -> None:
        """Raise when a component has ended by itself, or start it again where that is wanted."""
        for name, process in list(self._processes.items()):
            if self.supervised and process.has_ended:
                self.start_one(name)
            else:
                process.check()

    def stop(self) -> None:
        """End everything."""
        stop_all([*self._processes.values()], home=self.home)

    def _process(self, component: str, env: Mapping[str, str], log: str | None = None) -> Process:
        command = [*self.command, *{**COMPONENTS, **_MORE}[component]]
        name = log or component
        # Airflow's list of jobs shows this as the user, and with it which component a job is.
        return Process(name=name, command=command, env={**env, "LOGNAME": name}, logs=self.process_logs)

    def _command(self, *arguments: str) -> None:
        done = subprocess.run(
            [*self.command, *arguments], env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")

    def _health(self) -> dict[str, Any]:
        self.check()
        try:
            health: dict[str, Any] = requests.get(f"{self.url}/api/v2/monitor/health", timeout=10).json()
        except (requests.RequestException, ValueError):
            return {}
        return health

    def _healthy(self) -> bool:
        health = self._health()
        wanted = [_HEALTH.get(name, name) for name in self.components if name in COMPONENTS]
        return all((health.get(one) or {}).get("status") == "healthy" for one in wanted)

    def _has(self, dag_ids: tuple[str, ...]) -> bool:
        self.check()
        errors = self.api.call("GET", "importErrors")["import_errors"]
        if errors:
            raise RuntimeError("\n".join(one["stack_trace"] for one in errors))
        listed = {one["dag_id"] for one in self.api.call("GET", "dags", params={"limit": 100})["dags"]}
        return set(dag_ids) <= listed

    def _settings(self, dags: Path, database_url: str | None) -> dict[str, str]:
        options = {
            "CORE__DAGS_FOLDER": str(dags),
            "CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.username}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "DATABASE__SQL_ALCHEMY_CONN": database_url or f"sqlite:///{self.home / 'airflow.db'}?{_PATIENT}",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__SECRET_KEY": secrets.token_hex(16),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_ports[0]),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._log_ports[1]),
            **_ALWAYS,
        }
        named = {f"AIRFLOW__{name}": value for name, value in options.items()}
        return {"AIRFLOW_HOME": str(self.home), **named}


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/v2/version", timeout=10).ok
    except requests.RequestException:
        return False
