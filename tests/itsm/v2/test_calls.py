# SPDX-License-Identifier: Apache-2.0
"""What is sent, and what is refused before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2 import calls, models
from tests.itsm.wire import Wire

FIELDS = {"title": "t", "APPROVER": "alice,bob"}
DYNAMIC = {"name": "n" * 32, "type": "INT", "value": "5"}
SN = {"sn": "REQ1"}
STEP = {"sn": "REQ1", "state_id": "15"}
STATUS = {"current_status": "RUNNING"}
PAGE = {"page": 1, "total_page": 1, "count": 0}

CALLS = {
    "create_ticket": Wire(
        build=lambda: calls.create_ticket(creator="alice", fields={"title": "t"}, service_id=7),
        path="create_ticket/",
        sent={"service_id": 7, "creator": "alice", "fields": [{"key": "title", "value": "t"}]},
        data=SN,
        read=models.CreatedTicket,
        is_write=True,
    ),
    "get_ticket_status": Wire(
        build=lambda: calls.get_ticket_status("REQ1"),
        method="GET",
        path="get_ticket_status/",
        sent=SN,
        data=STATUS,
        read=models.TicketStatus,
    ),
    "get_ticket_info": Wire(
        build=lambda: calls.get_ticket_info("REQ1"),
        method="GET",
        path="get_ticket_info/",
        sent=SN,
        data=SN | STATUS | {"create_at": "2026-11-24 08:48:44"},
        read=models.TicketInfo,
    ),
    "get_ticket_logs": Wire(
        build=lambda: calls.get_ticket_logs("REQ1"),
        method="GET",
        path="get_ticket_logs/",
        sent=SN | {"show_type": "complex"},
        data=SN,
        read=models.TicketLogs,
    ),
    "get_tickets": Wire(
        build=lambda: calls.get_tickets(tag="t", page=2, page_size=5),
        path="get_tickets/",
        sent={"tag": "t", "page": 2, "page_size": 5},
        data=PAGE,
        read=models.TicketPage,
    ),
    "get_tickets_by_user": Wire(
        build=lambda: calls.get_tickets_by_user(user="alice", view_type="my_todo", page=0, page_size=0),
        method="GET",
        path="get_tickets_by_user/",
        esb=None,
        sent={"user": "alice", "view_type": "my_todo", "page": "1", "page_size": "1"},
        data=PAGE,
        read=models.PageOfUser,
    ),
    "ticket_approval_result": Wire(
        build=lambda: calls.ticket_approval_result(["REQ1", "REQ2", "REQ1"]),
        path="ticket_approval_result/",
        sent={"sn": ["REQ1", "REQ2"]},
        data=[SN | STATUS | {"approve_result": False}],
        read=models.ApprovalResult,
        verified=True,
    ),
    "token_verify": Wire(
        build=lambda: calls.token_verify("abc"),
        path="token/verify/",
        sent={"token": "abc"},
        data={"is_passed": True},
        read=models.TokenVerification,
    ),
    "callback_failed_ticket": Wire(
        build=calls.callback_failed_ticket,
        method="GET",
        path="callback_failed_ticket/",
        sent=None,
        data=["REQ1"],
        read=str,
        verified=True,
    ),
    "operate_ticket": Wire(
        build=lambda: calls.operate_ticket(
            sn="REQ1", action_type="WITHDRAW", operator="alice", action_message="too late"
        ),
        path="operate_ticket/",
        sent=SN | {"action_type": "WITHDRAW", "operator": "alice", "action_message": "too late"},
        is_write=True,
    ),
    "operate_node": Wire(
        build=lambda: calls.operate_node(sn="REQ1", state_id=15, operator="alice", fields={"a": "true"}),
        path="operate_node/",
        sent=SN
        | {"state_id": 15, "operator": "alice", "action_type": "TRANSITION"}
        | {"fields": [{"key": "a", "value": "true"}]},
        is_write=True,
    ),
    "approve": Wire(
        build=lambda: calls.approve(sn="REQ1", state_id=15, approver="alice", approved=True),
        path="approve/",
        esb=None,
        sent=SN | {"state_id": 15, "approver": "alice", "action": "true", "remark": ""},
        is_write=True,
        verified=True,
    ),
    "comment_ticket": Wire(
        build=lambda: calls.comment_ticket(sn="REQ1", stars=5, operator="alice"),
        path="comment/",
        esb="comment_ticket/",
        sent=SN | {"stars": 5, "operator": "alice", "comments": ""},
        is_write=True,
        verified=True,
    ),
    "get_approver": Wire(
        build=lambda: calls.get_approver("REQ1", 15),
        method="GET",
        path="get_approver/",
        esb=None,
        sent=STEP,
        data={"approver": "alice"},
        read=models.Approver,
    ),
    "get_approve_node_result": Wire(
        build=lambda: calls.get_approve_node_result("REQ1", 15),
        method="GET",
        path="get_approve_node_result/",
        esb=None,
        sent=STEP,
        data={"approve_result": True},
        read=models.ApproveNodeResult,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_sent_as_itsm_knows_it(name):
    CALLS[name].check()


def test_only_approval_results_may_be_asked_for_in_pieces():
    assert {name: one.build().batch for name, one in CALLS.items() if one.build().batch} == {
        "ticket_approval_result": "sn"
    }


def _refused(name: str) -> Any:
    return pytest.raises(errors.ItsmInvalidRequestError, match=rf"^{name} must not be empty")


def test_what_is_empty_is_named_as_its_parameter():
    operation = {"sn": "REQ1", "action_type": "WITHDRAW", "operator": "a", "action_message": "m"}
    for name in ("operator", "action_message"):
        with _refused(name):
            calls.operate_ticket(**(operation | {name: " "}))
    with _refused("operator"):
        calls.operate_node(sn="REQ1", state_id=15, operator="")
    with _refused("operator"):
        calls.comment_ticket(sn="REQ1", stars=5, operator="")
    with _refused("approver"):
        calls.approve(sn="REQ1", state_id=15, approver="", approved=True)
    with _refused("user"):
        calls.get_tickets_by_user(user="", view_type="my_todo")
    with _refused("sn"):
        calls.get_ticket_status("")
    for name in ("creator", "tag"):
        with _refused(name):
            calls.create_ticket(**({"creator": "a", "fields": FIELDS, "service_id": 7} | {name: ""}))


def test_create_ticket_sends_only_what_was_given():
    call = calls.create_ticket(creator="alice", fields=FIELDS, service_id=7, tag="a" * 32)
    assert (call.method, call.path, call.is_write) == ("POST", "create_ticket/", True)
    assert call.body == {
        "service_id": 7,
        "creator": "alice",
        "fields": [{"key": "title", "value": "t"}, {"key": "APPROVER", "value": "alice,bob"}],
        "tag": "a" * 32,
    }


def test_fast_approval_sends_no_service_and_never_the_text_false():
    body = calls.create_ticket(creator="alice", fields=FIELDS, service_id=7, fast_approval=True).body
    assert body is not None
    assert body["fast_approval"] is True
    assert "service_id" not in body
    assert "fast_approval" not in (calls.create_ticket(creator="a", fields=FIELDS, service_id=7).body or {})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"creator": ""}, "creator must not be empty"),
        ({"creator": "  "}, "creator must not be empty"),
        ({"fields": {}}, "a ticket needs a title, as text"),
        ({"fields": {"title": ""}}, "title must not be empty"),
        ({"fields": {"title": 5}}, "a ticket needs a title, as text"),
        ({"fields": {"title": "x" * 129}}, "title has 129 characters, ITSM takes at most 128"),
        ({"service_id": None}, "create_ticket needs a service_id or fast_approval"),
        ({"tag": ""}, "tag must not be empty"),
        ({"tag": "a" * 33}, "tag has 33 characters, ITSM takes at most 32"),
        ({"meta": []}, "meta must be an object"),
        ({"meta": {"callback_url": ""}}, "meta.callback_url must be an http or https URL"),
        ({"meta": {"callback_url": 5}}, "meta.callback_url must be an http or https URL"),
        ({"meta": {"callback_url": "airflow.example.com/back"}}, "meta.callback_url must be an http or https URL"),
        (
            {"meta": {"callback_url": "ftp://airflow.example.com/back"}},
            "meta.callback_url must be an http or https URL",
        ),
        ({"meta": {"callback_url": "http:///back"}}, "meta.callback_url must be an http or https URL"),
        ({"meta": {"callback_url": "http://x:0/back"}}, "meta.callback_url must be an http or https URL"),
        ({"meta": {"callback_url": "http://x:99999/back"}}, "meta.callback_url must be an http or https URL"),
        ({"meta": {"callback_url": "http://[::1"}}, "meta.callback_url must be an http or https URL"),
        ({"meta": {"headers": []}}, "meta.headers must map latin-1 texts to latin-1 texts"),
        ({"meta": {"headers": {"X-Number": 5}}}, "meta.headers must map latin-1 texts to latin-1 texts"),
        ({"meta": {"headers": {"X-Name": "\u0100"}}}, "meta.headers must map latin-1 texts to latin-1 texts"),
        (
            {"meta": {"headers": {"X-Name": "\u7533\u8bf7"}}},
            "meta.headers must map latin-1 texts to latin-1 texts",
        ),
        (
            {"meta": {"headers": {"X-Name": "a\r\nX-Other: b"}}},
            "meta.headers must map latin-1 texts to latin-1 texts",
        ),
        (
            {"meta": {"headers": {"X-Name": "a\nX-Other: b"}}},
            "meta.headers must map latin-1 texts to latin-1 texts",
        ),
        (
            {"meta": {"headers": {"X-Name": "a\rX-Other: b"}}},
            "meta.headers must map latin-1 texts to latin-1 texts",
        ),
        ({"meta": {"headers": {"X-Name": " a"}}}, "meta.headers must map latin-1 texts to latin-1 texts"),
        ({"meta": {"headers": {"\u540d": "a"}}}, "meta.headers must map latin-1 texts to latin-1 texts"),
        ({"meta": {"headers": {"": "a"}}}, "meta.headers must map latin-1 texts to latin-1 texts"),
        ({"meta": {"state_processors": []}}, "meta.state_processors must map state ids to names"),
        ({"meta": {"state_processors": {"15": ""}}}, "meta.state_processors must map state ids to names"),
        ({"meta": {"state_processors": {"15": " "}}}, "meta.state_processors must map state ids to names"),
        ({"meta": {"state_processors": {" ": "alice"}}}, "meta.state_processors must map state ids to names"),
        ({"meta": {"state_processors": {"15": []}}}, "meta.state_processors must map state ids to names"),
        (
            {"meta": {"state_processors": {"15": "a b"}}},
            "meta.state_processors[15]: 'a b' cannot be a person's name",
        ),
        ({"dynamic_fields": ["x"]}, "dynamic_fields[0] needs a type, one of STRING, INT, LINK"),
        ({"dynamic_fields": [DYNAMIC, DYNAMIC | {"name": ""}]}, "dynamic_fields[1].name must not be empty"),
        ({"dynamic_fields": [DYNAMIC | {"name": "n" * 33}]}, "dynamic_fields[0].name has 33 characters"),
        (
            {"dynamic_fields": [DYNAMIC | {"type": "TEXT"}]},
            "dynamic_fields[0] needs a type, one of STRING, INT, LINK",
        ),
        (
            {"dynamic_fields": [DYNAMIC | {"type": ["INT"]}]},
            "dynamic_fields[0] needs a type, one of STRING, INT, LINK",
        ),
        ({"dynamic_fields": [DYNAMIC | {"value": 5}]}, "dynamic_fields[0].value must not be empty"),
        ({"dynamic_fields": [DYNAMIC | {"value": "v" * 256}]}, "dynamic_fields[0].value has 256 characters"),
        ({"dynamic_fields": [DYNAMIC | {"meta": "m"}]}, "dynamic_fields[0].meta must be an object"),
    ],
)
def test_what_itsm_would_refuse_is_named_and_not_sent(wrong, named):
    good = {"creator": "alice", "fields": FIELDS, "service_id": 7}
    with pytest.raises(errors.ItsmInvalidRequestError) as caught:
        calls.create_ticket(**(good | wrong))
    assert str(caught.value).startswith(named)
    assert str(caught.value).endswith(("no ticket was opened", "nothing was sent", "nothing was sent to ITSM"))


@pytest.mark.parametrize("kind", ["STRING", "INT", "LINK"])
def test_a_field_beside_the_form_may_be_as_large_as_itsm_takes_it(kind):
    largest = {"name": "n" * 32, "type": kind, "value": "v" * 255, "meta": {}}
    call = calls.create_ticket(creator="alice", fields=FIELDS, service_id=7, dynamic_fields=[largest])
    assert (call.body or {})["dynamic_fields"] == [largest]


def test_what_itsm_takes_beside_the_form_is_sent():
    meta = {
        "callback_url": "https://x:8443/back?s=1",
        "headers": {"X-Name": "caf\u00ff", "X-Empty": ""},
        "state_processors": {15: "alice,bob"},
        "own": {"any": [1]},
        "envs": None,
    }
    call = calls.create_ticket(
        creator="alice", fields=FIELDS, service_id=7, operator="bob", meta=meta, dynamic_fields=[DYNAMIC]
    )
    body = call.body or {}
    assert body["meta"] == {key: value for key, value in meta.items() if key != "envs"}
    assert (body["operator"], body["dynamic_fields"]) == ("bob", [DYNAMIC])


def test_p8_a_wrong_callback_address_is_not_shown():
    with pytest.raises(errors.ItsmInvalidRequestError) as caught:
        calls.create_ticket(
            creator="a", fields=FIELDS, service_id=7, meta={"callback_url": "x://h/?signature=s3cret"}
        )
    assert "callback_url" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_title_may_have_128_characters():
    calls.create_ticket(creator="alice", fields={"title": "题" * 128}, service_id=7)


@pytest.mark.parametrize("build", [calls.get_ticket_status, calls.get_ticket_info, calls.get_ticket_logs])
def test_reads_of_one_ticket_need_its_number(build):
    assert build("REQ1").params["sn"] == "REQ1"
    with pytest.raises(errors.ItsmInvalidRequestError):
        build("")


@pytest.mark.parametrize("sns", [[], [""], ["REQ1", None]])
def test_approval_results_are_never_asked_for_nothing(sns):
    with pytest.raises(errors.ItsmInvalidRequestError, match="at least one ticket number"):
        calls.ticket_approval_result(sns)


def test_approval_results_always_send_a_list():
    assert calls.ticket_approval_result("REQ1").body == {"sn": ["REQ1"]}


def test_p6_tickets_are_never_searched_without_a_filter():
    with pytest.raises(errors.ItsmInvalidRequestError):
        calls.get_tickets()


def test_a_search_speaks_shanghai_time_and_never_switches_paging_off():
    call = calls.get_tickets(tag="x", create_at__gte=datetime(2026, 11, 24, 16, tzinfo=UTC), page_size=0)
    assert call.body == {"tag": "x", "create_at__gte": "2026-11-25 00:00:00", "page": 1, "page_size": 1}


def test_an_operation_carries_a_message_of_at_most_255_characters():
    call = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="alice", action_message="m" * 300)
    assert call.is_write
    assert len((call.body or {})["action_message"]) == 255
    with pytest.raises(errors.ItsmInvalidRequestError):
        calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="alice", action_message="")
    with pytest.raises(ValueError, match="APPROVE"):
        calls.operate_ticket(sn="REQ1", action_type="APPROVE", operator="alice", action_message="m")


@pytest.mark.parametrize(("approved", "action"), [(True, "true"), (False, "false")])
def test_a_decision_is_sent_as_text_never_as_a_json_boolean(approved, action):
    call = calls.approve(sn="REQ1", state_id=15, approver="alice", approved=approved, remark="r")
    assert (call.body or {})["action"] == action


def test_a_steps_form_is_sent_as_a_list():
    call = calls.operate_node(sn="REQ1", state_id=15, operator="alice", fields={"a": "true", "b": ""})
    assert (call.body or {})["fields"] == [{"key": "a", "value": "true"}, {"key": "b", "value": ""}]
    handed_over = calls.operate_node(
        sn="REQ1", state_id=15, operator="alice", action_type="DELIVER", processors="bob"
    )
    assert "fields" not in (handed_over.body or {})


@pytest.mark.parametrize("stars", range(1, 7))
def test_a_comment_has_one_to_six_stars_and_at_most_255_characters(stars):
    call = calls.comment_ticket(sn="REQ1", stars=stars, operator="x" * 16, comments="c" * 300)
    assert call.body == {"sn": "REQ1", "stars": stars, "operator": "x" * 16, "comments": "c" * 255}


def test_a_wrong_number_of_stars_is_named():
    with pytest.raises(errors.ItsmInvalidRequestError, match="not 7; nothing was sent"):
        calls.comment_ticket(sn="REQ1", stars=7, operator="alice")


@pytest.mark.parametrize("wrong", [{"stars": 0}, {"stars": 7}, {"operator": "x" * 17}, {"operator": ""}])
def test_a_comment_itsm_would_refuse_is_not_sent(wrong):
    with pytest.raises(errors.ItsmInvalidRequestError):
        calls.comment_ticket(**({"sn": "REQ1", "stars": 5, "operator": "alice"} | wrong))


def test_a_persons_tickets_are_asked_for_by_a_known_view():
    call = calls.get_tickets_by_user(user="alice", view_type="my_todo", service_id=7)
    assert call.params == {
        "user": "alice",
        "view_type": "my_todo",
        "service_id": "7",
        "page": "1",
        "page_size": "100",
    }
    with pytest.raises(ValueError, match="everything"):
        calls.get_tickets_by_user(user="alice", view_type="everything")


def test_a_list_of_texts_in_a_form_is_sent_as_itsm_spells_it():
    form = {"title": "t", "approver": ["alice", "bob"], "rows": [{"a": "b"}], "none": []}
    call = calls.create_ticket(creator="robot", service_id=12, fields=form)
    sent = {one["key"]: one["value"] for one in call.body["fields"]}
    assert sent == form | {"approver": "alice,bob"}


def sent_form(**more: Any) -> dict[str, Any]:
    body = calls.create_ticket(creator="robot", **({"service_id": 12} | more)).body or {}
    return {one["key"]: one["value"] for one in body["fields"]}


SPELLINGS = [["alice", "bob"], "alice, bob", "alice;bob", "['alice', 'bob']", '["alice","bob"]', "alice，bob"]


@pytest.mark.parametrize("people", SPELLINGS)
@pytest.mark.parametrize("fast_approval", [True, False])
def test_p3_approvers_are_asked_in_any_spelling_whatever_the_service(people, fast_approval):
    form = {"title": "a, b", "APPROVER": people}
    assert sent_form(fields=form, fast_approval=fast_approval) == {"title": "a, b", "APPROVER": "alice,bob"}


@pytest.mark.parametrize("people", SPELLINGS)
def test_p3_whole_field_objects_say_which_of_them_are_people(people):
    form = [
        {"key": "title", "type": "STRING", "value": "t"},
        {"key": "reviewers", "type": "MEMBERS", "value": people, "name": "Reviewers"},
        {"key": "owner", "type": "MEMBER", "value": " alice "},
        {"key": "note", "type": "STRING", "value": "alice, bob"},
    ]
    sent = {"title": "t", "reviewers": "alice,bob", "owner": "alice", "note": "alice, bob"}
    assert sent_form(fields=form) == sent_form(fields=str(form)) == sent


def test_a_field_that_says_it_is_text_is_text():
    form = [{"key": "title", "value": "t"}, {"key": "APPROVER", "type": "STRING", "value": "Alice, then Bob"}]
    assert sent_form(fields=form)["APPROVER"] == "Alice, then Bob"


def test_one_person_is_not_two():
    form = [{"key": "title", "value": "t"}, {"key": "owner", "type": "MEMBER", "value": "alice,bob"}]
    with pytest.raises(errors.ItsmInvalidRequestError, match="owner takes one person, not 2: alice, bob"):
        sent_form(fields=form)


ACTS = {
    "creator": lambda who: calls.create_ticket(creator=who, fields=FIELDS, service_id=7),
    "operator": lambda who: calls.operate_ticket(
        sn="REQ1", action_type="WITHDRAW", operator=who, action_message="m"
    ),
    "approver": lambda who: calls.approve(sn="REQ1", state_id=1, approver=who, approved=True),
}


@pytest.mark.parametrize("role", ACTS)
def test_who_acts_is_one_person_in_any_spelling(role):
    for spelling in ("alice", " alice ", ["alice"], '["alice"]', "alice,", "alice,alice"):
        assert (ACTS[role](spelling).body or {})[role] == "alice"
    for wrong, reason in (
        ("alice,bob", f"{role} takes one person, not 2: alice, bob"),
        ("alice(Alice)", f"{role}: 'alice(Alice)' cannot be a person's name, .*login name only: alice"),
        ([], f"{role} must not be empty"),
    ):
        with pytest.raises(errors.ItsmInvalidRequestError, match=reason.replace("(", r"\(").replace(")", r"\)")):
            ACTS[role](wrong)


def test_people_in_a_steps_form_are_asked_in_any_spelling():
    form = [{"key": "next", "type": "MEMBERS", "value": "alice, bob"}]
    call = calls.operate_node(sn="REQ1", state_id=15, operator=["alice"], fields=form)
    assert (call.body or {})["fields"] == [{"key": "next", "value": "alice,bob"}]
    assert (call.body or {})["operator"] == "alice"
