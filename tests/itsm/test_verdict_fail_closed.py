# SPDX-License-Identifier: Apache-2.0
"""P3, over every kind of answer: only an explicit approval with evidence is "approved"; the first verdict stands.

The table of outcomes is read as the design has it, through the code that reads a real ticket; then every recorded
exchange of a real server is put wherever an answer is read, with everything around it as good as it can be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.collectors.errors import CollectItsmConflict
from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.outcome import NOBODYS_ANSWER, Outcome, Reason
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from tests.itsm.flows import decode, drive
from tests.record import ANSWERS, CALLBACKS, EXCHANGES
from tests.tables import table

SN = "REQ20261124000003"
FIELD = "approval_result"
MISSING = object()
RESULT, LOGS, INFO = "ticket_approval_result/", "get_ticket_logs/", "get_ticket_info/"

# --- the design's table of outcomes

ENDS = {"REVOKED": Outcome.WITHDRAWN, "TERMINATED": Outcome.TERMINATED}
WAITS = ["RUNNING", "SUSPENDED", "NEW", "RESOLVED", "CONFIRMED", "FAILED", "finished", "FINISHED ", "APPROVED", ""]

# What the verdict source holds, and what that says: yes, no, or nothing that can be read.
SAID_BY_ITSM = [(True, "yes"), (False, "no")]
SAID_BY_FIELD = [
    *(("true", "yes"), ("false", "no"), ("True", "no"), ("true ", "no"), ("1", "no"), ("通过", "no")),
    *((True, ""), (1, ""), (None, ""), ("", ""), ([], ""), (["true"], ""), ({"value": "true"}, ""), (MISSING, "")),
]
# The processed steps a ticket shows, and what a yes that rests on them comes to.
STEPS = [
    ((), Reason.NO_EVIDENCE),
    (("NORMAL",), Reason.NO_EVIDENCE),
    (("refused",), Reason.REFUSAL_STANDS),
    (("refused", "refused"), Reason.REFUSAL_STANDS),
    (("approved",), Reason.APPROVED),
    (("NORMAL", "approved"), Reason.APPROVED),
    (("refused", "approved"), Reason.APPROVED),
    (("approved", "refused"), Reason.REFUSAL_STANDS),
    (("no answer",), Reason.VERDICT_UNCLEAR),
]
POLICIES = [
    VerdictPolicy(verdict_field=field, require_evidence=evidence)
    for field, evidence in product((None, FIELD), (True, False))
]


def _step(kind: str, policy: VerdictPolicy) -> dict[str, Any]:
    """Return a processed step, which holds the answer where this policy looks for it."""
    key, value = policy.verdict_field or "r7f", {"approved": "true", "refused": "false"}.get(kind)
    form = [{"id": 1, "key": key, "type": "RADIO", "value": value}] if kind != "NORMAL" else []
    return {
        "operator": "carol",
        "operate_at": "2026-11-24 08:48:43",
        "message": "",
        "form_data": form,
        "from_state_type": "NORMAL" if kind == "NORMAL" else "APPROVAL",
    }


def _ticket(status: str, said: object, steps: tuple[str, ...], policy: VerdictPolicy) -> Verdict:
    """Read a ticket; where a form field decides, ITSM's own verdict says the opposite."""
    by_field = policy.verdict_field is not None
    row = {
        **{"sn": SN, "title": "t", "ticket_url": "https://itsm.example.com/", "current_status": status},
        **{"updated_by": "carol", "update_at": "2026-11-24 08:48:44"},
        "approve_result": (said != "true") if by_field else said,
    }
    fields = [{"key": FIELD, "value": said}] if by_field and said is not MISSING else []
    times = {"create_at": "2026-11-24 08:48:41", "current_status": status, "sn": SN}
    answers: dict[str, Any] = {
        RESULT: [row],
        LOGS: {"sn": SN, "logs": [_step(kind, policy) for kind in steps]},
        INFO: {**times, "fields": fields},
    }
    return drive(read_verdict(SN, policy), lambda call: answers[call.path])


def _cases() -> Iterator[tuple[VerdictPolicy, object, str, tuple[str, ...], Reason]]:
    for policy in POLICIES:
        sources = SAID_BY_FIELD if policy.verdict_field else SAID_BY_ITSM
        for (said, meant), (steps, comes_to) in product(sources, STEPS):
            yield policy, said, meant, steps, comes_to if policy.require_evidence else Reason.APPROVED


CASES = list(_cases())


def test_the_variants_are_all_there():
    assert len(CASES) == 2 * len(STEPS) * (len(SAID_BY_ITSM) + len(SAID_BY_FIELD))


