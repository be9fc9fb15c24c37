# SPDX-License-Identifier: Apache-2.0
"""A plain HTTP client of the sandbox: what it answers is asserted as it comes over the wire."""

from __future__ import annotations

from typing import Any

import requests

from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from airflow_provider_bkitsm.sandbox.server import SandboxServer

FAST_NODE = service_catalog.SERVICES[service_catalog.FAST_APPROVAL].nodes[0]
OPINION, REMARK, REFUSAL = (one.key for one in FAST_NODE.fields)


class Client:
    """One application at the gateway."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server

    def raw(self, method: str, url: str, **more: Any) -> requests.Response:
        more = {"headers": self.server.headers(), "allow_redirects": False, "timeout": 20} | more
        return requests.request(method, url, **more)

    def get(self, name: str, **params: Any) -> Any:
        return self.raw("GET", f"{self.server.itsm_url}/{name}/", params=params).json()

    def post(self, name: str, body: Any = None, **params: Any) -> Any:
        return self.raw("POST", f"{self.server.itsm_url}/{name}/", json=body, params=params).json()

    def create(self, *, service: int | None = None, fields: dict[str, Any] | None = None, **more: Any) -> Any:
        filled = (
            {"title": "t", "APPROVER": "alice,bob", "APPROVAL_CONTENT": "c"}
            if service is None
            else {
                "title": "t",
                "approver": "alice,bob",
            }
        )
        pairs = [{"key": key, "value": value} for key, value in (filled | (fields or {})).items()]
        what = {"fast_approval": True} if service is None else {"service_id": service}
        return self.post("create_ticket", {"creator": "carol", "fields": pairs} | what | more)

    def opened(self, **more: Any) -> str:
        """Open a ticket and wait until it asks somebody."""
        sn: str = self.create(**more)["data"]["sn"]
        self.server.wait_for_step(sn)
        return sn

    def operate(self, sn: str, action: str, operator: str = "carol", **more: Any) -> Any:
        body = {"sn": sn, "action_type": action, "operator": operator, "action_message": "m"}
        return self.post("operate_ticket", body | more)

    def answer(self, ticket: str, values: dict[str, Any], /, operator: str = "alice", **more: Any) -> Any:
        fields = [{"key": key, "value": value} for key, value in values.items()]
        body = {"sn": ticket, "state_id": FAST_NODE.state_id, "operator": operator, "fields": fields}
        return self.post("operate_node", body | {"action_type": "TRANSITION"} | more)

    def status(self, sn: str) -> Any:
        return self.get("get_ticket_status", sn=sn)["data"]

    def verdict(self, sn: str) -> Any:
        (row,) = self.post("ticket_approval_result", {"sn": [sn]})["data"]
        return row["current_status"], row["approve_result"]

    def bklog(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        url = f"{self.server.bklog_url}/databus_collectors/{path}"
        return self.raw(method, url, json=body, params=params).json()
