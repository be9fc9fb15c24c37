"""A sandbox in this process: for tests, and for anybody who wants one without a second terminal."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import requests

from airflow_provider_bkitsm.sandbox.app import create_app
from airflow_provider_bkitsm.sandbox.faults import Kind
from airflow_provider_bkitsm.sandbox.serving import listening_socket, server_of
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, CONTROL_ROOT, ITSM_ROOT, Settings
from airflow_provider_bkitsm.sandbox.tickets import ENDED

_HOST = "127.0.0.1"
_STARTUP_SECONDS = 15.0
_STEP_SECONDS = 10.0
_QUICK = Settings(start_delay=0.05)


class SandboxServer:
    """A sandbox on a free port of this machine, served by a thread; use as a context manager.

    Its methods do what a person or another client would do.

    :param settings: ``public_url`` is replaced by the real address.
    :param port: for a restart on the same address; 0 takes a free one.
    """

    def __init__(self, settings: Settings | None = None, *, port: int = 0) -> None:
        self._socket = listening_socket(_HOST, port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{_HOST}:{self.port}"
        self.settings = replace(settings or _QUICK, public_url=self.url)
        self._server = server_of(create_app(self.settings))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._http = requests.Session()
        self._http.trust_env = False

    @property
    def itsm_url(self) -> str:
        """Gateway root of ITSM, without trailing slash."""
        return self.url + ITSM_ROOT

    @property
    def bklog_url(self) -> str:
        """Gateway root of the log platform, without trailing slash."""
        return self.url + BKLOG_ROOT

    @property
    def app_code(self) -> str:
        """The application the gateway knows."""
        return self.settings.app_code

    @property
    def app_secret(self) -> str:
        """Its secret."""
        return self.settings.app_secret

    def start(self) -> SandboxServer:
        """Serve; returns when it answers."""
        self._thread.start()
        _wait_until(lambda: self._server.started, _STARTUP_SECONDS, "the sandbox did not start")
        return self

    def stop(self) -> None:
        """Stop serving; the state survives in ``settings.database``."""
        self._server.should_exit = True
        self._thread.join(_STARTUP_SECONDS)
        self._http.close()
        self._socket.close()

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def headers(self, **more: str) -> dict[str, str]:
        """Return what an ITSM or log platform request needs; ``more`` goes into the authorization."""
        known = {"bk_app_code": self.app_code, "bk_app_secret": self.app_secret, "bk_username": "admin"}
        return {"X-Bkapi-Authorization": json.dumps(known | more)}

    def tickets(self) -> list[dict[str, Any]]:
        """Return all tickets, oldest first."""
        found: list[dict[str, Any]] = self._control("GET", "tickets")
        return found

    def ticket(self, sn: str) -> dict[str, Any]:
        """Return one ticket, with ``waits_for`` (people) and ``approve_result``."""
        found: dict[str, Any] = self._control("GET", f"tickets/{sn}")
        return found

    def approve(self, sn: str, *, remark: str = "", operator: str | None = None) -> dict[str, Any]:
        """Approve on the current node, once the ticket has one."""
        return self._decide(sn, approve=True, remark=remark, operator=operator)

    def reject(self, sn: str, *, remark: str = "no", operator: str | None = None) -> dict[str, Any]:
        """Reject on the current node, once the ticket has one."""
        return self._decide(sn, approve=False, remark=remark, operator=operator)

    def operate(self, sn: str, action_type: str, *, operator: str = "admin") -> None:
        """Withdraw, terminate, suspend or resume through ITSM's own call, once the ticket has a step.

        :raises RuntimeError: ITSM refuses.
        """
        self.wait_for_step(sn)
        body = {"sn": sn, "operator": operator, "action_type": action_type, "action_message": "sandbox"}
        answer = self._http.post(f"{self.itsm_url}/operate_ticket/", json=body, headers=self.headers(), timeout=30)
        if answer.json()["result"] is not True:
            raise RuntimeError(answer.json()["message"])

    def withdraw(self, sn: str) -> None:
        """Withdraw as the system account."""
        self.operate(sn, "WITHDRAW")

    def finish_without_evidence(self, sn: str) -> dict[str, Any]:
        """End a ticket as FINISHED without any approval step; its ``approve_result`` is true."""
        found: dict[str, Any] = self._control("POST", f"tickets/{sn}/finish_without_evidence")
        return found

    def wait_for_step(self, sn: str) -> None:
        """Wait until a ticket asks somebody.

        :raises RuntimeError: it has ended.
        """

        def asks() -> bool:
            found = self.ticket(sn)
            if found["status"] in ENDED:
                raise RuntimeError(f"{sn} is {found['status']}: it asks nobody any more")
            return bool(found["waits_for"])

        _wait_until(asks, _STEP_SECONDS, f"{sn} asks nobody")

    def wait_for_status(self, sn: str, status: str) -> dict[str, Any]:
        """Wait until a ticket has a status."""
        _wait_until(lambda: self.ticket(sn)["status"] == status, _STEP_SECONDS, f"{sn} does not become {status}")
        return self.ticket(sn)

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """Return the platform requests received (method, path, query, body) whose path contains a text."""
        found: list[dict[str, Any]] = self._control("GET", "requests", params={"path": path})
        return found

    def fault(
        self,
        path: str,
        kind: Kind,
        *,
        times: int = 1,
        status: int = 502,
        code: int | str = 3900004,
        seconds: float = 1.0,
        retry_after: int | str | None = None,
    ) -> None:
        """Make the next requests of a path fail; see :class:`~.faults.Fault`."""
        more = {"status": status, "code": code, "seconds": seconds, "retry_after": retry_after}
        self._control("POST", "faults", json={"kind": kind, "path": path, "times": times, **more})

    def clear_faults(self) -> None:
        """Behave again."""
        self._control("DELETE", "faults")

    def collector(self, number: int) -> dict[str, Any]:
        """Return a collector as the log platform holds it, with ``etl_writes``: how often its ETL was written."""
        row: dict[str, Any] = self._control("GET", f"collectors/{number}")
        return row

    def put_collector(self, number: int, **row: Any) -> dict[str, Any]:
        """Create or replace a collector; what is not given is a default."""
        stored: dict[str, Any] = self._control("PUT", f"collectors/{number}", json=row)
        return stored

    def _decide(self, sn: str, **decision: Any) -> dict[str, Any]:
        self.wait_for_step(sn)
        decided: dict[str, Any] = self._control("POST", f"tickets/{sn}/decide", json=decision)
        return decided

    def _control(self, method: str, path: str, **more: Any) -> Any:
        answer = self._http.request(method, f"{self.url}{CONTROL_ROOT}/{path}", timeout=30, **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def _wait_until(done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(0.01)
