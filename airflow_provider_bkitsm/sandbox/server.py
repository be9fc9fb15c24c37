"""A sandbox in this process: for tests, and for anybody who wants one without a second terminal."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from typing import Any

import requests
import uvicorn

from airflow_provider_bkitsm.sandbox.app import create_app
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, ITSM_ROOT, Settings

_STARTUP_SECONDS = 15.0
_STEP_SECONDS = 10.0


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


class SandboxServer:
    """A sandbox on a free port of this machine, served by a thread; use as a context manager.

    Its methods do what a person or another client would do.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._socket = listening_socket("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.settings = replace(settings or Settings(start_delay=0.05), public_url=self.url)
        config = uvicorn.Config(create_app(self.settings), log_level="warning", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._http = requests.Session()

    @property
    def itsm_url(self) -> str:
        """Gateway root of ITSM."""
        return self.url + ITSM_ROOT

    @property
    def bklog_url(self) -> str:
        """Gateway root of the log platform."""
        return self.url + BKLOG_ROOT

    def __enter__(self) -> SandboxServer:
        self._thread.start()
        _wait_until(lambda: self._server.started, _STARTUP_SECONDS, "the sandbox did not start")
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.should_exit = True
        self._thread.join(_STARTUP_SECONDS)
        self._http.close()
        self._socket.close()

    def tickets(self) -> list[dict[str, Any]]:
        """Return all tickets, oldest first."""
        found: list[dict[str, Any]] = self._call("GET", "tickets")
        return found

    def ticket(self, sn: str) -> dict[str, Any]:
        """Return one ticket."""
        return next(one for one in self.tickets() if one["sn"] == sn)

    def approve(self, sn: str, *, remark: str = "", operator: str | None = None) -> dict[str, Any]:
        """Approve on the current node, once the ticket has one."""
        return self._decide(sn, approve=True, remark=remark, operator=operator)

    def reject(self, sn: str, *, remark: str = "no", operator: str | None = None) -> dict[str, Any]:
        """Reject on the current node, once the ticket has one."""
        return self._decide(sn, approve=False, remark=remark, operator=operator)

    def operate(self, sn: str, action_type: str, *, operator: str = "admin") -> None:
        """Withdraw, terminate, suspend or resume through ITSM's own call."""
        self.wait_for_step(sn)
        body = {"sn": sn, "operator": operator, "action_type": action_type, "action_message": "sandbox"}
        caller = {"bk_app_code": self.settings.app_code, "bk_app_secret": self.settings.app_secret}
        headers = {"X-Bkapi-Authorization": str(caller).replace("'", '"')}
        answer = self._http.post(f"{self.itsm_url}/operate_ticket/", json=body, headers=headers, timeout=30)
        if answer.json()["result"] is not True:
            raise RuntimeError(answer.json()["message"])

    def withdraw(self, sn: str) -> None:
        """Withdraw as the system account."""
        self.operate(sn, "WITHDRAW")

    def finish_without_evidence(self, sn: str) -> None:
        """End a ticket as FINISHED without any approval step."""
        self._call("POST", f"tickets/{sn}/finish_without_evidence")

    def wait_for_step(self, sn: str) -> None:
        """Wait until a ticket asks somebody."""
        _wait_until(lambda: bool(self.ticket(sn)["waits_for"]), _STEP_SECONDS, f"{sn} asks nobody")

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """Return the requests received whose path contains a text."""
        found: list[dict[str, Any]] = self._call("GET", "requests", params={"path": path})
        return found

    def fault(self, path: str, kind: str, **more: Any) -> None:
        """Make the next requests of a path fail; see :class:`~.faults.Fault`."""
        self._call("POST", "faults", json={"path": path, "kind": kind, **more})

    def clear_faults(self) -> None:
        """Behave again."""
        self._call("DELETE", "faults")

    def collector(self, number: int) -> dict[str, Any]:
        """Return a collector as the log platform holds it."""
        row: dict[str, Any] = self._call("GET", f"collectors/{number}")
        return row

    def put_collector(self, number: int, **row: Any) -> dict[str, Any]:
        """Create or replace a collector."""
        stored: dict[str, Any] = self._call("PUT", f"collectors/{number}", json=row)
        return stored

    def _decide(self, sn: str, **decision: Any) -> dict[str, Any]:
        self.wait_for_step(sn)
        decided: dict[str, Any] = self._call("POST", f"tickets/{sn}/decide", json=decision)
        return decided

    def _call(self, method: str, path: str, **more: Any) -> Any:
        answer = self._http.request(method, f"{self.url}/sandbox/{path}", timeout=30, **more)
        answer.raise_for_status()
        return answer.json()


def _wait_until(done: Any, seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(0.01)
