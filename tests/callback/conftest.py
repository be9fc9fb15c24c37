# SPDX-License-Identifier: Apache-2.0
"""A callback for a ticket of the sandbox, and an Airflow that only remembers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_bkitsm.callback.messages import Result
from airflow_provider_bkitsm.callback.receiver import CallbackRequest, LostTicket, Receiver, Registrations
from airflow_provider_bkitsm.callback.signature import Claim, sign, signing_keys
from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from tests.sandbox.receiver import Receiver as Listener

TAG = "0123456789abcdef0123456789abcdef"
FORM = {"title": marked_title("t", TAG), "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
WAITER = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="bkitsm_default")


@dataclass
class FakeMetadata:
    """Airflow, as the receiver sees it."""

    gateways: dict[str, Gateway]
    waits: dict[str, Registrations] = field(default_factory=dict)
    resumed: list[tuple[Waiter, Verdict]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lost_tickets: dict[tuple[str, str], LostTicket] = field(default_factory=dict)
    looked_up: list[str] = field(default_factory=list)
    tokens: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def gateway(self, conn_id: str) -> Gateway | None:
        self.looked_up.append(conn_id)
        return self.gateways.get(conn_id)

    def waiting(self, sn: str, conn_id: str) -> Registrations:
        self.asked.append(sn)
        found = self.waits.get(sn, Registrations())
        mine = tuple(one for one in found.waiters if one.conn_id == conn_id)
        is_here = bool(mine) or not found.waiters
        return replace(found, waiters=mine, ever_registered=found.ever_registered and is_here)

    def token_digests(self, tag: str, conn_id: str) -> tuple[str, ...]:
        return self.tokens.get((tag, conn_id), ())

    def lost(self, tag: str, conn_id: str) -> LostTicket | None:
        return self.lost_tickets.get((tag, conn_id))

    def resume(self, waiter: Waiter, verdict: Verdict) -> bool:
        self.resumed.append((waiter, verdict))
        return True


def gateway_of(sandbox: SandboxServer, **extra: Any) -> Gateway:
    caller = {"login": sandbox.app_code, "password": sandbox.app_secret}
    text = json.dumps({"read_retries": 0, **extra})
    return read_gateway(
        Connection(conn_id="bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra=text, **caller)
    )


@pytest.fixture
def metadata(sandbox: SandboxServer) -> FakeMetadata:
    return FakeMetadata(gateways={"bkitsm_default": gateway_of(sandbox)})


@pytest.fixture
def sn(connections, metadata: FakeMetadata) -> str:
    """Open a ticket that a task waits for."""
    opened = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    metadata.waits[opened] = Registrations(waiters=(WAITER,), ever_registered=True)
    return opened


@pytest.fixture
def counted() -> list[str]:
    return []


@pytest.fixture
def receiver(metadata: FakeMetadata, counted: list[str]) -> Receiver:
    return receiver_of(metadata, count=counted.append)


def receiver_of(metadata: FakeMetadata, **more: Any) -> Receiver:
    """Return a receiver that checks a ticket once, and again as soon as another callback comes."""
    return Receiver(metadata=metadata, **{"rest": 0.0, "retries": (), **more})


async def settled(receiver: Receiver, request: CallbackRequest) -> Result:
    """Receive a callback and return what became of it: the result of its check where it was answered first."""
    reception = await receiver.receive(request)
    return reception.result if reception.check is None else (await reception.check).result


@pytest.fixture
def token(sandbox: SandboxServer, connections) -> str:
    """Return a token that ITSM sent about another ticket: it passes for every one."""
    with Listener() as listener:
        meta = {"callback_url": listener.url}
        other = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True, meta=meta).sn
        sandbox.withdraw(other)
        received: str = listener.wait().body["token"]
        return received


@pytest.fixture
def arrive(metadata: FakeMetadata, token: str) -> Callable[..., CallbackRequest]:
    """Return a maker of callbacks; each is good but for what is given."""

    def make(sn: str, *, signed: dict[str, Any] | None = None, **changes: Any) -> CallbackRequest:
        expires = int(time.time()) + 3600
        body = {"sn": sn, "token": token, "current_status": "FINISHED", "approve_result": True}
        claim = {"conn_id": "bkitsm_default", "tag": TAG, "expires": expires} | (signed or {})
        keys = signing_keys(metadata.gateways["bkitsm_default"])
        good = {
            "conn_id": claim["conn_id"],
            "tag": claim["tag"],
            "expires": str(claim["expires"]),
            "signature": sign(keys, Claim(**claim)),
        }
        if isinstance(changes.get("body"), dict):
            changes["body"] = body | changes["body"]
        content = changes.pop("body", body)
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        return CallbackRequest(**(good | changes), body=raw)

    return make
