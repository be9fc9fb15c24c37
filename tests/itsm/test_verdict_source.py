# SPDX-License-Identifier: Apache-2.0
"""Where a service's verdict is read, against what was recorded of a real server."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_bkitsm.itsm.models import FlowStep, Service
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.v2.dialect import read_service
from airflow_provider_bkitsm.itsm.v2.models import ServiceDetail, Workflow
from airflow_provider_bkitsm.itsm.v2.services import steps_of
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.itsm.verdict_source import is_built_in_form, verdict_source, withdrawal_note
from tests.itsm import flows
from tests.record import EVIDENCE

DEFAULT = VerdictPolicy()
BY_FIELD = {"verdict_field": "approval_result", "verdict_value": "true"}


def _recorded_service(name: str) -> Service:
    data = EVIDENCE[f"get_service_detail__{name}"]["body"]["data"]
    return read_service(ServiceDetail.model_validate(data))


BUILT_IN = _recorded_service("log_search_service")
OWN = _recorded_service("two_approvals_imported")
CHOICES = [{"key": "true", "name": "通过"}, {"key": "false", "name": "拒绝"}]


def _flow(*steps: tuple[str, dict[str, Any] | None]) -> tuple[FlowStep, ...]:
    """Return a flow as ``get_workflow_detail`` shows it: a submit step, then steps with one field each, if any."""
    states: list[dict[str, Any]] = [
        {"id": 1, "name": "开始", "type": "START", "fields": []},
        {"id": 2, "name": "提单", "type": "NORMAL", "is_first_state": True, "fields": [1]},
        {"id": 3, "name": "结束", "type": "END", "fields": []},
    ]
    fields: list[dict[str, Any]] = [{"id": 1, "key": "title", "type": "STRING", "state_id": ""}]
    for number, (kind, field) in enumerate(steps, start=10):
        states.append({"id": number, "name": f"step {number}", "type": kind, "fields": [number] if field else []})
        fields += [{"id": number, "state_id": number, **field}] if field else []
    return steps_of(Workflow(states=tuple(states), fields=tuple(fields)))


VERDICT = {"key": "approval_result", "type": "RADIO", "choice": CHOICES}
OTHER = {"key": "size", "type": "INT"}
RANDOM = {"key": "k8f", "type": "RADIO", "choice": CHOICES, "meta": {"code": "APPROVE_RESULT"}}


def test_the_built_in_service_is_known_by_its_form_where_its_flow_cannot_be_read():
    assert is_built_in_form(BUILT_IN)
    assert not is_built_in_form(OWN)
    assert verdict_source(BUILT_IN, None, DEFAULT).settings == BY_FIELD
    assert verdict_source(OWN, None, DEFAULT).settings is None


def test_a_flow_whose_ordinary_step_answers_is_read_by_its_field():
    source = verdict_source(BUILT_IN, _flow(("NORMAL", VERDICT)), DEFAULT)
    assert (source.settings, source.problem) == (BY_FIELD, None)
    assert "no approval step; the step step 10 answers" in source.reason


@pytest.mark.parametrize("steps", [[("APPROVAL", RANDOM)], [("NORMAL", VERDICT), ("APPROVAL", RANDOM)]])
def test_a_flow_with_an_approval_step_is_read_as_itsm_says(steps):
    source = verdict_source(OWN, _flow(*steps), DEFAULT)
    assert (source.settings, source.problem) == ({}, None)
    assert "approval step" in source.reason


def test_a_flow_that_shows_no_fields_is_known_by_its_form():
    assert verdict_source(BUILT_IN, _flow(("NORMAL", None)), DEFAULT).settings == BY_FIELD


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("NORMAL", OTHER)],
        [("TASK", None)],
        [("SIGN", OTHER)],
        [("NORMAL", VERDICT | {"type": "TEXT"})],
        [("NORMAL", VERDICT | {"choice": [{"key": "yes", "name": "y"}]})],
    ],
)
def test_p3_a_flow_in_which_nobody_approves_is_a_problem(steps):
    assert "nobody approves in its flow" in str(verdict_source(OWN, _flow(*steps), DEFAULT).problem)


def test_p3_a_verdict_that_whoever_asks_fills_in_is_a_problem():
    asked = replace(OWN, fields=(*OWN.fields, replace(OWN.fields[0], key="mine")))
    problem = verdict_source(asked, None, VerdictPolicy(verdict_field="mine")).problem
    assert "whoever asks would answer" in str(problem)


def test_a_verdict_field_no_step_has_is_a_problem_with_those_there_are():
    flow = _flow(("NORMAL", VERDICT))
    problem = verdict_source(BUILT_IN, flow, VerdictPolicy(verdict_field="approved")).problem
    assert "'approved'; their fields: approval_result" in str(problem)
    assert verdict_source(BUILT_IN, flow, VerdictPolicy(verdict_field="approval_result")).problem is None


@pytest.mark.parametrize("flow", [None, _flow(("NORMAL", VERDICT))])
def test_p3_the_built_in_service_without_evidence_would_approve_everything(flow):
    assert "a refused one as well" in str(
        verdict_source(BUILT_IN, flow, VerdictPolicy(require_evidence=False)).problem
    )
    assert verdict_source(OWN, None, VerdictPolicy(require_evidence=False)).problem is None


def test_steps_are_those_people_take_behind_the_submit_step():
    exported = EVIDENCE["import_service__countersign_rate60"]["request"]["workflow"]
    flow = Workflow(states=tuple(exported["states"].values()), fields=tuple(exported["fields"].values()))
    (step,) = steps_of(flow)
    assert (step.name, step.kind, step.people, step.people_from) == (
        "会签审批",
        "APPROVAL",
        "alice,bob,carol",
        None,
    )
    assert [one["type"] for one in step.fields] == ["RADIO", "TEXT", "TEXT"]


def _recorded(change=lambda _entries: None, seen: list[str] | None = None) -> Any:
    """Read the recorded built-in ticket's verdict with nothing set; ``change`` alters its log's entries first.

    :param seen: is filled with the paths that were asked for.
    """
    parts = {
        "ticket_approval_result/": "ticket_approval_result__log_search_approved",
        "get_ticket_logs/": "get_ticket_logs__log_search_approved__complex",
        "get_ticket_info/": "get_ticket_info__log_search_approved",
    }
    answers = {path: deepcopy(EVIDENCE[name]["body"]["data"]) for path, name in parts.items()}
    change(answers["get_ticket_logs/"]["logs"])
    entries = answers["get_ticket_logs/"]["logs"]
    said = [one for entry in entries for one in entry["form_data"] if entry["form_data"]]
    value = next((one["value"] for one in said if one["key"] == "approval_result"), "true")
    for field in answers["get_ticket_info/"]["fields"]:
        if field["key"] == "approval_result":
            field["value"] = value

    def answer(call):
        if seen is not None:
            seen.append(call.path)
        return answers[call.path]

    return flows.drive(read_verdict("REQ20261129000488", DEFAULT), answer)


def _answer(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one for one in entries if any(field["key"] == "approval_result" for field in one["form_data"]))


def test_a_yes_in_the_built_in_services_field_is_an_approval_with_nothing_set():
    verdict = _recorded()
    assert verdict.outcome is Outcome.APPROVED
    assert [one.approved for one in verdict.approvers] == [True]


def test_its_log_is_read_once():
    seen: list[str] = []
    _recorded(seen=seen)
    assert seen == ["ticket_approval_result/", "get_ticket_logs/", "get_ticket_info/"]


def test_p3_a_no_in_that_field_is_a_refusal_although_approve_result_is_true():
    def refuse(entries):
        _answer(entries)["form_data"][0]["value"] = "false"

    assert _recorded(refuse).outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries.remove(_answer(entries)),
        lambda entries: _answer(entries).update(operator=""),
        lambda entries: _answer(entries).update(source="SYS"),
        lambda entries: _answer(entries).update(from_state_type="TASK"),
        lambda entries: _answer(entries)["form_data"][0].update(type="TEXT"),
        lambda entries: entries[1]["form_data"].append(_answer(entries)["form_data"][0]),
    ],
    ids=["nobody", "no operator", "the system", "another kind of step", "no choice", "whoever asked"],
)
def test_p3_what_no_person_has_answered_on_a_step_of_theirs_is_no_approval(change):
    assert _recorded(change).outcome is Outcome.REJECTED


def test_only_the_built_in_form_is_known_to_be_not_revocable():
    assert "cannot be withdrawn" in str(withdrawal_note(BUILT_IN))
    assert withdrawal_note(OWN) is None
