# SPDX-License-Identifier: Apache-2.0
"""Which field of a service takes what, against the recorded form of the log platform's built-in service."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.clean_config import canonical, digest
from airflow_provider_bkitsm.collectors.service_check import FieldPlan, Keys, ServiceFit, choose, plan_fields
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.models import FlowStep, Service
from airflow_provider_bkitsm.itsm.v2 import models
from airflow_provider_bkitsm.itsm.v2.dialect import V2, read_service
from airflow_provider_bkitsm.itsm.v2.html_filter import as_stored, value_as_shown
from airflow_provider_bkitsm.itsm.verdict_source import VerdictSource
from tests.record import EVIDENCE

BUILT_IN = read_service(
    models.ServiceDetail.model_validate(EVIDENCE["get_service_detail__log_search_service"]["body"]["data"])
)
PAYLOAD = {"table_id": "t", "retention": 14, "allocation_min_days": 3}


def _service_of(*fields: models.ServiceField, number: int = 1, name: str = "") -> Service:
    return read_service(models.ServiceDetail(service_id=number, name=name, fields=fields))


def _service(*, number: int = 1, name: str = "", **kinds: str) -> Service:
    fields = (models.ServiceField(key=key, type=kind) for key, kind in {"title": "STRING", **kinds}.items())
    return _service_of(*fields, number=number, name=name)


def _plan(service: Service, **changed: Any) -> FieldPlan:
    usual = {"keys": Keys(), "approvers": "alice", "steps": None, "own": {}}
    return plan_fields(service, **(usual | {"payload": PAYLOAD, "opened": date(2026, 11, 30)} | changed))


def test_the_built_in_services_form_is_complete() -> None:
    plan = _plan(BUILT_IN)
    assert plan.problems == ()
    assert plan.filled == {
        "expect_access_data": "2026-11-30",
        "log_keep_days": 14,
        "hot_data_days": "3",
        "single_log_size": 0,
        "single_host_peak": 0,
        "single_host_log_volume": 0,
        "expect_host_size": 0,
    }
    assert (plan.approvers, plan.takes_business) == (None, True)
    assert plan.detail is not None
    assert plan.reason is not None
    assert (plan.detail.key, plan.reason.key) == ("collector_detail", "apply_reason")
    V2.check_form(BUILT_IN, {"title": "t", "bk_biz_id": 2, **plan.filled})


def test_everything_that_is_filled_in_is_noted_with_its_value() -> None:
    plan = _plan(BUILT_IN)
    for key, value in plan.filled.items():
        (note,) = (one for one in plan.notes if key in one)
        assert repr(value) in note
    assert set(plan.not_stated) == {
        "single_log_size",
        "single_host_peak",
        "single_host_log_volume",
        "expect_host_size",
    }


def test_the_approver_reads_which_sizes_nobody_has_stated() -> None:
    plan = _plan(BUILT_IN, own={"single_log_size": 512})
    assert "single_log_size" not in plan.filled
    shown = {"collector": {}, "etl_payload": {}, "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e"}
    shown["digest"] += "8310c060f61caaff8a"
    detail = plan.detail_value(V2, more={"x": 1}, **shown)
    assert isinstance(detail, dict)
    rows = {row["label"]: row["value"] for row in detail["form_data"][0]["children"]}
    assert rows["未提供（以 0 填写）："] == (
        "预计接入主机数（expect_host_size）、单机增长日志量（single_host_log_volume）、单机流量峰值（KB/S）（single_host_peak）"
    )


@pytest.mark.parametrize("kind", ["STRING", "TEXT", "RICHTEXT"])
def test_what_looks_like_markup_is_shown_whatever_the_fields_type(kind: str) -> None:
    """ITSM's HTML filter would drop ``<level>`` from the regular expression that is to be approved."""
    payload = {"etl_params": {"separator_regexp": r"(?P<level>\w+) & (?P<b>.*)"}}
    kinds = {"collector_detail": "STRING" if kind == "RICHTEXT" else kind, "apply_reason": kind}
    plan = _plan(_service(**kinds))
    detail = plan.detail_value(V2, collector={}, etl_payload=payload, digest=digest(payload), more={})
    for key, text, meant in (
        ("collector_detail", detail, canonical(payload).decode()),
        ("apply_reason", plan.reason_value(V2, "List<String> of <b>"), "List<String> of <b>"),
    ):
        assert meant in value_as_shown(as_stored(text, kinds[key]), kinds[key])