@table(("policy", "said", "meant", "steps", "comes_to"), CASES)
def test_p3_finished_is_approved_by_a_yes_with_evidence_and_by_nothing_else(policy, said, meant, steps, comes_to):
    verdict = _ticket("FINISHED", said, steps, policy)
    reason = {"yes": comes_to, "no": Reason.REFUSED}.get(meant, Reason.VERDICT_MISSING)
    approved = reason is Reason.APPROVED
    expected = (Outcome.APPROVED if approved else Outcome.REJECTED, reason)
    assert (verdict.outcome, verdict.reason_code) == expected


@table(("policy", "said", "meant", "steps", "comes_to"), CASES)
def test_p3_no_other_status_is_approved_whatever_is_said_and_shown(policy, said, meant, steps, comes_to):
    for status, outcome in ENDS.items():
        assert _ticket(status, said, steps, policy).outcome is outcome
    for status in WAITS:
        assert _ticket(status, said, steps, policy).outcome is Outcome.WAITING


@pytest.mark.parametrize("said", ["true", "false", 1, 0, None, "", [], {}])
def test_p3_itsms_own_verdict_in_any_other_form_is_no_answer_at_all(said):
    with pytest.raises(ItsmError):
        _ticket("FINISHED", said, ("approved",), VerdictPolicy())


@pytest.mark.parametrize("other", ["FINISHED", "RUNNING", "REVOKED"])
def test_p3_a_number_that_two_tickets_carry_is_nobodys_approval(other):
    rows = [{"sn": SN, "title": "t", "ticket_url": "", "current_status": one} for one in ("FINISHED", other)]
    more = {"updated_by": "carol", "update_at": "2026-11-24 08:48:44", "approve_result": True}
    with pytest.raises(ItsmError, match="none of them is believed"):
        drive(read_verdict(SN, VerdictPolicy()), lambda _: [row | more for row in rows])


# --- every recorded exchange

NEVER_ANSWERED = {name for name, one in ANSWERS.items() if "status" not in one}
ANSWERED = sorted(set(EXCHANGES) - NEVER_ANSWERED)
PLACES = [
    (RESULT, VerdictPolicy()),
    (LOGS, VerdictPolicy()),
    *((one, POLICIES[2]) for one in (RESULT, LOGS, INFO)),
]


def _said(name: str) -> tuple[int, str, bytes]:
    """Return an exchange as an answer; what was posted to a callback address too, as if ITSM answered so."""
    one = EXCHANGES[name]
    body = one["body"] if isinstance(one["body"], str) else json.dumps(one["body"])
    return one.get("status", 200), one.get("content_type", "application/json"), body.encode()


def _rows(name: str) -> list[dict[str, Any]]:
    body = EXCHANGES[name]["body"]
    data = body.get("data") if isinstance(body, dict) and body.get("result") is True else None
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def _read(name: str, place: str, policy: VerdictPolicy, sn: str, *, rest: bool) -> Outcome | None:
    """Read a ticket with this exchange as the answer in one place, and an approval or an outage in all others."""
    good = [{"sn": sn, "title": "t", "ticket_url": "", "current_status": "FINISHED", "approve_result": True}]
    good[0] |= {"updated_by": "carol", "update_at": "2026-11-24 08:48:44"}
    best: dict[str, Any] = {
        RESULT: good,
        LOGS: {"sn": sn, "logs": [_step("approved", policy)]},
        INFO: {"create_at": "2026-11-24 08:48:41", "current_status": "FINISHED", "sn": sn}
        | {"fields": [{"key": FIELD, "value": "true"}]},
    }

    def answer(call: Call[Any]) -> Any:
        try:
            if call.path == place:
                return decode(*_said(name))
            return best[call.path] if rest else decode(200, "text/html", b"<html>down</html>")
        except ItsmError as error:
            return error

    try:
        return drive(read_verdict(sn, policy), answer).outcome
    except ItsmError:
        return None


