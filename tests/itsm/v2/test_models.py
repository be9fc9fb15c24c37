# SPDX-License-Identifier: Apache-2.0
"""Answers turned into models."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2 import models, parsing

STATUS = {"current_status": "RUNNING", "current_steps": [{"state_id": 15, "processors": "admin,admin2"}]}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["sn", "id", "logs", "items", "page", "count", "fields", "create_at", "form_data"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
MODELS = [one for one in vars(models).values() if isinstance(one, type) and issubclass(one, parsing.ItsmModel)]


def test_people_are_split_and_unknown_keys_kept():
    status = parsing.one(models.TicketStatus)(STATUS | {"is_commented": False})
    assert status.current_steps[0].processors == ("admin", "admin2")
    assert status.waits_for == ("admin", "admin2")
    assert status.is_commented is False  # type: ignore[attr-defined]


def test_answers_are_frozen():
    with pytest.raises(ValidationError):
        parsing.one(models.TicketStatus)(STATUS).current_status = "FINISHED"  # type: ignore[misc]


def test_callbacks_outer_commas_are_dropped():
    row = {"sn": "REQ1", "current_status": "FINISHED", "approve_result": True, "updated_by": ",admin,carol,"}
    assert parsing.one(models.ApprovalResult)(row).updated_by == ("admin", "carol")


@pytest.mark.parametrize("answer", [None, [], "REQ1", {}, {"sn": ""}, {"sn": None}, {"sn": 5}])
def test_p3_a_created_ticket_without_a_number_is_an_error(answer):
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        parsing.one(models.CreatedTicket)(answer)


ROW = {
    "id": 18,
    "sn": "REQ20261124000018",
    "title": "t",
    "catalog_id": 11,
    "service_id": 2,
    "service_type": "request",
    "flow_id": 2,
    "current_status": "FINISHED",
    "comment_id": 35,
    "is_commented": False,
    "updated_by": "admin,carol",
    "update_at": "2026-11-24 08:49:41",
    "end_at": None,
    "creator": "admin",
    "create_at": "2026-11-24 08:49:41",
    "bk_biz_id": -1,
    "ticket_url": "https://itsm.example.com/#/ticket/detail?id=18",
    "iframe_ticket_url": "https://itsm.example.com/#/ticket/detail-iframe?id=18",
}
OF_USER = {
    "service_name": "onboarding",
    "meta": {"own": 1},
    "current_status_display": "...",
    "current_processors": "alice,bob",
    "current_steps": [{"id": 4, "tag": "DEFAULT", "name": "approve", "state_id": 15, "type": "APPROVAL"}],
    "waiting_approve": True,
    "can_comment": False,
    "can_withdraw": True,
    "can_operate": False,
    "sla": [],
}


def page(row):
    return {"page": 1, "total_page": 1, "count": 1, "next": None, "previous": None, "items": [row]}


def test_a_row_of_a_search_has_all_documented_keys():
    (row,) = parsing.one(models.TicketPage)(page(ROW)).items
    assert set(ROW) == set(models.TicketSummary.model_fields)
    assert (row.comment_id, row.updated_by, row.end_at, row.bk_biz_id) == ("35", ("admin", "carol"), None, -1)
    assert row.create_at == datetime(2026, 11, 24, 0, 49, 41, tzinfo=UTC)


def test_a_row_of_a_persons_search_has_its_own_keys():
    (row,) = parsing.one(models.PageOfUser)(page(ROW | OF_USER)).items
    assert (row.meta, row.current_processors, row.can_withdraw) == ({"own": 1}, ("alice", "bob"), True)
    assert row.current_steps[0].state_id == 15
    assert row.can_operate is False  # type: ignore[attr-defined]


def test_a_field_of_a_service_offers_its_choices():
    field = {"key": "level", "choice": [{"key": "1", "name": "high"}], "default": "1", "meta": "", "desc": None}
    detail = parsing.one(models.ServiceDetail)({"service_id": 7, "fields": [field, {"key": "b", "choice": {}}]})
    level, other = detail.fields
    assert (level.choice[0]["name"], level.default, level.meta, level.desc) == ("high", "1", {}, "")
    assert other.choice == ()


def test_a_workflow_has_its_parts():
    answer = {"name": "n", "version_number": 3, "states": [{"id": 15}], "transitions": [], "fields": None}
    flow = parsing.one(models.Workflow)(answer)
    assert (flow.version_number, flow.states, flow.transitions, flow.fields) == ("3", ({"id": 15},), (), ())


@pytest.mark.parametrize("model", MODELS)
@given(answer=ANY_JSON)
def test_any_answer_ends_in_a_model_or_an_itsm_error(model, answer):
    for parse in (parsing.one(model), parsing.many(model)):
        try:
            parse(answer)
        except errors.ItsmUnexpectedAnswerError:
            continue


def test_who_is_asked_in_two_steps_is_named_once():
    steps = [{"state_id": 15, "processors": "carol,alice"}, {"state_id": 16, "processors": "alice,bob"}]
    status = parsing.one(models.TicketStatus)({"current_status": "RUNNING", "current_steps": steps})
    assert status.waits_for == ("carol", "alice", "bob")


@pytest.mark.parametrize("word", ["REQ1\n2026-11-24 INFO approved", "REQ1\x1b[2K", "REQ\u202e1"])
def test_p3_a_number_or_status_that_nobody_can_see_whole_is_unexpected(word):
    for model, answer in (
        (models.CreatedTicket, {"sn": word}),
        (models.TicketStatus, STATUS | {"current_status": word}),
        (models.TicketLogs, {"sn": word}),
    ):
        with pytest.raises(errors.ItsmUnexpectedAnswerError) as caught:
            parsing.one(model)(answer)
        assert errors.printable(caught.value) == str(caught.value)


def test_names_of_steps_and_people_are_one_line():
    step = {"state_id": 1, "name": "审批\r\nINFO", "processors": "a\x1b[2K,b"}
    (read,) = parsing.one(models.TicketStatus)(STATUS | {"current_steps": [step]}).current_steps
    assert (read.name, read.processors) == (r"审批\r\nINFO", (r"a\x1b[2K", "b"))
