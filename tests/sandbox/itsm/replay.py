# SPDX-License-Identifier: Apache-2.0
"""Bringing a recorded ticket about again: its steps are read from its log and from the requests recorded of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_provider_bkitsm.sandbox.control import wait_until
from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from tests.record import EVIDENCE
from tests.sandbox.client import OPINION, REFUSAL, REMARK, Client
from tests.sandbox.itsm.measured_services import ALL_FIELD_TYPES, FLOWS, export
from tests.sandbox.receiver import Receiver

_SN = re.compile(r"REQ20261129\d{6}")
_LOG_SERVICE, _LOG_STEP = 5, 28
_READS = ("get_", "ticket_approval_result")
# The tickets whose opening was not recorded, and in what they were opened.
_UNRECORDED = {
    "REQ20261129000509": (25, "countersign_same_person_no_then_yes_fast"),
    "REQ20261129000598": (22, "step_still_open"),
    "REQ20261129000469": (25, "countersign_yes_no_yes"),
    "REQ20261129000470": (22, "two_steps_second_rejected"),
}
# What their callbacks alone tell of: who answered, and how.
_UNLOGGED = {
    "REQ20261129000469": (("alice", True), ("bob", False), ("carol", True)),
    "REQ20261129000470": (("alice", True), ("bob", False)),
    "REQ20261129000467": (("alice", False), ("bob", True)),
    "REQ20261129000491": (("alice", True),),
}
# What administrators did to the service, after how many steps of the ticket.
_DELETED = {
    "second_node_deleted_then_refused": (1, 211, True),
    "second_node_deleted_without_signal_then_refused": (1, 216, False),
    "first_node_deleted_after_refusal": (1, 220, True),
}
_UPDATED = {"service_updated_while_open_then_no": 1, "service_updated_while_open_then_yes": 1}
# Answers that were sent at the same moment: the worker does nothing in between.
_AT_ONCE = {"countersign_same_person_no_then_yes_fast", "any_of_three_no_and_yes_at_once"}
_ACTIONS = {"转单": "DELIVER", "撤销": "WITHDRAW", "挂起": "SUSPEND", "恢复": "UNSUSPEND", "关闭": "TERMINATE"}
_LOST_ANSWERS = {"any_of_three_no_and_yes_at_once": ("alice", False)}


@dataclass(kw_only=True)
class Recorded:
    """Everything recorded of one ticket."""

    sn: str
    exchanges: dict[str, dict[str, Any]] = field(default_factory=dict)

    def named(self, prefix: str) -> dict[str, Any]:
        """Return the first exchange of a name's beginning."""
        return next((one for name, one in self.exchanges.items() if name.startswith(prefix)), {})

    @property
    def situation(self) -> str:
        """Its name in the record."""
        if self.sn in _UNRECORDED:
            return _UNRECORDED[self.sn][1]
        return next(name for name in self.exchanges if name.startswith("create_ticket")).split("__")[1]

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log as it stood at the end, without its first two entries."""
        found = [one for name, one in self.exchanges.items() if name.endswith("__complex")]
        found = found or [one for name, one in self.exchanges.items() if name.startswith("get_ticket_logs__title")]
        return found[0]["body"]["data"]["logs"][2:] if found else []


def _sn_of(name: str, one: dict[str, Any]) -> str | None:
    if name.startswith("create_ticket"):
        return (one["body"]["data"] or {}).get("sn")
    if name.startswith("callback"):
        return str(one["body"]["sn"])
    found = _SN.search(f"{one['path']} {one.get('request')}")
    return found[0] if found else None


def recorded_tickets() -> dict[str, Recorded]:
    """Return what was recorded of every ticket, by its number."""
    found: dict[str, Recorded] = {}
    for name, one in EVIDENCE.items():
        if sn := _sn_of(name, one):
            found.setdefault(sn, Recorded(sn=sn)).exchanges[name] = one
    return found


WITHOUT_TICKET = {name: one for name, one in EVIDENCE.items() if not _sn_of(name, one)}
TICKETS = recorded_tickets()


@dataclass(kw_only=True)
class Player:
    """A sandbox with the recorded services."""

    server: SandboxServer
    receiver: Receiver
    services: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = Client(self.server)
        for number in (*FLOWS, ALL_FIELD_TYPES, 57):
            answer = self.client.post("import_service", export(number))
            assert answer["result"], answer
            self.services[number] = answer["data"]["id"]
        self.services |= {_LOG_SERVICE: service_catalog.LOG_BUILT_IN}

    def send(self, one: dict[str, Any], sn: str = "") -> requests.Response:
        """Send a recorded request, with the numbers of this sandbox."""
        path = one["path"].removeprefix("{gateway}")
        path = _SN.sub(sn, path).replace(f"state_id={_LOG_STEP}", "state_id=1701")
        path = re.sub(r"service_id=(\d+)", lambda found: f"service_id={self.services[int(found[1])]}", path)
        body = self._here(one.get("request"), sn)
        more = {} if body is None else {"json": body}
        return self.client.raw(one["method"], self.server.itsm_url + path, **more)

    def _here(self, value: Any, sn: str) -> Any:
        if not isinstance(value, dict):
            return value
        made = {key: sn if key == "sn" and isinstance(one, str) else one for key, one in value.items()}
        if isinstance(value.get("sn"), list) or "sns" in value:
            made |= {key: [sn] for key in ("sn", "sns") if key in value}
        if "service_id" in value:
            made["service_id"] = self.services[int(value["service_id"])]
        if (made.get("meta") or {}).get("callback_url"):
            made["meta"] = {**made["meta"], "callback_url": self.receiver.url}
        return made

    def open(self, ticket: Recorded) -> tuple[str, Any]:
        """Open a ticket as it was; return its number and the answer."""
        created = ticket.named("create_ticket")
        if not created:
            number, title = _UNRECORDED[ticket.sn]
            callback = {"callback_url": self.receiver.url} if ticket.named("callback") else {}
            fields = {"title": title, "approver": "alice", "content": "内容"}
            pairs = [{"key": key, "value": value} for key, value in fields.items()]
            body = {"service_id": self.services[number], "creator": "admin", "fields": pairs, "meta": callback}
            return str(self.client.post("create_ticket", body)["data"]["sn"]), None
        answer = self.send(created)
        return str(answer.json()["data"]["sn"]), answer

    def settle(self, sn: str) -> dict[str, Any]:
        """Wait until a ticket does not move any more."""
        wait_until(lambda: self._rests(sn), 60, f"{sn} does not rest")
        return self.server.ticket(sn)

    def _rests(self, sn: str) -> bool:
        now = self.server.ticket(sn)
        moved = now["submitted"] or now["orphan"] or (now["stuck"] and now["started"])
        return bool(moved)

    def play(self, ticket: Recorded, sn: str) -> Iterator[str]:
        """Take the recorded steps; yield after each what was recorded then (``""`` at the end)."""
        self.settle(sn)
        yield "opened"
        self._administer(ticket, 0)
        for done, step in enumerate(self._steps(ticket), start=1):
            yield from self._take(ticket, sn, step)
            self._administer(ticket, done)
        if ticket.situation in _AT_ONCE:
            who, yes = _LOST_ANSWERS.get(ticket.situation, ("", False))
            if who:
                self._answer_plainly(sn, who, yes=yes)
            self.server.start_worker()
        wait_until(lambda: not self.server.ticket(sn)["queued"], 60, "an answer has no effect")
        yield ""

    def _administer(self, ticket: Recorded, done: int) -> None:
        after, node, signal = _DELETED.get(ticket.situation, (None, 0, False))
        service = self.services.get(
            int((ticket.named("create_ticket").get("request") or {}).get("service_id") or 0)
        )
        if after == done:
            self.server.delete_node(int(service or 0), node, signal=signal)
        if _UPDATED.get(ticket.situation) == done:
            body = export(56) | {"id": service}
            assert self.client.post("update_service", body | {"name": f"updated {ticket.sn}"})["result"]
        if ticket.situation in _AT_ONCE and done == 0:
            self.server.stop_worker()

    def _steps(self, ticket: Recorded) -> Iterator[dict[str, Any]]:
        for who, yes in _UNLOGGED.get(ticket.sn, ()):
            yield {"operator": who, "yes": yes}
        for one in ticket.log:
            if not (one["source"] == "SYS" and one["from_state_type"]) and one["source"] != "AUTOMATIC":
                yield one

    def _take(self, ticket: Recorded, sn: str, step: dict[str, Any]) -> Iterator[str]:
        who = step["operator"]
        if "yes" in step:
            self._answer_plainly(sn, who, yes=step["yes"])
        elif step["form_data"]:
            self._answer(ticket, sn, step)
            refused = any(one.get("value") == "false" and one.get("type") == "RADIO" for one in step["form_data"])
            yield from [f"after_{who}", "still_suspended"] + ["while_sent_back"] * refused
        elif who:
            yield from self._operate(ticket, sn, step)

    def _operate(self, ticket: Recorded, sn: str, step: dict[str, Any]) -> Iterator[str]:
        words = {
            "转单": "DELIVER",
            "撤销": "WITHDRAW",
            "挂起": "SUSPEND",
            "恢复": "UNSUSPEND",
            "关闭": "TERMINATE",
        }
        action = next(action for word, action in words.items() if word in step["message"])
        sent = next(
            (one for one in ticket.exchanges.values() if (one.get("request") or {}).get("action_type") == action),
            None,
        )
        if sent:
            assert_same(self.send(sent, sn), sent)
        else:
            message = step["message"].partition("：")[2].rstrip(".") or "m"
            assert self.client.operate(sn, action, step["operator"], action_message=message)["result"]
        yield {"DELIVER": "before_the_answer", "SUSPEND": "while_suspended"}.get(action, action)

    def _answer(self, ticket: Recorded, sn: str, step: dict[str, Any]) -> None:
        values = {one["key"]: one["value"] for one in step["form_data"]}
        (state_id,) = [
            one["state_id"]
            for one in self.client.status(sn)["current_steps"]
            if set(values) <= {field["key"] for field in one["fields"]}
        ]
        sent = self._sent_answer(ticket, step["operator"], values)
        if sent is not None:
            assert_same(self.send(sent, sn), sent)
            return
        answer = self.client.answer(sn, values, operator=step["operator"], state_id=state_id)
        assert answer["result"], answer

    def _sent_answer(self, ticket: Recorded, who: str, values: dict[str, Any]) -> dict[str, Any] | None:
        for one in ticket.exchanges.values():
            request = one.get("request") or {}
            if who == request.get("approver"):
                return one
            keys = {pair["key"] for pair in request.get("fields") or []}
            if request.get("action_type") == "TRANSITION" and who == request["operator"] and set(values) == keys:
                return one
        return None

    def _answer_plainly(self, sn: str, who: str, *, yes: bool) -> None:
        step = self.client.status(sn)["current_steps"][0]
        verdict = "true" if yes else "false"
        values = {one["key"]: verdict if one["type"] == "RADIO" else "r" for one in step["fields"]}
        assert self.client.answer(sn, values, operator=who, state_id=step["state_id"])["result"]


# What differs from server to server, ticket to ticket and moment to moment.
_OWN = {
    *("id", "sn", "ticket_url", "iframe_ticket_url", "create_at", "update_at", "end_at", "operate_at", "token"),
    *("service_id", "flow_id", "catalog_id", "comment_id", "workflow_id", "task_id", "ticket_id"),
    *("workflow_field_id", "next", "previous"),
}
_PEOPLE = {"updated_by", "processed_user", "last_approver"}
# Deeper than clients look: the description of the CMDB's API.
_OPAQUE = {"api_info", "api_instance_id"}
_SUBMIT_STATE = {"state_id"}


# Keys of the built-in approval's fields are random words of an installation.
_WORDS = {
    "z4b3201761b1791ac627e14f1b85b9e7": OPINION,
    "I9e5c38a357404ccfb848fbce52e0a1f": REMARK,
    "b4cd1944957d21e2522cfcab7a1d126d": REFUSAL,
}
# Read in the moment before its first step was there.
_READ_EARLY = "REQ20261129000518"


def comparable(value: Any, *, key: str = "") -> Any:
    """Return a value without what is the server's own; of that, the type is left."""
    if key in _OPAQUE:
        return type(value).__name__
    if isinstance(value, dict):
        return {name: comparable(one, key=name) for name, one in value.items()}
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if key in _OWN | _SUBMIT_STATE:
        return type(value).__name__
    return sorted(set(filter(None, value.split(",")))) if key in _PEOPLE and value else value


