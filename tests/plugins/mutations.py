# SPDX-License-Identifier: Apache-2.0
"""Callbacks that are almost right: thousands of them, posted to the real endpoint on a real database (P4).

Four tickets: one that was approved and is waited for, which every forgery is after; another such one; one that is
still open; one whose approval was followed long ago. Whatever is posted, no row of Airflow's may change. The
sandbox says in which dialect.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.callback.messages import SIZE_LIMIT, read_notice
from airflow_provider_bkitsm.callback.receiver import CallbackRequest
from airflow_provider_bkitsm.callback.signature import HEADER, QUERY, Claim, digest_of, sign, signing_keys
from airflow_provider_bkitsm.hooks.connection import read_gateway
from airflow_provider_bkitsm.itsm.idempotency import creation_tag, marked_title
from airflow_provider_bkitsm.plugins import callback_route as module
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
from airflow_provider_bkitsm.sandbox.control import SandboxControl, wait_until
from airflow_provider_bkitsm.tickets.callback_tokens import open_callback_tokens
from tests.plugins.rows import insert_waits

OURS, OTHER = "bkitsm_default", "other"
TABLES = ("task_instance", "xcom", "trigger", "dag_run")
Mutation = Callable[["Forger"], CallbackRequest]


@dataclass(kw_only=True)
class Played:
    """What became of the callbacks."""

    posted: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    changes: int = 0

    @property
    def errors(self) -> int:
        """How many ended in an error nobody handled."""
        return self.results["failed"] + sum(n for status, n in self.statuses.items() if status not in _PLANNED)


_PLANNED = frozenset({200, 403, 503})


def connections(sandbox: SandboxControl) -> dict[str, str]:
    """Return two applications' connections to the sandbox by their ids, as Airflow's JSON text."""
    ours = json.loads(sandbox.connection("bkitsm"))
    passwords = {OURS: sandbox.app_secret, OTHER: "another app's secret"}
    return {conn_id: json.dumps(ours | {"password": password}) for conn_id, password in passwords.items()}


class Forger:
    """Makes callbacks that are right but for one thing."""

    def __init__(self, *, sandbox: SandboxControl, random: Random) -> None:
        from airflow.sdk import Connection

        self.random = random
        self.dialect = sandbox.dialect
        self._sandbox = sandbox
        self.keys = {
            conn_id: signing_keys(read_gateway(Connection.from_json(text, conn_id=conn_id)))
            for conn_id, text in connections(sandbox).items()
        }
        self.now = int(time.time())
        self.target, self.another = self._callback("target"), self._callback("another")
        self.open = self._callback("open", approved=False)
        self.followed = self._callback("followed")

    def _callback(self, name: str, *, approved: bool = True) -> CallbackRequest:
        tag = creation_tag(name)
        sn = self._opened(marked_title(name, tag))
        if approved:
            self._sandbox.approve(sn)
        body = self._sandbox.callback_body(sn)
        if self.dialect == "v4":
            token = secrets.token_urlsafe(32)
            body["callback_token"] = token
            open_callback_tokens().keep(bkitsm_conn_id=OURS, tag=tag, digest=digest_of(token))
        return self.signed(Claim(conn_id=OURS, tag=tag, expires=self.now + 3600), json.dumps(body).encode())

    def _opened(self, title: str) -> str:
        """Open a ticket as another client would, and return its number."""
        if self.dialect == "v4":
            form = {"ticket__title": title, "content": "c", "approvers": ["admin"]}
            asked = {"workflow_key": "approval", "operator": "carol", "form_data": form}
            return str(self._sandbox.call("POST", "ticket/create", json=asked)["id"])
        given = {"title": title, "APPROVER": "admin", "APPROVAL_CONTENT": "c"}
        fields = [{"key": key, "value": value} for key, value in given.items()]
        asked = {"fast_approval": True, "creator": "admin", "fields": fields}
        return str(self._sandbox.call("POST", "create_ticket", json=asked)["sn"])

    def signed(self, claim: Claim, body: bytes, *, by: str = OURS) -> CallbackRequest:
        """Return a callback signed with a connection's key; of ITSM v4 for the token in its body."""
        parts = {"conn_id": claim.conn_id, "tag": claim.tag, "expires": str(claim.expires)}
        if self.dialect == "v4":
            claim = replace(claim, token_digest=digest_of(json.loads(body)["callback_token"]))
        return CallbackRequest(**parts, signature=sign(self.keys[by], claim), body=body)

    def claiming(self, callback: CallbackRequest, *, end: str) -> CallbackRequest:
        """Return a callback whose body says that its ticket has ended, with a yes."""
        body = json.loads(callback.body)
        if self.dialect == "v4":
            words = {"REVOKED": "revoked", "TERMINATED": "termination", "FINISHED": "finished"}
            said = {"status": words[end], "approve_result": True, "end_at": "2026-11-29 08:20:02"}
            changed = body | {"ticket": body["ticket"] | said}
        else:
            changed = body | {"current_status": end, "approve_result": True}
        return replace(callback, body=json.dumps(changed).encode())

    def claim(self, **changes: Any) -> Claim:
        """Return the target's claim, changed."""
        good = Claim(conn_id=OURS, tag=self.target.tag, expires=int(self.target.expires))
        return replace(good, **changes)

    def flipped(self, raw: bytes) -> bytes:
        """Return the bytes with one to three bits flipped."""
        changed = bytearray(raw)
        for _ in range(self.random.randint(1, 3)):
            changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        return self.flipped(raw) if bytes(changed) == raw else bytes(changed)


