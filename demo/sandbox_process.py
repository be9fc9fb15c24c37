"""The sandbox as a process beside Airflow, and the connections to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, ITSM_ROOT
from demo.airflow_api import wait_until
from demo.processes import Process, environment, free_ports, stop_all

_CALLER = {"bk_app_code": "sandbox", "bk_app_secret": "sandbox-secret", "bk_username": "admin"}


class SandboxProcess:
    """A sandbox with its state below ``home``; use as a context manager.

    :param options: more of its command line.
    """

    def __init__(self, *, home: Path, options: Sequence[str] = ()) -> None:
        self.home = home
        self.options = options
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes: list[Process] = []

    def __enter__(self) -> SandboxProcess:
        self.home.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--database", str(self.home / "sandbox.sqlite"), *self.options]
        command = [sys.executable, "-m", "airflow_provider_bkitsm.sandbox", *options]
        env = environment(self.home)
        self._processes = [Process(name="sandbox", command=command, env=env, logs=self.home)]
        try:
            wait_until(self._answers, 30, lambda: f"the sandbox does not answer:\n{self._processes[0].tail()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        stop_all(self._processes, home=self.home)

    def connections(self, **itsm_extra: Any) -> dict[str, str]:
        """Return the environment that defines both default connections."""
        caller = {"login": _CALLER["bk_app_code"], "password": _CALLER["bk_app_secret"]}
        itsm = {"conn_type": "bkitsm", "host": self.url + ITSM_ROOT, "extra": itsm_extra, **caller}
        bklog = {"conn_type": "bklog", "host": self.url + BKLOG_ROOT, **caller}
        return {
            "AIRFLOW_CONN_BKITSM_DEFAULT": json.dumps(itsm),
            "AIRFLOW_CONN_BKLOG_DEFAULT": json.dumps(bklog),
        }

    def decide(self, sn: str, decision: str, remark: str) -> None:
        """Approve, reject or withdraw as ``admin``, over ITSM's own API."""
        step = wait_until(lambda: self._approval_step(sn), 30, lambda: f"ticket {sn} asks nobody")
        if decision == "withdraw":
            operation = {"operator": "admin", "action_type": "WITHDRAW", "action_message": remark}
            self.itsm("POST", "operate_ticket/", json={"sn": sn, **operation})
        else:
            answer = {"approver": "admin", "action": "true" if decision == "approve" else "false"}
            body = {"sn": sn, "state_id": step["state_id"], "remark": remark, **answer}
            self.itsm("POST", "approve/", json=body)

    def collector(self, number: int, *, bk_biz_id: int = 2) -> dict[str, Any]:
        """Return a collector as the log platform shows it."""
        query = {"bk_biz_id": bk_biz_id, "collector_id_list": number, "page": 1, "pagesize": 10}
        found = self._call("GET", f"{BKLOG_ROOT}/databus_collectors/", params=query)
        row: dict[str, Any] = found["list"][0]
        return row

    def itsm(self, method: str, path: str, **more: Any) -> Any:
        """Make one ITSM call."""
        return self._call(method, f"{ITSM_ROOT}/{path}", **more)

    def _approval_step(self, sn: str) -> dict[str, Any] | None:
        steps = self.itsm("GET", "get_ticket_status/", params={"sn": sn})["current_steps"]
        waits = [one for one in steps if one["processors"]]
        return waits[0] if waits else None

    def _call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"X-Bkapi-Authorization": json.dumps(_CALLER)}
        answer = requests.request(method, self.url + path, headers=headers, timeout=30, **more).json()
        if answer["result"] is not True:
            raise RuntimeError(f"{path}: {answer['message']}")
        return answer["data"]

    def _answers(self) -> bool:
        self._processes[0].check()
        try:
            return requests.get(self.url, timeout=5).ok
        except requests.RequestException:
            return False
