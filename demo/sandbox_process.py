# SPDX-License-Identifier: Apache-2.0
"""The sandbox as a process beside Airflow, and the connections to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import requests

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from demo.airflow_api import wait_until
from demo.processes import Process, environment, free_ports, stop_all


class SandboxProcess:
    """A sandbox with its state below ``home``; use as a context manager.

    :param options: more of its command line.
    :param dialect: the version of ITSM that its connections lead to.
    """

    def __init__(self, *, home: Path, options: Sequence[str] = (), dialect: Literal["v2", "v4"] = "v2") -> None:
        self.home = home
        self.options = options
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.control = SandboxControl(self.url, dialect=dialect)
        self._processes: list[Process] = []

    def __enter__(self) -> SandboxProcess:
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        stop_all(self._processes, home=self.home)

    def start(self) -> None:
        """Start it, with what its file holds of an earlier life, and wait until it answers."""
        options = ["--port", str(self.port), "--database", str(self.home / "sandbox.sqlite"), *self.options]
        command = [sys.executable, "-m", "airflow_provider_bkitsm.sandbox", *options]
        env = environment(self.home)
        self._processes = [Process(name="sandbox", command=command, env=env, logs=self.home)]
        wait_until(self._answers, lambda: f"the sandbox does not answer:\n{self._processes[0].tail()}", seconds=30)

    def kill(self) -> None:
        """End it at once, as ``kill -9`` does; ``start`` brings it back."""
        self._processes[0].kill_tree()

    def decide(self, sn: str, decision: str, remark: str) -> None:
        """Approve, reject or withdraw as ``admin``."""
        match decision:
            case "withdraw":
                self.control.withdraw(sn, remark=remark)
            case "approve":
                self.control.approve(sn, remark=remark, operator="admin")
            case _:
                self.control.reject(sn, remark=remark, operator="admin")

    def _answers(self) -> bool:
        self._processes[0].check()
        try:
            return requests.get(self.url, timeout=5).ok
        except requests.RequestException:
            return False
