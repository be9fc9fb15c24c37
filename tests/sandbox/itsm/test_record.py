# SPDX-License-Identifier: Apache-2.0
"""The sandbox answers every recorded exchange as the real server did, in all that a client can observe.

Compared are HTTP status, content type, keys of the envelope, ``code`` with its type, keys and types of ``data``,
and the values that mean something; then the state the ticket is left in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.record import ANSWERS, CALLBACKS
from tests.sandbox.client import OPINION, REFUSAL, REMARK
from tests.sandbox.itsm.situations import SITUATIONS, Situation
from tests.sandbox.receiver import Receiver
from tests.sandbox.stage import Change, Stage

# Values a client decides by; of all others only the type is compared.
MEANINGFUL = {
    *("result", "code", "current_status", "approve_result", "is_passed", "is_commented", "can_operate"),
    *("status", "action_type", "processors_type", "sign_type", "from_state_type", "source", "validate_type"),
    *("tag", "bk_biz_id", "service_type", "count", "total_page", "level"),
}
ORPHANS = {"create_ticket__dynamic_fields_bad", "create_ticket__content_emoji"}
ANSWERED = sorted(name for name, one in ANSWERS.items() if "status" in one)


@pytest.fixture
def situation(request: pytest.FixtureRequest) -> Situation:
    return SITUATIONS.get(getattr(request, "param", ""), Situation())


@pytest.fixture
def stage(situation: Situation) -> Iterator[Stage]:
    with (
        SandboxServer(Settings(start_delay=situation.starts_in, decision_delay=0)) as server,
        Receiver() as receiver,
    ):
        yield Stage(server, receiver)


def shape(value: Any, *, key: str = "", loosely: bool = False) -> Any:
    if isinstance(value, dict):
        return {name: shape(one, key=name, loosely=loosely) for name, one in value.items()}
    if isinstance(value, list):
        kinds = [shape(one, key=key, loosely=loosely) for one in value]
        return [one for place, one in enumerate(kinds) if one not in kinds[:place]]
    return value if key in MEANINGFUL and not loosely else type(value).__name__


def observed(answer: requests.Response, *, loosely: bool) -> Any:
    is_json = answer.headers["Content-Type"] == "application/json"
    body = shape(answer.json(), loosely=loosely) if is_json else "a page"
    return answer.status_code, answer.headers["Content-Type"], body


def recorded(one: dict[str, Any], *, loosely: bool) -> Any:
    is_json = one["content_type"] == "application/json"
    body = shape(one["body"], loosely=loosely) if is_json else "a page"
    return one["status"], one["content_type"], body


def merged(kinds: Any) -> Any:
    """Take the different tickets of a list together: a value may be any of the types seen."""
    if isinstance(kinds, list) and kinds and all(isinstance(one, dict) for one in kinds):
        names = {name for one in kinds for name in one}
        return {name: [one[name] for one in kinds if name in one] for name in names}
    return kinds


@pytest.mark.parametrize(
    ("situation", "name"), [(name, name) for name in ANSWERED], indirect=["situation"], ids=ANSWERED
)
def test_a_recorded_request_is_answered_as_it_was(stage, situation, name):
    made = situation.make(stage)
    change = made if isinstance(made, Change) else Change(sns={"": made or ""})
    before = len(stage.server.tickets())
    answer = stage.send(name, ANSWERS[name], change)
    here, there = observed(answer, loosely=situation.loosely), recorded(ANSWERS[name], loosely=situation.loosely)
    if situation.loosely:
        assert here[:2] == there[:2]
        assert_same_rows(here[2], there[2])
    else:
        assert here == there
    assert_left_as_it_was(stage, situation, change)
    if name.startswith(("create_ticket__", "auth__")):
        assert len(stage.server.tickets()) - before == (answer_is_good(answer) or name in ORPHANS)


def assert_same_rows(here: Any, there: Any) -> None:
    rows = [one["data"].pop("items") for one in (here, there)]
    assert here == there
    mine, theirs = merged(rows[0]), merged(rows[1])
    assert set(mine) == set(theirs)
    for name, kinds in theirs.items():
        same = [one for one in mine[name] if one in kinds]
        assert same, name


def assert_left_as_it_was(stage: Stage, situation: Situation, change: Change) -> None:
    if situation.after is not None:
        (sn,) = change.sns.values()
        status, verdict = situation.after
        stage.server.wait_for_status(sn, status)
        assert stage.server.ticket(sn)["approve_result"] is verdict


def answer_is_good(answer: requests.Response) -> bool:
    try:
        return bool(answer.json()["result"])
    except ValueError:
        return False


def test_a_request_that_was_never_answered_is_not_answered_but_done(stage):
    name = "create_ticket__broker_down"
    SITUATIONS[name].make(stage)
    with pytest.raises(requests.ConnectionError):
        stage.send(name, ANSWERS[name], Change())
    (ticket,) = stage.server.tickets()
    assert stage.client.status(ticket["sn"])["current_steps"] == []
    assert ticket["status"] == "RUNNING"


ENDINGS = {
    "finished_approved": lambda stage, sn: stage.server.approve(sn, operator="admin"),
    "finished_rejected": lambda stage, sn: stage.server.reject(sn, operator="admin"),
    "revoked": lambda stage, sn: stage.client.operate(sn, "WITHDRAW", "admin"),
    "terminated": lambda stage, sn: stage.client.operate(sn, "TERMINATE", "admin"),
    "withdraw_race": lambda stage, sn: stage.client.operate(sn, "WITHDRAW", "admin"),
}


@pytest.mark.parametrize("name", sorted(CALLBACKS))
def test_a_recorded_callback_is_posted_as_it_was(stage, name):
    there, short = CALLBACKS[name], name.removeprefix("callback__")
    stage.receiver.status = there["receiver_status"]
    own = {key: value for key, value in there["headers"].items() if key != "User-Agent"}
    plain = own.get("Content-Type") == "application/json"
    url = f"http://{'user:word@' if 'userinfo' in name else ''}{stage.receiver.netloc}/callback?a=1#gone"
    meta = {"callback_url": url, "headers": {} if plain and "Authorization" in own else own}
    creator = "carol" if short == "updated_by_several" else "admin"
    sn = stage.opened(people="admin", creator=creator, meta=meta)
    if short == "approved_while_suspended":
        stage.client.operate(sn, "SUSPEND", "admin")
    ENDINGS.get(short, ENDINGS["finished_approved"])(stage, sn)
    here = stage.receiver.wait()
    assert (here.method, here.path) == (there["method"], "/callback?a=1")
    assert {key: type(value) for key, value in here.body.items()} == {
        key: type(value) for key, value in there["body"].items()
    }
    same = ("current_status", "approve_result", "last_approver")
    assert [here.body[key] for key in same] == [there["body"][key] for key in same]
    assert sorted(here.body["updated_by"]) == sorted(there["body"]["updated_by"]) or creator == "carol"
    assert len(here.body["token"]) == 88
    assert here.headers["User-Agent"] == there["headers"]["User-Agent"]
    for key in there["headers"]:
        assert key in here.headers


def test_two_answers_at_once_are_both_taken_and_the_first_one_counts():
    with SandboxServer(Settings(start_delay=0, decision_delay=1.0)) as server, Receiver() as receiver:
        stage = Stage(server, receiver)
        sn = stage.opened(meta={"callback_url": receiver.url})
        assert stage.client.answer(sn, {OPINION: "false", REMARK: "", REFUSAL: "no"}, operator="admin")["result"]
        (step,) = stage.client.status(sn)["current_steps"]
        assert step["status"] == "QUEUEING"
        assert stage.client.answer(sn, {OPINION: "true", REMARK: "", REFUSAL: ""}, operator="admin2")["result"]
        server.wait_for_status(sn, "FINISHED")
        assert stage.client.verdict(sn) == ("FINISHED", False)
        receiver.wait()
    assert len(receiver.received) == 1


def test_every_recorded_exchange_is_covered():
    assert set(SITUATIONS) <= set(ANSWERS)
    assert len(ANSWERS) + len(CALLBACKS) == 170
    assert service_catalog.DELIVERABLE in service_catalog.SERVICES
