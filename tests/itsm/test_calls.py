"""What is sent, and what is refused before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.itsm import calls, errors

FIELDS = {"title": "t", "APPROVER": "alice,bob"}
DYNAMIC = {"name": "n" * 32, "type": "INT", "value": "5"}


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
    "wrong",
    [
        {"creator": ""},
        {"creator": "  "},
        {"fields": {}},
        {"fields": {"title": ""}},
        {"fields": {"title": 5}},
        {"fields": {"title": "x" * 129}},
        {"service_id": None},
        {"tag": ""},
        {"tag": "a" * 33},
        {"meta": []},
        {"meta": {"callback_url": ""}},
        {"meta": {"callback_url": 5}},
        {"meta": {"callback_url": "airflow.example.com/back"}},
        {"meta": {"callback_url": "ftp://airflow.example.com/back"}},
        {"meta": {"callback_url": "http:///back"}},
        {"meta": {"callback_url": "http://x:99999/back"}},
        {"meta": {"callback_url": "http://[::1"}},
        {"meta": {"headers": []}},
        {"meta": {"headers": {"X-Number": 5}}},
        {"meta": {"headers": {"X-Name": "\u7533\u8bf7"}}},
        {"meta": {"headers": {"X-Name": "a\r\nX-Other: b"}}},
        {"meta": {"headers": {"\u540d": "a"}}},
        {"meta": {"headers": {"": "a"}}},
        {"meta": {"state_processors": []}},
        {"meta": {"state_processors": {"15": ""}}},
        {"meta": {"state_processors": {"15": " "}}},
        {"meta": {"state_processors": {"15": ["alice"]}}},
        {"dynamic_fields": ["x"]},
        {"dynamic_fields": [DYNAMIC | {"name": ""}]},
        {"dynamic_fields": [DYNAMIC | {"name": "n" * 33}]},
        {"dynamic_fields": [DYNAMIC | {"type": "TEXT"}]},
        {"dynamic_fields": [DYNAMIC | {"type": ["INT"]}]},
        {"dynamic_fields": [DYNAMIC | {"value": 5}]},
        {"dynamic_fields": [DYNAMIC | {"value": "v" * 256}]},
        {"dynamic_fields": [DYNAMIC | {"meta": "m"}]},
    ],
)
def test_what_itsm_would_refuse_is_not_sent(wrong):
    good = {"creator": "alice", "fields": FIELDS, "service_id": 7}
    with pytest.raises(errors.ItsmInvalidRequestError):
        calls.create_ticket(**(good | wrong))


def test_what_itsm_takes_beside_the_form_is_sent():
    meta = {
        "callback_url": "https://x:8443/back?s=1",
        "headers": {"X-Name": "caf\u00e9", "X-Empty": ""},
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
    with pytest.raises(errors.ItsmInvalidRequestError):
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