def _body_flipped(forger: Forger) -> CallbackRequest:
    """Flips that touch neither number nor token make no forgery: those are tried on the ticket still open."""
    body = forger.flipped(forger.target.body)
    notice = read_notice(body)
    if notice is None or notice.sn != sn_of(forger.target):
        return replace(forger.target, body=body)
    return replace(forger.open, body=forger.flipped(forger.open.body))


def _token_swapped(forger: Forger) -> CallbackRequest:
    body = json.loads(forger.target.body)
    (key,) = {"token", "callback_token"} & body.keys()
    token = bytearray(body[key].encode())
    place = forger.random.randrange(len(token) - 4)  # the last characters of ITSM's hold bits that mean nothing
    token[place] = forger.random.choice([one for one in b"ABCabc019" if one != token[place]])
    return replace(forger.target, body=json.dumps(body | {key: token.decode()}).encode())


def _token_made_up(forger: Forger) -> CallbackRequest:
    """A token of the right shape that its signature vouches for, as if the key had been stolen."""
    body = json.loads(forger.target.body)
    (key,) = {"token", "callback_token"} & body.keys()
    made_up = json.dumps(body | {key: secrets.token_urlsafe(forger.random.choice([16, 32, 66]))}).encode()
    return forger.signed(forger.claim(), made_up)


def _another_ticket(forger: Forger) -> CallbackRequest:
    """Everything is the target's own, its token too, but for the ticket."""
    body, own = json.loads(forger.another.body), json.loads(forger.target.body)
    body |= {"callback_token": own["callback_token"]} if forger.dialect == "v4" else {}
    return forger.signed(forger.claim(), json.dumps(body).encode())


def _expiry_changed(forger: Forger) -> CallbackRequest:
    later = str(forger.now + forger.random.randrange(1, 10**9))
    return replace(forger.target, expires=forger.random.choice([later, "0", "-1", "1e9", "\u0669", "soon"]))


def _expired(forger: Forger) -> CallbackRequest:
    return forger.signed(forger.claim(expires=forger.now - forger.random.randrange(1, 10**8)), forger.target.body)


def _future_dated(forger: Forger) -> CallbackRequest:
    return replace(forger.target, expires=str(int(forger.target.expires) + forger.random.randrange(1, 10**9)))


def _other_connection(forger: Forger) -> CallbackRequest:
    forged = [
        forger.signed(forger.claim(), forger.target.body, by=OTHER),
        forger.signed(forger.claim(conn_id=OTHER), forger.target.body, by=OTHER),
        replace(forger.target, conn_id=OTHER),
        replace(forger.target, conn_id="nowhere"),
    ]
    return forger.random.choice(forged)