def _says_approved(name: str, place: str, policy: VerdictPolicy, sn: str) -> bool:
    """Whether the exchange itself says what an approval says in this place, without the code under test."""
    if EXCHANGES[name].get("status") != 200 or EXCHANGES[name]["kind"] != "api":
        return False
    if place == RESULT:
        mine = [row for row in _rows(name) if row.get("sn") == sn]
        finished = len(mine) == 1 and mine[0].get("current_status") == "FINISHED"
        return finished and (mine[0].get("approve_result") is True or policy.verdict_field is not None)
    body = EXCHANGES[name]["body"]
    data = body.get("data") if isinstance(body, dict) and body.get("result") is True else None
    if not isinstance(data, dict):
        return False
    if place == INFO:
        return any(one.get("key") == FIELD and one.get("value") == "true" for one in data.get("fields") or ())
    steps = [one for one in data.get("logs") or () if one.get("from_state_type") == "APPROVAL"]
    answers = [field for one in steps for field in one["form_data"] if field["type"] == "RADIO"]
    return policy.verdict_field is None and any(field["value"] == "true" for field in answers)


def _numbers(name: str) -> list[str]:
    return sorted({str(row["sn"]) for row in _rows(name) if row.get("sn")} | {SN})


@table("name", ANSWERED)
def test_p3_a_recorded_answer_is_approved_only_where_it_says_so(name):
    for (place, policy), sn in product(PLACES, _numbers(name)):
        approved = _read(name, place, policy, sn, rest=True) is Outcome.APPROVED
        assert approved == _says_approved(name, place, policy, sn), (place, policy, sn)


@table("name", ANSWERED)
def test_p3_no_recorded_answer_approves_by_itself(name):
    """While ITSM is down otherwise: a verdict without its evidence is none, required or waived."""
    for policy, place, sn in product(POLICIES, (RESULT, LOGS, INFO), _numbers(name)):
        assert _read(name, place, policy, sn, rest=False) is not Outcome.APPROVED


def test_the_record_holds_approvals_and_all_of_it_is_used():
    approved = {
        name for name in ANSWERED for sn in _numbers(name) if _says_approved(name, RESULT, VerdictPolicy(), sn)
    }
    assert {"ticket_approval_result__approved", "ticket_approval_result__no_approval_node"} <= approved
    assert any(_says_approved(name, LOGS, VerdictPolicy(), SN) for name in ANSWERED)
    assert (len(EXCHANGES), len(CALLBACKS), len(NEVER_ANSWERED)) == (170, 10, 1)


def test_p3_a_recorded_flow_without_approval_step_is_not_approved_by_its_own_record():
    name = "ticket_approval_result__no_approval_node"
    (row,) = _rows(name)
    answers = {RESULT: [row], LOGS: {"sn": row["sn"], "logs": [_step("NORMAL", VerdictPolicy())]}}
    verdict = drive(read_verdict(row["sn"], VerdictPolicy()), lambda call: answers[call.path])
    assert (row["approve_result"], verdict.outcome) == (True, Outcome.REJECTED)
    assert verdict.reason_code in NOBODYS_ANSWER


# --- the first verdict seen stands (docs/itsm-behaviour.md#deleted-approval-step)

FINAL = [one for one in Outcome if one is not Outcome.WAITING]
KEY = ("bklog", 7)


@pytest.fixture
def store(tmp_path: Path) -> CollectorStore:
    """A store with one application whose ticket is open."""
    store = CollectorStore(sqlite_engine(tmp_path / "bkitsm.db"))
    owner = Owner(dag_id="dag", run_id="run", task_id="apply")
    store.apply(*KEY, payload={"a": 1}, tag="tag", owner=owner)
    store.ticket_opened(*KEY, tag="tag", sn=SN)
    return store


@pytest.mark.parametrize(("first", "later"), list(product(FINAL, FINAL)))
def test_p3_the_first_verdict_seen_stands_whatever_is_read_later(store, first, later):
    stood = store.decided(*KEY, sn=SN, outcome=first, detail={"said": "first"})
    assert store.decided(*KEY, sn=SN, outcome=later, detail={"said": "later"}) == stood
    assert (store.get(*KEY).outcome, store.get(*KEY).outcome_detail) == (first, {"said": "first"})
    assert [entry.event for entry in store.history(*KEY)].count("decided") == 1
    if first is Outcome.APPROVED:
        assert store.provisioned(*KEY, sn=SN).provisioned_at
        return
    for step in (store.provisioned, store.complete):
        with pytest.raises(CollectItsmConflict, match=f"{SN} is {first}"):
            step(*KEY, sn=SN)


@pytest.mark.parametrize("outcome", FINAL)
def test_p3_after_a_failure_only_an_approval_is_resumed(store, outcome):
    store.decided(*KEY, sn=SN, outcome=outcome)
    store.fail(*KEY, sn=SN, reason="over")
    if outcome is Outcome.APPROVED:
        assert store.resume(*KEY, sn=SN).is_applying
        return
    with pytest.raises(CollectItsmConflict):
        store.resume(*KEY, sn=SN)
