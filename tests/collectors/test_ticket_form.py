# SPDX-License-Identifier: Apache-2.0
"""The form that asks for a collector's approval."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch
from airflow_provider_bkitsm.collectors.form import digests_in
from airflow_provider_bkitsm.collectors.service_check import FieldPlan, plan_fields
from airflow_provider_bkitsm.collectors.ticket_form import Question, check_approved_form, submit_form
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.idempotency import marked_title, marker
from airflow_provider_bkitsm.itsm.models import FormField, Service, ServiceField
from airflow_provider_bkitsm.itsm.v2.dialect import V2

TAG = "0123456789abcdef0123456789abcdef"
COLLECTOR: dict[str, Any] = {
    "collector_config_id": 7,
    "collector_config_name": "app-runtime",
    "space_name": "demo",
}
PAYLOAD: dict[str, Any] = {"table_id": "t", "etl_config": "bk_log_text", "retention": 7}
DAY = date(2026, 11, 24)
ALL = {
    "title": "STRING",
    "bk_biz_id": "STRING",
    "approvals": "MEMBERS",
    "apply_reason": "TEXT",
    "collector_detail": "CUSTOM-FORM",
}


def _plan(question: Question, known: dict[str, str]) -> FieldPlan:
    fields = tuple(ServiceField(key=key, type=kind, names_people=kind == "MEMBERS") for key, kind in known.items())
    own = question.fields or {}
    request = {"approvers": question.approvers, "steps": None, "payload": PAYLOAD, "opened": DAY, "own": own}
    return plan_fields(Service(service_id=1, fields=fields), keys=question.keys, **request)


def _form(
    collector: dict[str, Any] = COLLECTOR, known: dict[str, str] | None = None, **asked: Any
) -> dict[str, Any]:
    question = Question(**({"bk_biz_id": 2, "approvers": "alice,bob", "reason": "why"} | asked))
    request = {"dialect": V2, "opened": DAY, "payload": PAYLOAD, "digest": digest(PAYLOAD), "tag": TAG}
    return submit_form(question, collector=collector, plan=_plan(question, known or ALL), **request)


def test_every_field_of_the_log_services_form_is_filled() -> None:
    form = _form()
    detail = form.pop("collector_detail")
    assert form == {
        "title": f"【日志采集】demo-app-runtime-20261124 [#{marker(TAG)}]",
        "bk_biz_id": 2,
        "approvals": "alice,bob",
        "apply_reason": "why",
    }
    assert digests_in(detail) == {digest(PAYLOAD)}
    assert isinstance(detail, dict), "ITSM escapes a text, which its page then cannot parse"


def test_further_rows_are_in_the_detail() -> None:
    (form,) = _form(detail_rows={"容量：": 12})["collector_detail"]["form_data"]
    assert {"label": "容量：", "value": "12"}.items() <= form["children"][4].items()


@pytest.mark.parametrize(
    ("collector", "asked", "title"),
    [
        ({}, {"space": "蓝鲸"}, "蓝鲸-app-runtime"),
        ({"space_name": ""}, {}, "2-app-runtime"),
        ({"collector_config_name": None}, {}, "demo-7"),
    ],
)
def test_the_title_names_business_and_collector_one_way_or_another(collector, asked, title) -> None:
    assert _form(COLLECTOR | collector, **asked)["title"] == f"【日志采集】{title}-20261124 [#{marker(TAG)}]"


def test_a_reason_without_a_field_is_a_row_of_the_detail():
    form = _form(known={key: kind for key, kind in ALL.items() if key not in ("apply_reason", "bk_biz_id")})
    assert set(form) == {"title", "approvals", "collector_detail"}
    rows = form["collector_detail"]["form_data"][0]["children"]
    assert {"label": "申请原因：", "value": "why"}.items() <= rows[4].items()


def test_a_text_field_takes_the_detail_as_lines():
    detail = _form(known=ALL | {"collector_detail": "TEXT"})["collector_detail"]
    assert f"ETL SHA-256：{digest(PAYLOAD)}" in detail.splitlines()


def test_what_is_empty_is_left_out() -> None:
    assert set(_form(reason=None, approvers="")) == {"title", "bk_biz_id", "collector_detail"}


def test_a_service_may_call_its_fields_as_it_likes() -> None:
    keys = {"approvers_field": "who", "reason_field": "why", "detail_field": "what"}
    known = {"title": "STRING", "who": "MEMBERS", "why": "TEXT", "what": "CUSTOM-FORM"}
    assert set(_form(known=known, **keys)) == {"title", "who", "why", "what"}


def test_fields_of_ones_own_come_first_and_further_ones_are_sent() -> None:
    form = _form(fields={"apply_reason": "mine", "level": 3})
    assert (form["apply_reason"], form["level"]) == ("mine", 3)


def test_p2_a_title_of_ones_own_still_carries_the_marker() -> None:
    assert _form(fields={"title": "Mine"})["title"] == marked_title("Mine", TAG)


def test_p3_a_form_that_hides_the_digest_is_refused() -> None:
    with pytest.raises(ItsmInvalidRequestError, match="leave 'what' out of fields"):
        _form(known=ALL | {"what": "TEXT"}, detail_field="what", fields={"what": "something else"})


@pytest.mark.parametrize(
    "asked",
    [
        {"detail_rows": {"note": digest({})}},
        {"fields": {"collector_detail": digest(PAYLOAD)}},
        {"fields": {"collector_detail": {"form_data": [{"children": [{"label": "", "value": digest(PAYLOAD)}]}]}}},
        {"detail_rows": {"ETL SHA-256：": digest(PAYLOAD)}},
    ],
)
def test_p3_a_detail_that_is_not_the_payloads_alone_is_refused(asked) -> None:
    with pytest.raises(ItsmInvalidRequestError, match="the ticket's form would"):
        _form(**asked)


def test_p3_digests_in_other_fields_are_of_no_account() -> None:
    form = _form(reason=digest({}), fields={"title": f"t {digest({})[:20]}"})
    _check(form, {"detail_field": "collector_detail", "fields": form})
    _check(form, None)


def _check(shown: Any, request: Any, payload: Any = PAYLOAD) -> None:
    kinds = ALL | {"content": "TEXT"}
    pairs = shown.items() if isinstance(shown, dict) else shown
    fields = [FormField(key=key, type=kinds[key], value=value) for key, value in pairs]
    check_approved_form(fields, sn="REQ7", request=request, payload=payload, digest=digest(payload))


def _refused(shown: Any, request: Any, payload: Any = PAYLOAD) -> str:
    with pytest.raises(CollectItsmDigestMismatch, match="ticket REQ7 does not show") as caught:
        _check(shown, request, payload)
    return str(caught.value)


def test_p3_only_the_payload_in_the_details_field_is_approved() -> None:
    form = _form()
    request = {"detail_field": "collector_detail", "fields": form}
    _check(form, request)
    _check([*form.items(), *form.items()], request)
    other = PAYLOAD | {"retention": 70}
    assert f"but {digest(PAYLOAD)}" in _refused(form, request, other)
    assert "but none" in _refused(form | {"collector_detail": None}, request)
    assert "but none" in _refused(form | {"collector_detail": "", "apply_reason": digest(PAYLOAD)}, request)
    _refused([*form.items(), ("collector_detail", digest(other))], request)
    _refused(form, {"detail_field": "collector_detail", "fields": form | {"collector_detail": digest(PAYLOAD)}})
    _refused(form, {"detail_field": "apply_reason", "fields": form})
    _refused(form, {"detail_field": None, "fields": form})
    _refused(form, {})
    _refused({key: value for key, value in form.items() if key != "collector_detail"}, request)


def test_p3_of_an_older_ticket_the_digest_in_its_detail_alone_counts() -> None:
    form, mine, other = _form(), digest(PAYLOAD), digest({})
    _check(form | {"collector_detail": json.dumps(form["collector_detail"])}, None)
    _check(form | {"apply_reason": other}, None)
    _check({"title": "t", "content": f"rows\n{mine}"}, None)
    assert f"but {other}" in _refused({"collector_detail": other, "apply_reason": mine}, None)
    assert "but none" in _refused({"collector_detail": None, "apply_reason": mine}, None)
    assert "alone" in _refused({"collector_detail": f"{mine} {other}"}, None)
    _refused({"content": mine, "apply_reason": other}, None)
    _refused({"content": mine, "apply_reason": mine}, None)
    _refused({"title": "t"}, None)


def test_p3_the_digest_of_something_else_is_never_shown() -> None:
    question = Question(bk_biz_id=2, approvers="a")
    request = {"dialect": V2, "opened": DAY, "payload": PAYLOAD, "digest": digest({}), "tag": TAG}
    with pytest.raises(CollectItsmDigestMismatch):
        submit_form(question, collector=COLLECTOR, plan=_plan(question, ALL), **request)