def test_a_size_that_may_be_left_out_is_left_out() -> None:
    field = models.ServiceField(key="single_log_size", type="INT", validate_type="OPTION")
    assert _plan(_service_of(field)).filled == {}


def test_the_day_is_that_of_people_in_shanghai() -> None:
    late = datetime(2026, 11, 29, 16, 30, tzinfo=UTC)
    assert _plan(BUILT_IN, opened=late).filled["expect_access_data"] == "2026-11-30"


def test_a_service_that_names_nobody_asks_its_own_people_and_that_is_noted() -> None:
    plan = _plan(BUILT_IN, steps=[FlowStep(name="评估", kind="NORMAL", people="admin")])
    (note,) = (one for one in plan.notes if "alice" in one)
    assert "asks its own people (评估: admin), not alice" in note


def test_the_approvers_go_where_the_flow_takes_its_people_from() -> None:
    service = _service(followers="MEMBERS", who="MEMBERS", collector_detail="CUSTOM-FORM")
    steps = [FlowStep(name="s", kind="APPROVAL", people_from="who")]
    assert _plan(service, steps=steps).approvers == "who"
    assert "several of its fields name people: followers, who" in _plan(service).problems[0]
    assert _plan(service, own={"followers": "bob"}).approvers == "who"
    fixed = [FlowStep(name="s", kind="APPROVAL", people="bob")]
    assert _plan(service, steps=fixed).approvers is None


def test_p3_a_flow_that_takes_its_people_from_another_field_gets_the_approvers_there() -> None:
    """The log platform's own key is taken only where the flow asks the people in it, or its people are its own."""
    service = _service(approvals="MEMBERS", leader="MEMBERS", collector_detail="CUSTOM-FORM")
    assert _plan(service, steps=[FlowStep(name="s", kind="APPROVAL", people_from="leader")]).approvers == "leader"
    both = [FlowStep(name=key, kind="APPROVAL", people_from=key) for key in ("leader", "approvals")]
    plan = _plan(service, steps=both)
    assert plan.approvers == "approvals"
    assert "its flow also asks the people in its field leader: name them with fields" in plan.notes
    assert not any("leader" in note for note in _plan(service, steps=both, own={"leader": "bob"}).notes)


def test_a_flow_that_would_ask_nobody_does_not_fit() -> None:
    service = _service(approvals="MEMBERS", collector_detail="CUSTOM-FORM")
    steps = [FlowStep(name="s", kind="APPROVAL", people_from="approvals")]
    (problem,) = _plan(service, steps=steps, approvers="").problems
    assert problem == "it asks the people in its field approvals, and the task names none: give approvers"
    assert _plan(service, steps=steps, approvers="", own={"approvals": "bob"}).problems == ()


def test_approvers_whom_the_flow_does_not_ask_are_noted() -> None:
    service = _service(approvals="MEMBERS", collector_detail="CUSTOM-FORM")
    plan = _plan(service, steps=[FlowStep(name="s", kind="APPROVAL", people="bob")])
    assert plan.approvers == "approvals"
    assert "its flow asks its own people (s: bob); alice only stand in its field approvals" in plan.notes


