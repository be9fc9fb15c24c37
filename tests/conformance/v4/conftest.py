# SPDX-License-Identifier: Apache-2.0
"""A sandbox of ITSM v4, asked over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "v4_case(case): a case of ITSM v4, with its facts")


class WireV4:
    """A client that shares nothing with the provider's."""

    def __init__(self, server: SandboxServer, tenant: str | None = None) -> None:
        self.server = server
        self.headers = {**server.headers(), "SYSTEM-TOKEN": "sandbox-system-token"}
        if tenant:
            self.headers["X-Bk-Tenant-Id"] = tenant

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        url = f"{self.server.itsm_v4_url}/api/v1/{path}"
        return requests.request(method, url, headers=self.headers, timeout=10, **more)

    def get(self, path: str, **params: Any) -> Any:
        return self._data(self.send("GET", path, params=params))

    def post(self, path: str, **body: Any) -> Any:
        return self._data(self.send("POST", path, json=body))

    def _data(self, answer: requests.Response) -> Any:
        assert (answer.status_code, answer.json()["result"]) == (200, True), answer.text
        return answer.json()["data"]

    def refused(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.send("POST", path, json=body)
        said = answer.json()
        assert (answer.status_code, said["result"], said["code"]) == (400, False, "40000")
        assert said["data"]["detail"] == said["message"]
        return dict(said)

    def body(self, workflow: str = "approval", **form: Any) -> dict[str, Any]:
        filled = {"ticket__title": "Run #7f3c9a12", "approvers": ["bob", "carol"]} | form
        return {"workflow_key": workflow, "system_id": "airflow", "operator": "alice", "form_data": filled}

    def created(self, workflow: str = "approval", *, more: dict[str, Any] | None = None, **form: Any) -> str:
        return str(self.post("ticket/create/", **self.body(workflow, **form), **more or {})["id"])

    def asking(self, workflow: str = "approval", *, more: dict[str, Any] | None = None, **form: Any) -> str:
        """Open a ticket, and wait until it asks somebody."""
        number = self.created(workflow, more=more, **form)
        self.server.wait_for_step(number)
        return number

    def detail(self, number: str) -> dict[str, Any]:
        return dict(self.get("ticket/detail/", id=number))

    def tasks(self, number: str) -> list[dict[str, Any]]:
        return list(self.post("approval_tasks/", ticket_id=number)["items"])

    def answer(self, number: str, operator: str, action: str, **more: Any) -> dict[str, Any]:
        task = next(one for one in self.tasks(number) if one["status"] == "running")
        return {
            "ticket_id": number,
            "task_id": task["id"],
            "operator": operator,
            "operator_type": "user",
            "system_id": "airflow",
            "action": action,
            "desc": "seen",
        } | more


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(Settings(start_delay=0.05), dialect="v4") as served:
        yield served


@pytest.fixture
def wire(server: SandboxServer) -> WireV4:
    return WireV4(server)
