# SPDX-License-Identifier: Apache-2.0
"""Bringing about, in a sandbox, the situations in which a real server was recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from tests.sandbox.client import OPINION, REFUSAL, REMARK, Client
from tests.sandbox.receiver import Receiver

# Field keys are random words of an installation.
_WORDS = {
    "r7fc3a5de1125e6a874e2bd10a48d306": OPINION,
    "xd61c3d948481a46ed27e401f112434a": REMARK,
    "P1484f432febfeacbe3ffc2a8e9aba5a": REFUSAL,
}
_RECORDED_SN = re.compile(r"REQ20261124\d{6}")
_WEIRD_TYPES = {"create_ticket__text_plain": "text/plain"}
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a recorded request has to be changed to be sent here.

    :param sns: numbers here by recorded number; ``""`` for all others.
    :param token: replaces the recorded token, which was not kept.
    """

    sns: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    headers: dict[str, str] | None = None
    request: Any = None


class Stage:
    """One sandbox and somebody who takes callbacks."""

    def __init__(self, server: SandboxServer, receiver: Receiver) -> None:
        self.server, self.receiver, self.client = server, receiver, Client(server)

    def opened(self, *, people: str = "admin,admin2", creator: str = "admin", **more: Any) -> str:
        """Open a ticket as in the record; return once it asks somebody."""
        return self.client.opened(fields={"APPROVER": people}, creator=creator, **more)

    def of(self, service: int, *, people: str = "admin,bob") -> str:
        return self.client.opened(service=service, creator="admin", fields={"approver": people})

    def approved(self, **more: Any) -> str:
        sn = self.opened(**more)
        self.client.answer(sn, {OPINION: "true", REMARK: "r", REFUSAL: "r"}, operator="admin")
        return sn

    def rejected(self) -> str:
        sn = self.opened()
        self.server.reject(sn, operator="admin")
        return sn

    def operated(self, *actions: str, **more: Any) -> str:
        sn = self.opened(**more)
        for action in actions:
            assert self.client.operate(sn, action, "admin")["result"]
        return sn

    def decided(self, sn: str, *yes: bool) -> str:
        """Let every step of a ticket be answered in turn."""
        for one in yes:
            (self.server.approve if one else self.server.reject)(sn)
        return sn

    def unstarted(self) -> str:
        self.server.stop_worker()
        return str(self.client.create(creator="admin")["data"]["sn"])

    def caught_at_submit(self) -> str:
        """A ticket that was withdrawn while its flow was starting."""
        sn = str(self.client.create(creator="admin")["data"]["sn"])
        while not self.client.status(sn)["current_steps"]:
            pass
        return sn

    def twice(self) -> str:
        """A number that two tickets carry."""
        first = self.opened()
        self.server.forget_counters()
        assert self.client.create(creator="admin")["data"]["sn"] == first
        return first

    def lost(self) -> str:
        """A finished ticket whose callback was not accepted."""
        self.receiver.status = 500
        sn = self.approved(meta={"callback_url": self.receiver.url})
        self.receiver.wait()
        while sn not in self.client.get("callback_failed_ticket")["data"]:
            pass
        return sn

    def orphan(self) -> str:
        self.client.create(dynamic_fields=[{"name": "n", "type": "BOGUS", "value": "v"}])
        return str(self.server.tickets()[-1]["sn"])

    def token(self) -> str:
        """A token with the letters that are easily spoilt on the way."""
        sn, token = self.approved(), ""
        while not {"+", "/"} <= set(token):
            token = self.server.callback_body(sn)["token"]
        return token

    def send(self, name: str, recorded: dict[str, Any], change: Change) -> requests.Response:
        """Send a recorded request."""
        headers = self.headers(recorded["path"]) if change.headers is None else change.headers
        body = change.request or self._here(recorded.get("request"), change)
        if isinstance(body, str):
            kind = _WEIRD_TYPES.get(name) or (_FORM if "=" in body else "application/json")
            headers, sent = {**headers, "Content-Type": kind}, {"data": body.encode()}
        else:
            sent = {} if body is None else {"json": body}
        return self.client.raw(recorded["method"], self._url(recorded["path"], change), headers=headers, **sent)

    def headers(self, path: str) -> dict[str, str]:
        if path.startswith("/openapi/"):
            return {"X-Bkapi-JWT": self.server.jwt()}
        return self.server.headers()

    def _url(self, path: str, change: Change) -> str:
        roots = {"{gateway}": self.server.itsm_url, "{esb}": self.server.esb_url}
        for name, root in roots.items():
            if path.startswith(name):
                return root + str(self._here(path.removeprefix(name), change))
        return self.server.url + path

    def _here(self, value: Any, change: Change) -> Any:
        """Turn recorded numbers, field keys and tokens into this sandbox's."""
        if isinstance(value, dict):
            return {key: self._token(key, one, change) for key, one in value.items()}
        if isinstance(value, list):
            return [self._here(one, change) for one in value]
        if not isinstance(value, str):
            return value
        value = _RECORDED_SN.sub(lambda found: change.sns.get(found[0]) or change.sns.get("", found[0]), value)
        return _WORDS.get(value, value)

    def _token(self, key: str, value: Any, change: Change) -> Any:
        return change.token if key == "token" and change.token is not None else self._here(value, change)
