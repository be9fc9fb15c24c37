# SPDX-License-Identifier: Apache-2.0
"""Conformance cases about opening tickets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import FAST_APPROVAL
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.conformance.conftest import plain, refusal

FORM = {"title": "t", "APPROVER": "admin", "APPROVAL_CONTENT": "c"}


def body(fields: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    pairs = [{"key": key, "value": value} for key, value in (FORM if fields is None else fields).items()]
    return {"fast_approval": True, "creator": "carol", "fields": pairs} | more


def both(stage, hook, sent):
    """Return the code over the wire and the client's error of the same body."""
    code = stage.client.post("create_ticket", sent)["code"]
    return code, refusal(lambda: hook.send(plain("create_ticket/", sent, is_write=True)))


def test_case_08_the_built_in_approval(stage, hook):
    answer = stage.client.post("create_ticket", body())
    assert answer["code"] == 0
    assert set(answer["data"]) == {"sn", "id", "ticket_url"}
    made = hook.create_ticket(creator="carol", fields=FORM, fast_approval=True)
    assert made.sn.startswith("REQ20")
    assert made.ticket_url
    assert made.id == answer["data"]["id"] + 1


def test_case_09_the_same_twice_makes_two(stage, hook):
    numbers = {hook.create_ticket(creator="carol", fields=FORM, fast_approval=True).sn for _ in range(2)}
    assert len(numbers) == 2


REFUSED = {
    10: [(body({}), 3900004, errors.ItsmRefusedError)],
    11: [
        (body({"title": "t", "APPROVER": "a"}), 3900003, errors.ItsmInvalidRequestError),
        (body(FORM | {"APPROVER": ""}), 3900003, errors.ItsmInvalidRequestError),
    ],
    12: [(body(FORM | {"NOPE": "x"}), 3900003, errors.ItsmInvalidRequestError)],
    13: [(body(FORM | {"title": "x" * 129}), 3900003, errors.ItsmInvalidRequestError)],
    14: [(body(fast_approval=None, service_id=99999), 3900004, errors.ItsmRefusedError)],
    15: [(body(creator=""), 3900004, errors.ItsmRefusedError)],
}


@pytest.mark.parametrize("case", REFUSED, ids="case_{}_a_form_that_is_refused".format)
def test_refused(stage, hook, case):
    for sent, code, error in REFUSED[case]:
        assert both(stage, hook, sent) == (code, error)
    assert stage.server.tickets() == []


def test_case_10_the_message_is_the_missing_key(stage):
    assert stage.client.post("create_ticket", {"fast_approval": True, "creator": "c"})["message"].endswith(
        "'title'"
    )


def test_case_13_a_title_of_128_is_taken(stage, hook):
    long = FORM | {"title": "x" * 128}
    assert hook.create_ticket(creator="carol", fields=long, fast_approval=True).sn
    with pytest.raises(errors.ItsmInvalidRequestError, match="nothing was sent"):
        hook.create_ticket(creator="carol", fields=FORM | {"title": "x" * 129}, fast_approval=True)


def test_case_16_a_service_by_number_or_text(stage, hook):
    for number in (FAST_APPROVAL, str(FAST_APPROVAL)):
        sn = hook.create_ticket(creator="carol", fields=FORM, service_id=number).sn
        assert hook.get_ticket_info(sn).service_id == FAST_APPROVAL


def test_case_17_the_text_false_is_true(stage, hook):
    assert both(stage, hook, body(fast_approval="false", service_id=99999)) == (0, None)
    assert {one["service_id"] for one in stage.server.tickets()} == {FAST_APPROVAL}


def test_case_18_bad_dynamic_fields_leave_an_orphan(stage, hook):
    sent = body(dynamic_fields=[{"name": "n", "type": "BOGUS", "value": "v"}])
    assert both(stage, hook, sent) == (3900004, errors.ItsmRefusedError)
    for ticket in stage.server.tickets():
        status = hook.get_ticket_status(ticket["sn"])
        assert (status.current_status, status.current_steps) == ("RUNNING", ())


def test_case_19_a_lost_answer_is_found_by_its_tag(stage, hook):
    stage.server.fault("create_ticket", "drop_answer")
    lost = refusal(lambda: hook.create_ticket(creator="carol", fields=FORM, fast_approval=True, tag="mine"))
    assert lost is errors.ItsmOutcomeUnknownError
    found = stage.client.post("get_tickets", {"tag": "mine"})["data"]
    assert found["count"] == 1
    assert "tag" not in found["items"][0]
    assert [one.sn for one in hook.get_tickets(tag="mine").items] == [found["items"][0]["sn"]]
    assert hook.get_tickets(tag="other", create_at__gte=datetime(2020, 1, 1, tzinfo=UTC)).count == 0


def test_case_62_while_the_worker_is_down(stage, hook):
    stage.server.stop_worker()
    sn = hook.create_ticket(creator="carol", fields=FORM, fast_approval=True).sn
    status = hook.get_ticket_status(sn)
    assert (status.current_status, status.current_steps) == ("RUNNING", ())
    withdrawal = {"sn": sn, "action_type": "WITHDRAW", "operator": "carol", "action_message": "m"}
    assert stage.client.post("operate_ticket", withdrawal)["code"] == 3900004
    assert refusal(lambda: hook.operate_ticket(**withdrawal)) is errors.ItsmRefusedError


def test_case_63_while_the_broker_is_down(connections, receiver):
    with SandboxServer(Settings(start_delay=0)) as server:
        server.stop_worker()
        server.fault("create_ticket", "drop_answer")
        with pytest.raises(requests.ConnectionError):
            requests.post(f"{server.itsm_url}/create_ticket/", json=body(), headers=server.headers(), timeout=10)
        assert [one["status"] for one in server.tickets()] == ["RUNNING"]