def _truncated(forger: Forger) -> CallbackRequest:
    body = forger.target.body
    return replace(forger.target, body=body[: forger.random.randrange(len(body))])


def _oversized(forger: Forger) -> CallbackRequest:
    more = forger.random.randrange(1, 10_000)
    forged = [
        replace(forger.target, body=forger.target.body + b" " * (SIZE_LIMIT + more)),
        replace(forger.target, tag=forger.target.tag + "0" * (more % 1_000 + 1)),
        replace(forger.target, conn_id=OURS + "0" * (more % 1_000 + 1)),
        replace(forger.target, expires=forger.target.expires + "0" * (more % 100 + 1)),
        replace(forger.target, signature=forger.target.signature + "0" * more),
    ]
    return forger.random.choice(forged)


def _status_claimed(forger: Forger) -> CallbackRequest:
    return forger.claiming(forger.open, end=forger.random.choice(["REVOKED", "TERMINATED", "FINISHED"]))


MUTATIONS: dict[str, Mutation] = {
    "bits of the body": _body_flipped,
    "bits of the signature": lambda f: replace(
        f.target, signature=f.flipped(f.target.signature.encode()).decode("latin-1")
    ),
    "the token": _token_swapped,
    "a made-up token, signed": _token_made_up,
    "the expiry": _expiry_changed,
    "another approval's tag": lambda f: replace(f.target, tag=f.another.tag),
    "sn of another ticket": _another_ticket,
    "another connection": _other_connection,
    "replay after the decision": lambda f: f.followed,
    "expired": _expired,
    "future-dated": _future_dated,
    "truncated": _truncated,
    "oversized": _oversized,
    "a decision claimed for an open ticket": _status_claimed,
}


def sn_of(callback: CallbackRequest) -> str:
    """Return the number of the ticket a good callback is about."""
    notice = read_notice(callback.body)
    assert notice is not None
    return notice.sn


def play(count: int, *, forger: Forger, dag_version: Any) -> Played:
    """Post so many mutated callbacks, kind by kind in turns, and tell what became of them.

    At the end the good one is posted: had the forgeries not been forged, they would have resumed the task.
    """
    good = (forger.target, forger.another, forger.open, forger.followed)
    insert_waits([sn_of(one) for one in good], dag_version=dag_version, prefix=forger.dialect, conn_id=OURS)
    played = Played()
    with endpoint(played.results) as client:
        assert post(client, forger.followed) == 200
        before, counted = rows(), played.results.copy()
        for number in range(count):
            kind = list(MUTATIONS)[number % len(MUTATIONS)]
            played.posted[kind] += 1
            played.statuses[post(client, MUTATIONS[kind](forger))] += 1
        # What was answered first is counted twice.
        wait_until(
            lambda: (new := played.results - counted).total() >= count + new["answered_first"], 60, "not settled"
        )
        played.changes = len(before ^ rows())
        assert post(client, forger.target) == 200
        assert played.results["resumed"] == 2
    return played


@contextmanager
def endpoint(results: Counter[str]) -> Iterator[TestClient]:
    """Serve the endpoint on Airflow's database and count what becomes of callbacks."""

    def count(result: str) -> None:
        results[result] += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "called_back", count)
        app = module.create_app(AirflowMetadata(), rest=0.0, retries=())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, callback: CallbackRequest) -> int:
    """Post a callback and return the HTTP status."""
    path = "/".join(quote(one, safe="") for one in (callback.conn_id, callback.tag, callback.expires))
    headers, query = {HEADER: callback.signature.encode("latin-1")}, {}
    if "callback_token" in callback.body.decode("latin-1"):
        headers, query = {}, {QUERY: callback.signature}
    status: int = client.post(
        f"/callback/{path}", content=callback.body, headers=headers, params=query
    ).status_code
    return status


def rows() -> frozenset[tuple[str, str]]:
    """Return all that a callback could change, as text."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    with create_session(scoped=False) as session:
        tables = {table: session.execute(text(f"SELECT * FROM {table}")).all() for table in TABLES}
    return frozenset((table, str(tuple(row))) for table, found in tables.items() for row in found)
