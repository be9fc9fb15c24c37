# SPDX-License-Identifier: Apache-2.0
"""A client of a running sandbox: acts as a person, an administrator or another client of the platforms would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Literal

import requests

from airflow_provider_bkitsm.sandbox.faults import CallbackKind, Kind, TaskKind
from airflow_provider_bkitsm.sandbox.settings import (
    BKLOG_ROOT,
    CONTROL_ROOT,
    ESB_ROOT,
    ITSM_ROOT,
    ITSM_V4_ROOT,
    SAAS_ROOT,
    Settings,
)

_STEP_SECONDS = 10.0
# Who asks all the time keeps a sandbox in the same process from its work.
_LONGEST_PAUSE_SECONDS = 0.1
# The system and the workflow that a sandbox begins with, as a connection's extra names them.
_V4_EXTRA = {
    "dialect": "v4",
    "system_id": "airflow",
    "system_token": "sandbox-system-token",
    "workflow_key": "approval",
}


class SandboxControl:
    """A running sandbox, in this process or another one on this machine.

    :param url: where it listens, e.g. ``http://127.0.0.1:8099``.
    :param dialect: the version of ITSM that the connections lead to, and that is operated through its calls.
    """

    def __init__(
        self,
        url: str,
        *,
        app_code: str = Settings.app_code,
        app_secret: str = Settings.app_secret,
        dialect: Literal["v2", "v4"] = "v2",
    ) -> None:
        self.url = url.rstrip("/")
        self.dialect = dialect
        self.app_code = app_code
        self.app_secret = app_secret
        self._http = requests.Session()
        self._http.trust_env = False

    @property
    def itsm_url(self) -> str:
        """Root of ITSM at the API gateway, without trailing slash."""
        return self.url + ITSM_ROOT

    @property
    def itsm_v4_url(self) -> str:
        """Root of ITSM v4 at the API gateway, without trailing slash."""
        return self.url + ITSM_V4_ROOT

    @property
    def esb_url(self) -> str:
        """Root of ITSM at the ESB, without trailing slash."""
        return self.url + ESB_ROOT

    @property
    def saas_url(self) -> str:
        """Root of ITSM itself, past both, without trailing slash."""
        return self.url + SAAS_ROOT

    @property
    def bklog_url(self) -> str:
        """Gateway root of the log platform, without trailing slash."""
        return self.url + BKLOG_ROOT

    def headers(self, **more: str) -> dict[str, str]:
        """Return what an ITSM or log platform request needs; ``more`` goes into the authorization."""
        credentials = {"bk_app_code": self.app_code, "bk_app_secret": self.app_secret, "bk_username": "admin"}
        return {"X-Bkapi-Authorization": json.dumps(credentials | more)}

    def connections(self, **extra: Any) -> dict[str, str]:
        """Return the default connections to the sandbox, as values of ``AIRFLOW_CONN_`` variables by their name.

        :param extra: keys of the ITSM connection's extra, e.g. ``service_id``.
        """
        itsm, bklog = self.connection("bkitsm", **extra), self.connection("bklog")
        return {"AIRFLOW_CONN_BKITSM_DEFAULT": itsm, "AIRFLOW_CONN_BKLOG_DEFAULT": bklog}

    def connection(self, kind: Literal["bkitsm", "bklog"], **extra: Any) -> str:
        """Return a connection to the sandbox as Airflow's JSON text."""
        host = self.itsm_url if kind == "bkitsm" else self.bklog_url
        if kind == "bkitsm" and self.dialect == "v4":
            host, extra = self.itsm_v4_url, _V4_EXTRA | extra
        fields = {"conn_type": kind, "host": host, "login": self.app_code, "password": self.app_secret}
        return json.dumps(fields | {"extra": extra})

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

    def operate(self, sn: str, action_type: str, *, operator: str = "admin", remark: str = "sandbox") -> None:
        """Withdraw, terminate, suspend or resume through ITSM's own call, once the ticket has a step.

        :raises RuntimeError: ITSM refuses.
        """
        self.wait_for_step(sn)
        if self.dialect == "v4":
            self._operate_v4(sn, action_type, operator, remark)
            return
        body = {"sn": sn, "operator": operator, "action_type": action_type, "action_message": remark}
        self.call("POST", "operate_ticket", json=body)

    def _operate_v4(self, ticket_id: str, action_type: str, operator: str, remark: str) -> None:
        if action_type in ("SUSPEND", "UNSUSPEND"):
            on = str(action_type == "SUSPEND").lower()
            self._control("POST", f"itsm_v4/{ticket_id}/suspend", params={"on": on})
        elif action_type == "WITHDRAW":
            self.call("POST", "tickets/revoked", json={"ticket_id": ticket_id, "operator": operator})
        else:
            tasks = self.call("POST", "approval_tasks", json={"ticket_id": ticket_id})["items"]
            action = {"method": action_type.lower(), "params": {"desc": remark}}
            task_id = next(one["id"] for one in tasks if one["status"] == "running")
            body = {"ticket_id": ticket_id, "task_id": task_id, "operator": operator, "form_data": {}}
            self.call("POST", "ticket/handle", json=body | {"action": action})

    def set_itsm_v4(self, **switches: Any) -> dict[str, Any]:
        """Let ITSM v4 behave in another way; see :class:`~.itsm_v4.switches.Switches`. What is not named stays."""
        changed: dict[str, Any] = self._control("POST", "itsm_v4", json=switches)
        return changed

    def call(self, method: str, name: str, **more: Any) -> Any:
        """Make one of ITSM's calls at the gateway, as another client would, and return its ``data``.

        :raises RuntimeError: ITSM refuses.
        """
        root, headers = self.itsm_url, self.headers()
        if self.dialect == "v4":
            root, headers = f"{self.itsm_v4_url}/api/v1", headers | {"SYSTEM-TOKEN": _V4_EXTRA["system_token"]}
        answer = self._http.request(method, f"{root}/{name}/", headers=headers, timeout=30, **more).json()
        if answer["result"] is not True:
            raise RuntimeError(answer["message"])
        return answer["data"]

    def withdraw(self, sn: str, *, remark: str = "sandbox") -> None:
        """Withdraw as the system account."""
        self.operate(sn, "WITHDRAW", remark=remark)

    def edit(self, sn: str, **fields: Any) -> dict[str, Any]:
        """Change title and form of an open ticket, as people and applications may, once it asks somebody."""
        self.wait_for_step(sn)
        changed: dict[str, Any] = self._control("POST", f"tickets/{sn}/edit", json=fields)
        return changed

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
            if found["over"]:
                raise RuntimeError(f"{sn} is {found['status']}: it asks nobody any more")
            return bool(found["waits_for"])

        wait_until(asks, _STEP_SECONDS, f"{sn} asks nobody")

    def wait_for_status(self, sn: str, status: str) -> dict[str, Any]:
        """Wait until a ticket has a status."""
        wait_until(lambda: self.ticket(sn)["status"] == status, _STEP_SECONDS, f"{sn} does not become {status}")
        return self.ticket(sn)

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """Return the platform requests received (method, path, query, body) whose path contains a text."""
        found: list[dict[str, Any]] = self._control("GET", "requests", params={"path": path})
        return found

    def request_counts(self) -> dict[str, int]:
        """Return how many platform requests were received, by method and path, since the sandbox began."""
        counts: dict[str, int] = self._control("GET", "requests/counts")
        return counts

    def stop_worker(self) -> None:
        """Let no ticket move: new ones do not start, answers have no effect."""
        self._control("POST", "worker", params={"running": "false"})

    def start_worker(self) -> None:
        """Let tickets move again."""
        self._control("POST", "worker", params={"running": "true"})

    def delete_node(self, service_id: int, state_id: int, *, signal: bool = True) -> None:
        """Delete a node of a service's live workflow while tickets are open, as an administrator does.

        :param signal: ITSM's page deletes the node's variables too, so that its result no longer counts; a node
            whose row alone is deleted goes on counting.
        """
        self._control("DELETE", f"services/{service_id}/nodes/{state_id}", params={"signal": str(signal).lower()})

    def forget_counters(self) -> None:
        """Begin the day's ticket numbers again, as ITSM does after an empty Redis: numbers come twice."""
        self._control("DELETE", "counters")

    def jwt(self, *, user: str = "admin", verified: bool = True, seconds: float = 300) -> str:
        """Return what a gateway attests about a caller, for calls past it (header ``X-Bkapi-JWT``)."""
        params = {"user": user, "verified": verified, "seconds": seconds}
        return str(self._control("GET", "jwt", params=params)["jwt"])

    def callback_body(self, sn: str) -> dict[str, Any]:
        """Return what ITSM posts about a ticket as it stands now, with a token that passes."""
        body: dict[str, Any] = self._control("GET", f"tickets/{sn}/callback")
        return body

    def post_callback(self, sn: str, **forged: Any) -> bool:
        """Post a ticket's callback once more, or a forged one, and return whether it was accepted.

        :param forged: keys of the body that are not what ITSM would say, ``token`` included.
        """
        return bool(self._control("POST", f"tickets/{sn}/callback", json=forged)["accepted"])

    def fault(
        self,
        path: str,
        kind: Kind | CallbackKind | TaskKind,
        *,
        times: int = 1,
        status: int | None = None,
        code: int | str | None = None,
        seconds: float = 1.0,
        retry_after: int | None = None,
    ) -> None:
        """Make the next requests of a path fail, or callbacks, or automatic steps; see :class:`~.faults.Fault`."""
        more = {"status": status, "code": code, "seconds": seconds, "retry_after": retry_after}
        self._control("POST", "faults", json={"kind": kind, "path": path, "times": times, **more})

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._control("DELETE", "faults")

    def collector(self, number: int) -> dict[str, Any]:
        """Return a collector as the log platform holds it, with ``etl_writes``: how often its ETL was written."""
        row: dict[str, Any] = self._control("GET", f"collectors/{number}")
        return row

    def put_collector(self, number: int, **row: Any) -> dict[str, Any]:
        """Create or replace a collector; what is not given is a default."""
        stored: dict[str, Any] = self._control("PUT", f"collectors/{number}", json=row)
        return stored

    def clean_config(self, number: int) -> dict[str, Any] | None:
        """Return a collector's clean configuration of last time, as the log platform went on with it."""
        body: dict[str, Any] | None = self._control("GET", f"collectors/{number}/clean_config")
        return body

    def set_bklog(self, **changes: Any) -> dict[str, Any]:
        """Set the log platform up in another way; see :class:`~.bklog.platform.Setup`. What is not named stays."""
        setup: dict[str, Any] = self._control("POST", "bklog", json=changes)
        return setup

    def clear_list_cache(self) -> None:
        """Let the ten minutes pass for which the log platform's list keeps a table's storage."""
        self._control("DELETE", "bklog/list_cache")

    def decide_native(self, sn: str, *, approve: bool) -> None:
        """Decide a ticket that the log platform itself has opened; approved, it replays what it has parked."""
        self._control("POST", f"bklog/native/{sn}", params={"approve": str(approve).lower()})

    def _decide(self, sn: str, **decision: Any) -> dict[str, Any]:
        self.wait_for_step(sn)
        decided: dict[str, Any] = self._control("POST", f"tickets/{sn}/decide", json=decision)
        return decided

    def _control(self, method: str, path: str, **more: Any) -> Any:
        answer = self._http.request(method, f"{self.url}{CONTROL_ROOT}/{path}", timeout=30, **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def wait_until(done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until something is true.

    :raises TimeoutError: it does not become so.
    """
    end, pause = time.monotonic() + seconds, 0.01
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
