# SPDX-License-Identifier: Apache-2.0
"""The few calls of Airflow's REST API that a demo and the e2e tests need."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar

import requests

T = TypeVar("T")

ENDED = frozenset({"success", "failed"})
_SECONDS = 90
# A busy SQLite lets Airflow wait, and then refuses: Airflow has rolled back and answers HTTP 500, so that the same
# call may be made again.
_REFUSED = "Database error"
_TRIES = 4
_MOST = 2000
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 1.0
# An Airflow that shares two processors with other tests may be late.
PATIENCE_SECONDS = 480.0


class AirflowApi:
    """A signed-in client.

    :param url: of the API server, without path.
    """

    def __init__(self, *, url: str, username: str, password: str) -> None:
        self.url = url
        self._http = requests.Session()
        answer = self._http.post(
            f"{url}/auth/token", json={"username": username, "password": password}, timeout=30
        )
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    @property
    def authorization(self) -> str:
        """The header that signs a request in: a secret."""
        return str(self._http.headers["Authorization"])

    def call(self, method: str, path: str, *, root: str = "api/v2", **more: Any) -> Any:
        """Call ``/api/v2/<path>`` and return its JSON; what Airflow's pages ask for themselves is below ``ui``."""
        answer = self._answer(method, f"{root}/{path}", more)
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status_code} {answer.text[:_MOST]}")
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, more: Mapping[str, Any]) -> requests.Response:
        for left in reversed(range(_TRIES)):
            answer = self._http.request(method, f"{self.url}/{path}", timeout=_SECONDS, **more)
            is_refused = answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and _REFUSED in answer.text
            if not (left and is_refused):
                break
            time.sleep(0.5)
        return answer

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run and return its id; the scheduler does the rest."""
        run = self.call("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf or {}})
        run_id: str = run["dag_run_id"]
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state."""
        state: str = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run."""
        return {one["task_id"]: one["state"] for one in self.tasks(dag_id, run_id)}

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's task instances."""
        listed = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        found: list[dict[str, Any]] = listed["task_instances"]
        return found

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return a task instance."""
        found: dict[str, Any] = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return a task's XCom; None when there is none."""
        return self._xcom(dag_id, run_id, task_id, key).get("value")

    def xcom_written(self, dag_id: str, run_id: str, task_id: str, key: str) -> datetime | None:
        """Return when a task's XCom was written; None when there is none."""
        written = self._xcom(dag_id, run_id, task_id, key).get("timestamp")
        return written and datetime.fromisoformat(written)

    def _xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> dict[str, Any]:
        """Return an XCom's entry; an empty one where there is none."""
        path = f"api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        answer = self._answer("GET", path, {"params": {"deserialize": "false"}})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return {}
        answer.raise_for_status()
        entry: dict[str, Any] = answer.json()
        return entry

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """Return the buttons of a task's page, by label."""
        found: dict[str, str | None] = self.call(
            "GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links"
        )["extra_links"]
        return found

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the text of a task's log, of its latest try."""
        number = self.task(dag_id, run_id, task_id)["try_number"]
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{number}"
        content = self.call("GET", path, params={"full_content": "true"})["content"]
        return "\n".join(_line(one) for one in content)

    def clear(self, dag_id: str, run_id: str, task_ids: Iterable[str]) -> None:
        """Clear tasks and what is downstream of them, as a person does."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "include_downstream": True,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", json=body)

    def choose(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer a task of Airflow's own human-in-the-loop."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self.call("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as a person does."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.call("PATCH", path, json={"new_state": state})

    def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until a run has ended and return its state."""
        return wait_until(
            lambda: state if (state := self.run_state(dag_id, run_id)) in ENDED else None,
            lambda: f"run {run_id} has not ended: {self.task_states(dag_id, run_id)}",
            seconds=seconds,
        )

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, *states: str, seconds: float = PATIENCE_SECONDS
    ) -> str:
        """Wait until a task is in one of these states."""
        return wait_until(
            lambda: state if (state := self.task_states(dag_id, run_id).get(task_id) or "") in states else None,
            lambda: f"{task_id} is not {states}: {self.task_states(dag_id, run_id)}",
            seconds=seconds,
        )


def wait_until(
    look: Callable[[], T | None], otherwise: Callable[[], object], *, seconds: float = PATIENCE_SECONDS
) -> T:
    """Look until there is something to see, and the less often the longer it takes: looking costs Airflow too.

    :raises TimeoutError: with what ``otherwise`` says.
    """
    end = time.monotonic() + seconds
    pause = _SHORTEST_PAUSE
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise TimeoutError(otherwise())
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)


def _line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    details = [f"{one.get('exc_type')}: {one.get('exc_value')}" for one in entry.get("error_detail") or []]
    return " ".join([str(entry.get("event", "")), *details])
