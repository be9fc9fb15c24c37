# SPDX-License-Identifier: Apache-2.0
"""Conformance cases about deciding, operating on and commenting tickets."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import DELIVERABLE, NOT_REVOCABLE
from tests.conformance.conftest import plain, refusal
from tests.sandbox.client import OPINION, REFUSAL, REMARK

YES = {OPINION: "true", REMARK: "", REFUSAL: ""}
OPEN = ("RUNNING", False)


def answered(hook, sn, values, operator="admin", **more):
    return refusal(lambda: hook.operate_node(sn=sn, state_id=15, operator=operator, fields=values, **more))


def operated(hook, sn, action, operator="admin"):
    return refusal(lambda: hook.operate_ticket(sn=sn, action_type=action, operator=operator, action_message="m"))


def test_case_34_a_json_true_is_refused(stage, hook):
    sn = stage.opened()
    assert stage.client.answer(sn, {OPINION: True, REFUSAL: "x"}, operator="admin")["code"] == 3900004
    assert answered(hook, sn, {OPINION: True, REFUSAL: "x"}) is errors.ItsmRefusedError
    assert stage.client.verdict(sn) == OPEN


def test_case_35_an_approval_needs_the_refusals_remark_even_blank(stage, hook):
    sn = stage.opened()
    assert stage.client.answer(sn, {OPINION: "true"}, operator="admin")["code"] == 3900005
    assert answered(hook, sn, {OPINION: "true"}) is errors.ItsmInvalidRequestError
    assert answered(hook, sn, {OPINION: "true", REFUSAL: ""}) is None
    assert stage.client.verdict(sn) == ("FINISHED", True)


def test_case_36_a_stranger_or_too_late(stage, hook):
    sn = stage.opened()
    assert stage.client.answer(sn, YES, operator="stranger")["code"] == 3900004
    assert answered(hook, sn, YES, operator="stranger") is errors.ItsmRefusedError
    stage.server.approve(sn)
    assert stage.client.answer(sn, YES, operator="admin")["code"] == 3900004
    assert answered(hook, sn, YES) is errors.ItsmRefusedError


def test_case_37_terminating_a_step_always_fails(stage, hook):
    sn = stage.of(DELIVERABLE)
    more = {"action_type": "TERMINATE", "action_message": "m"}
    assert stage.client.answer(sn, {}, operator="admin", state_id=80, **more)["code"] == 3900004
    call = {"sn": sn, "state_id": 80, "operator": "admin", **more}
    assert refusal(lambda: hook.operate_node(**call)) is errors.ItsmRefusedError
    assert stage.client.verdict(sn) == OPEN


def test_case_38_p3_approve_takes_a_json_true_for_a_refusal(stage, hook):
    sn = stage.opened()
    said = {"sn": sn, "state_id": 15, "approver": "admin", "action": True, "remark": "r"}
    assert stage.client.post("approve", said)["data"] == []
    assert stage.client.verdict(sn) == ("FINISHED", False)
    other = stage.opened()
    hook.approve(sn=other, state_id=15, approver="admin", approved=True)
    assert stage.client.verdict(other) == ("FINISHED", True), "the client sends the text"


def test_case_39_a_message_is_mandatory(stage, hook):
    sn = stage.opened()
    said = {"sn": sn, "action_type": "WITHDRAW", "operator": "admin"}
    assert stage.client.post("operate_ticket", said)["code"] == 3900004
    assert refusal(lambda: hook.send(plain("operate_ticket/", said, is_write=True))) is errors.ItsmRefusedError
    with pytest.raises(errors.ItsmInvalidRequestError):
        hook.operate_ticket(**said, action_message="")
    assert stage.client.verdict(sn) == OPEN


def test_case_40_withdrawn_by_the_creator(stage, hook):
    seen = []
    stage.receiver.meanwhile = lambda got: seen.append(got.body["current_status"])
    sn = stage.opened(creator="carol", meta={"callback_url": stage.receiver.url})
    assert operated(hook, sn, "WITHDRAW", "carol") is None
    assert seen == ["REVOKED"], "told before the call is answered"
    assert stage.client.verdict(sn) == ("REVOKED", False)


def test_case_41_withdrawn_by_another(stage, hook):
    sn = stage.opened(creator="carol")
    assert stage.client.operate(sn, "WITHDRAW", "bob")["code"] == 3900004
    assert operated(hook, sn, "WITHDRAW", "bob") is errors.ItsmRefusedError
    assert operated(hook, sn, "WITHDRAW", "admin") is None


def test_case_42_withdrawn_twice_or_too_late(stage, hook):
    for sn in (stage.operated("WITHDRAW"), stage.approved()):
        assert stage.client.operate(sn, "WITHDRAW", "admin")["code"] == 3900004
        assert operated(hook, sn, "WITHDRAW") is errors.ItsmRefusedError


def test_case_43_a_flow_that_cannot_be_withdrawn(stage, hook):
    sn = stage.of(NOT_REVOCABLE)
    assert stage.client.operate(sn, "WITHDRAW", "admin")["code"] == 3900004
    assert operated(hook, sn, "WITHDRAW") is errors.ItsmRefusedError


def test_case_44_terminated(stage, hook):
    sn = stage.opened(meta={"callback_url": stage.receiver.url})
    assert stage.client.operate(sn, "TERMINATE", "stranger")["code"] == 3900004
    assert operated(hook, sn, "TERMINATE", "stranger") is errors.ItsmRefusedError
    assert operated(hook, sn, "TERMINATE") is None
    assert stage.client.verdict(sn) == ("TERMINATED", False)
    assert stage.receiver.wait().body["current_status"] == "TERMINATED"


def test_case_45_a_suspended_ticket_can_be_approved(stage, hook):
    sn = stage.opened()
    assert operated(hook, sn, "SUSPEND") is None
    assert answered(hook, sn, YES) is None
    assert stage.client.verdict(sn) == ("FINISHED", True)


def test_case_46_suspended_twice_it_stays_so(stage, hook):
    sn = stage.opened()
    for action in ("SUSPEND", "SUSPEND", "UNSUSPEND"):
        assert operated(hook, sn, action) is None
    assert stage.client.verdict(sn) == ("SUSPENDED", False)


def test_case_47_resumed_without_being_suspended(stage, hook):
    sn = stage.opened()
    assert stage.client.operate(sn, "UNSUSPEND", "admin")["code"] == 3900004
    assert operated(hook, sn, "UNSUSPEND") is errors.ItsmRefusedError


def test_case_57_comments(stage, hook):
    running, finished = stage.opened(), stage.approved()

    def comment(sn, stars=5):
        return stage.client.post("comment", {"sn": sn, "stars": stars, "operator": "admin", "comments": "c"})[
            "code"
        ]

    assert (comment(running), comment(finished, 0)) == (3900005, 3900004)
    late = refusal(lambda: hook.comment_ticket(sn=running, stars=5, operator="admin"))
    assert late is errors.ItsmInvalidRequestError
    hook.comment_ticket(sn=finished, stars=5, operator="admin")
    assert comment(finished) == 3900005
    assert hook.get_ticket_info(finished).is_commented is True
