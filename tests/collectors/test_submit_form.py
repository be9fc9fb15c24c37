# SPDX-License-Identifier: Apache-2.0
"""The form that asks for a collector's approval."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch
from airflow_provider_bkitsm.collectors.form import shows_digest
from airflow_provider_bkitsm.collectors.payload import digest
from airflow_provider_bkitsm.collectors.submit_form import Question, submit_form
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError

TAG = "0123456789abcdef0123456789abcdef"
COLLECTOR: dict[str, Any] = {
    "collector_config_id": 7,
    "collector_config_name": "app-runtime",
    "space_name": "demo",
}
PAYLOAD: dict[str, Any] = {"table_id": "t", "etl_config": "bk_log_text", "retention": 7}
ALL = {"title", "bk_biz_id", "approvals", "apply_reason", "collector_detail"}


def _form(collector: dict[str, Any] = COLLECTOR, known: set[str] = ALL, **asked: Any) -> dict[str, Any]:
    question = Question(**({"bk_biz_id": 2, "approvers": "alice,bob", "reason": "why"} | asked))
    request = {"opened": date(2026, 11, 24), "payload": PAYLOAD, "digest": digest(PAYLOAD), "tag": TAG}
    return submit_form(question, collector=collector, known=known, **request)


def test_every_field_of_the_log_services_form_is_filled() -> None:
    form = _form()
    detail = form.pop("collector_detail")
    assert form == {
        "title": "【日志采集】demo-app-runtime-20261124 #01234567",
        "bk_biz_id": 2,
        "approvals": "alice,bob",
        "apply_reason": "why",
    }
    assert shows_digest([{"value": detail}], digest(PAYLOAD))
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
    assert _form(COLLECTOR | collector, **asked)["title"] == f"【日志采集】{title}-20261124 #01234567"


def test_what_the_form_has_no_field_for_is_left_out_but_for_what_an_approval_needs() -> None:
    """ITSM refuses a form that lacks them, where it would drop them without a word: nobody would be asked."""
    assert set(_form(known=set())) == {"title", "approvals", "collector_detail"}


def test_what_is_empty_is_left_out() -> None:
    assert set(_form(reason=None, approvers="")) == {"title", "bk_biz_id", "collector_detail"}


def test_a_service_may_call_its_fields_as_it_likes() -> None:
    keys = {"approvers_field": "who", "reason_field": "why", "detail_field": "what"}
    assert set(_form(known=set(keys.values()), **keys)) == {"title", "who", "why", "what"}


def test_fields_of_ones_own_come_first_and_further_ones_are_sent() -> None:
    form = _form(fields={"apply_reason": "mine", "level": 3})
    assert (form["apply_reason"], form["level"]) == ("mine", 3)


def test_p2_a_title_of_ones_own_still_carries_the_marker() -> None:
    assert _form(fields={"title": "Mine"})["title"] == "Mine #01234567"


def test_p3_a_form_that_hides_the_digest_is_refused() -> None:
    with pytest.raises(ItsmInvalidRequestError, match="leave 'what' out of fields"):
        _form(detail_field="what", fields={"what": "something else"})


def test_p3_the_digest_of_something_else_is_never_shown() -> None:
    request = {"opened": date(2026, 11, 24), "payload": PAYLOAD, "digest": digest({}), "tag": TAG}
    with pytest.raises(CollectItsmDigestMismatch):
        submit_form(Question(bk_biz_id=2, approvers="a"), collector=COLLECTOR, known=ALL, **request)