def answered(body: dict[str, Any]) -> dict[str, Any]:
    """Return an envelope; its message is opaque."""
    rest = {key: one for key, one in body.items() if key != "message"}
    data = rest.get("data")
    if isinstance(data, dict) and "workflow_id" in data:
        rest["data"] = data = {key: one for key, one in data.items() if key not in {"name", "desc"}}
    if isinstance(data, dict) and "fields" in data:
        # The order of a form's rows is that of the numbers their fields were created under.
        named = [one | {"key": _WORDS.get(one["key"], one["key"])} for one in data["fields"]]
        rest["data"] = data | {"fields": sorted(named, key=lambda one: str(one["key"]))}
    return comparable(rest)


def assert_same(here: requests.Response, there: dict[str, Any]) -> None:
    """Compare an answer with the recorded one."""
    assert (here.status_code, here.headers["Content-Type"]) == (there["status"], there["content_type"])
    assert here.json().keys() == there["body"].keys()
    found = list(differences(answered(here.json()), answered(there["body"])))
    if found:
        raise AssertionError("\n".join([there["path"], *found[:8]]))


def differences(here: Any, there: Any, place: str = "") -> Iterator[str]:
    """Yield every place where two values differ."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted({*here, *there}):
            yield from differences(here.get(key, "absent"), there.get(key, "absent"), f"{place}.{key}")
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for number, (mine, theirs) in enumerate(zip(here, there, strict=True)):
            yield from differences(mine, theirs, f"{place}[{number}]")
    elif here != there:
        yield f"{place}: {here!r} instead of {there!r}"


def reads_at(ticket: Recorded, moment: str) -> dict[str, dict[str, Any]]:
    """Return the recorded reads of a moment; ``""`` is the end."""
    moments = ("after_", "while_", "before_the", "still_suspended")
    found = {}
    for name, one in ticket.exchanges.items():
        last = name.rsplit("__", 1)[-1]
        then = last if last.startswith(moments) else ""
        early = ticket.sn == _READ_EARLY and name.startswith("get_ticket_info")
        if name.startswith(_READS) and then == moment and not early:
            found[name] = one
    return found