@pytest.mark.parametrize(
    ("kinds", "key"),
    [
        ({"collector_detail": "TEXT", "x": "CUSTOM-FORM"}, "collector_detail"),
        ({"x": "CUSTOM-FORM", "capacity_formula": "CUSTOM-FORM", "y": "TEXT"}, "x"),
        ({"x": "TEXT", "apply_reason": "TEXT"}, "x"),
        ({"apply_reason": "TEXT"}, "apply_reason"),
        ({"x": "STRING"}, None),
        ({"x": "CUSTOM-FORM", "y": "CUSTOM-FORM"}, None),
        ({"x": "TEXT", "y": "TEXT"}, None),
        ({"collector_detail": "INT", "x": "TEXT"}, None),
    ],
)
def test_the_detail_goes_into_the_only_field_that_can_show_it(kinds: dict[str, str], key: str | None) -> None:
    plan = _plan(_service(**kinds))
    assert (plan.detail.key if plan.detail else None) == key
    assert bool(plan.problems) is (key is None)
    if key == "apply_reason":
        assert plan.reason is None, "the reason is a row of the detail"


@pytest.mark.parametrize("name", ["approvers", "detail", "reason"])
def test_a_field_that_was_named_and_is_not_there_is_a_problem_with_those_there_are(name: str) -> None:
    (problem,) = _plan(BUILT_IN, keys=Keys(**{name: "mine"})).problems
    assert "no field 'mine'" in problem
    assert "bk_biz_id (SELECT)" in problem


def _fit(number: int, *, approvers: bool = True, problem: str | None = None) -> ServiceFit:
    kinds = {"collector_detail": "CUSTOM-FORM"} | ({"approvals": "MEMBERS"} if approvers else {})
    service = _service(number=number, name=f"s{number}", **kinds)
    return ServiceFit(
        service=service, plan=_plan(service), verdict=VerdictSource(settings=None, reason="r", problem=problem)
    )


def test_of_several_services_the_one_that_asks_the_approvers_is_chosen_and_the_reason_is_said() -> None:
    asking, built_in = _fit(1), _fit(2, approvers=False)
    chosen, why = choose([built_in, asking], approvers="alice")
    assert (chosen, why) == (asking, "it alone asks alice")
    chosen, why = choose([built_in, asking], approvers="")
    assert (chosen, why) == (built_in, "it alone needs no approvers named")
    assert choose([built_in], approvers="alice")[0] == built_in


def test_a_service_that_does_not_fit_is_passed_over() -> None:
    chosen, why = choose([_fit(1, problem="nobody approves"), _fit(2, approvers=False)], approvers="alice")
    assert (chosen.service.service_id, why) == (2, "no other of its role fits")


def test_services_that_fit_alike_are_not_guessed_among() -> None:
    with pytest.raises(ItsmInvalidRequestError, match=r"service 1 \(s1\), service 2 \(s2\); name one"):
        choose([_fit(1), _fit(2)], approvers="alice")


def test_where_none_fits_each_problem_of_each_is_named() -> None:
    with pytest.raises(ItsmInvalidRequestError, match=r"service 1 .*: one\. service 2 .*: two\. No ticket"):
        choose([_fit(1, problem="one"), _fit(2, problem="two")], approvers="alice")


@pytest.mark.parametrize("key", ["approvals", "people"])
def test_a_service_that_asks_whom_the_task_names_says_that_it_names_nobody(key: str) -> None:
    service = _service(**{key: "MEMBERS", "collector_detail": "CUSTOM-FORM"})
    (problem,) = _plan(service, approvers="").problems
    assert problem == f"it asks the people in its field {key}, and the task names none: give approvers"
    assert _plan(service, approvers="", own={key: "alice"}).problems == ()
    assert _plan(service, approvers="alice").problems == ()


def test_approvers_that_may_be_left_out_are_left_out() -> None:
    optional = models.ServiceField(key="approvals", type="MEMBERS", validate_type="OPTION")
    hidden = models.ServiceField(key="approvals", type="MEMBERS", show_type=0)
    for one in (optional, hidden):
        service = _service_of(one, models.ServiceField(key="collector_detail", type="CUSTOM-FORM"))
        assert _plan(service, approvers="").problems == ()
