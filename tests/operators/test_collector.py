# SPDX-License-Identifier: Apache-2.0
"""A collector's way through its approval, step by step, against both platforms."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_bkitsm.collectors import errors as collectors
from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.form import collector_detail, digests_in
from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.tables import collector_table
from airflow_provider_bkitsm.hooks.bklog import BkLogCollectorNotFoundError, BkLogError
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import LOG_BUILT_IN, LOG_COLLECTOR, NOT_REVOCABLE
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.times import shanghai
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

CLEAN = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
KEY = ("bklog_default", 1001)


class Flow:
    """The three operators as tasks of one run; waiting for the decision is not theirs."""

    def __init__(self, sandbox, task, run_id: str = "run_1") -> None:
        self.sandbox, self._task, self.run_id = sandbox, task, run_id

    def _run(self, kind: type, task_id: str, **parameters: Any) -> Any:
        common = {"collector_config_id": "1001", "bk_biz_id": "2"}
        operator = kind(task_id=task_id, **(common | parameters))
        return operator.execute(self._task(task_id, run_id=self.run_id).context)

    def apply(self, **parameters: Any) -> str:
        known = {"clean_config": CLEAN, "approvers": ["alice", "bob"], "reason": "new service"}
        return self._run(CollectorApplyOperator, "apply", **(known | parameters))

    def provision(self, **parameters: Any) -> Any:
        return self._run(CollectorProvisionEtlOperator, "provision", **parameters)

    def complete(self, **parameters: Any) -> Any:
        return self._run(CollectorCompleteOperator, "complete", **parameters)

    @property
    def row(self):
        return open_store().get(*KEY)


@pytest.fixture
def flow(sandbox, connections, task) -> Flow:
    return Flow(sandbox, task)


def test_the_whole_way(flow, sandbox):
    sn = flow.apply()
    assert (flow.row.state, flow.row.ticket_sn) == ("applying", sn)
    sandbox.approve(sn)
    assert flow.provision()["table_id"] == "2_bklog.app_runtime"
    assert flow.row.state == "applying"
    assert flow.complete()["state"] == "success_apply"
    assert flow.complete()["state"] == "success_apply"


def test_p3_another_installations_application_releases_nothing_here(flow, sandbox, task, monkeypatch):
    """They share DAGs, run ids and a store: what staging was allowed is not provisioned by production."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example.com")
    sandbox.approve(flow.apply())
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    before = flow.row
    for step in (flow.apply, flow.provision, flow.complete):
        with pytest.raises(AirflowFailException, match=r"is of another Airflow.*https://staging\.example\.com"):
            step()
    assert (flow.row, len(sandbox.tickets())) == (before, 1)
    assert not sandbox.collector(1001)["table_id"]
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example.com")
    assert flow.provision()["table_id"] == "2_bklog.app_runtime"


def test_p3_a_policy_that_the_connection_loosened_after_asking_provisions_nothing(flow, sandbox, reconnect):
    sn = flow.apply(service_id="单级审批")
    sandbox.wait_for_step(sn)
    sandbox.finish_without_evidence(sn)
    reconnect(require_evidence=False)
    with pytest.raises(AirflowFailException, match="verdict policy was another one when the ticket was asked for"):
        flow.provision()


def test_the_log_of_the_etl_task_says_who_approved_and_what_was_written(flow, sandbox, capsys):
    sandbox.approve(flow.apply(), remark="go")
    flow.provision()
    log = capsys.readouterr().out
    assert "is approved (alice approved: go)" in log
    written = "table_id 2_bklog.app_runtime, etl_config bk_log_text, index_set_id"
    assert f"collector 1001: its ETL is written and read back: {written}" in log


def test_the_approver_sees_who_asks_for_what_and_the_digest(flow, sandbox):
    fields = sandbox.ticket(flow.apply())["fields"]
    assert fields["approvals"] == "alice,bob"
    assert fields["apply_reason"] == "new service"
    assert fields["title"].startswith("【日志采集】2-app-runtime-")
    for shown in (flow.row.etl_digest, "bk_log_text", "/data/"):
        assert shown in json.dumps(fields["collector_detail"], ensure_ascii=False)


@pytest.mark.parametrize(("service_id", "stays_open"), [(LOG_BUILT_IN, True), (LOG_COLLECTOR, False)])
def test_p5_a_ticket_that_cannot_be_withdrawn_is_told_of_at_the_start(
    flow, sandbox, capsys, service_id, stays_open
):
    sn = flow.apply(service_id=service_id)
    log = capsys.readouterr().out
    sandbox.wait_for_step(sn)
    operations = {one["key"] for one in ItsmHook().get_ticket_status(sn).model_dump()["operations"]}
    assert ("WITHDRAW" not in operations) is stays_open
    assert ("its tickets cannot be withdrawn" in log) is stays_open


def test_p7_the_intent_is_stored_before_the_ticket_exists(flow, sandbox):
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        flow.apply()
    assert (flow.row.state, flow.row.ticket_sn, flow.row.etl_payload) == ("applying", None, CLEAN)


def test_p2_a_retry_keeps_the_ticket(flow, sandbox):
    assert flow.apply() == flow.apply(clean_config=CLEAN | {"retention": 30})
    assert len(sandbox.tickets()) == 1
    assert flow.row.etl_payload["retention"] == 7


@pytest.mark.parametrize("looks_fail", [0, 99])
def test_p2_a_lost_answer_costs_no_second_ticket(flow, sandbox, looks_fail):
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=looks_fail)
    if looks_fail:
        with pytest.raises(errors.ItsmUnavailableError):
            flow.apply()
        sandbox.clear_faults()
    assert flow.apply() == sandbox.tickets()[0]["sn"]
    assert len(sandbox.tickets()) == 1


def test_p2_a_create_that_was_lost_before_it_reached_itsm_is_made_up_for(flow, sandbox):
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError, match="looks for it again"):
        flow.apply()
    flow.apply()
    assert len(sandbox.tickets()) == 1


def test_a_ticket_that_itsm_refuses_ends_the_application(flow, sandbox):
    sandbox.fault("create_ticket", "refuse", code=3900003)
    with pytest.raises(errors.ItsmInvalidRequestError):
        flow.apply()
    assert flow.row.state == "fail_apply"
    assert "refused the ticket" in flow.row.last_error
    assert flow.apply() == flow.row.ticket_sn
    assert flow.row.application == 2


def test_p2_a_refusal_that_came_with_an_outage_ends_no_application(flow, sandbox):
    """The ticket may be there all the same."""
    sandbox.fault("create_ticket", "refuse")
    sandbox.fault("get_tickets", "status")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        flow.apply()
    assert flow.row.state == "applying"
    assert flow.apply() == sandbox.tickets()[0]["sn"]
    assert [entry.event for entry in open_store().history(*KEY)] == ["apply", "recreate", "ticket_opened"]


def test_p2_a_number_that_another_collector_has_is_no_conflict(flow, sandbox, task):
    """A sandbox was started anew, or ITSM's counter was: the older ticket's number comes again."""
    others = ("bklog_default", 1002)
    owner = Owner(dag_id="d", run_id="r", task_id="apply")
    open_store().apply(*others, payload=CLEAN, tag="tag", owner=owner)
    number = f"REQ{shanghai(time.time())[:10].replace('-', '')}000001"
    open_store().ticket_opened(*others, tag="tag", sn=number)
    assert flow.apply() == flow.apply() == number
    sandbox.approve(number)
    flow.provision()
    assert flow.complete()["state"] == "success_apply"
    assert open_store().get(*others).outcome is None


def test_p3_the_other_collector_with_that_number_is_not_approved_by_it(flow, sandbox):
    sandbox.approve(flow.apply())
    with open_store()._transactions.begin() as connection:
        # The counter began anew: the number of the first application's ticket is another ticket's now.
        sent = flow.row.request | {"fields": {"title": "of before #00000000"}}
        connection.execute(collector_table.update().values(tag="0" * 32, request=sent))
    with pytest.raises(AirflowFailException, match="not what was sent"):
        flow.provision()


@pytest.mark.parametrize("end", ["approve", "reject", None])
def test_p2_two_itsms_may_give_one_number(sandbox, connections, connect, task, end):
    caller = {"login": "sandbox", "password": "sandbox-secret"}
    two = {"bkitsm_conn_id": "itsm_two", "bklog_conn_id": "bklog_two"}
    with SandboxServer(Settings(start_delay=0.02)) as other:
        connect("itsm_two", conn_type="bkitsm", host=other.itsm_url, extra={"read_retries": 0}, **caller)
        connect("bklog_two", conn_type="bklog", host=other.bklog_url, **caller)
        first, second = Flow(sandbox, task), Flow(other, task, run_id="run_2")
        sn = first.apply()
        assert second.apply(**two) == second.apply(**two) == sn
        assert len(other.tickets()) == 1
        if end is not None:
            getattr(other, end)(sn)
        if end == "approve":
            second.provision(**two)
        ended = second.complete(**two, on_not_approved="pass")
        assert ended["state"] == ("success_apply" if end == "approve" else "fail_apply")
        assert other.ticket(sn)["status"] == ("FINISHED" if end else "REVOKED")
    assert (first.row.state, first.row.outcome) == ("applying", None)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


def test_p6_the_ticket_that_has_its_number_in_another_itsm_is_not_withdrawn(sandbox, connections, connect, task):
    """The connection leads to another ITSM while people decide; there the number is somebody else's ticket."""
    caller = {"login": "sandbox", "password": "sandbox-secret"}
    flow = Flow(sandbox, task)
    sn = flow.apply()
    with SandboxServer(Settings(start_delay=0)) as other:
        connect("bkitsm_default", conn_type="bkitsm", host=other.itsm_url, extra={"read_retries": 0}, **caller)
        form = {"title": "theirs", "APPROVER": "zoe", "APPROVAL_CONTENT": "c"}
        assert ItsmHook().create_ticket(creator="zoe", fields=form, fast_approval=True).sn == sn
        assert flow.complete(on_not_approved="pass")["state"] == "fail_apply"
        assert other.ticket(sn)["status"] == "RUNNING"


def test_p6_a_run_asks_its_own_itsm_about_nobody_elses_ticket(sandbox, connections, connect, task):
    """The holder's number is another, withdrawn ticket in the ITSM of the run that comes second."""
    caller = {"login": "sandbox", "password": "sandbox-secret"}
    with SandboxServer(Settings(start_delay=0.02)) as other:
        connect("itsm_two", conn_type="bkitsm", host=other.itsm_url, extra={"read_retries": 0}, **caller)
        sn = Flow(sandbox, task).apply()
        form = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
        assert ItsmHook("itsm_two").create_ticket(creator="robot", fields=form, fast_approval=True).sn == sn
        other.wait_for_step(sn)
        other.withdraw(sn)
        with pytest.raises(collectors.CollectItsmHasApply):
            Flow(sandbox, task, run_id="run_2").apply(bkitsm_conn_id="itsm_two")
    assert open_store().get(*KEY).state == "applying"


def test_p2_another_run_is_refused_while_one_applies(flow, sandbox, task):
    sn = flow.apply()
    with pytest.raises(collectors.CollectItsmHasApply, match=sn):
        Flow(sandbox, task, run_id="run_2").apply()
    assert len(sandbox.tickets()) == 1


def test_a_collector_that_the_platform_itself_applies_for_is_refused(flow, sandbox):
    sandbox.put_collector(1001, itsm_ticket_status="applying", itsm_ticket_sn="REQ7")
    with pytest.raises(collectors.CollectItsmHasApply, match="REQ7"):
        flow.apply()
    assert sandbox.tickets() == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"collector_config_id": 9999}, BkLogCollectorNotFoundError),
        ({"collector_config_id": "many"}, errors.ItsmConfigurationError),
        ({"collector_config_id": 1004}, errors.ItsmConfigurationError),
        ({"clean_config": {}}, collectors.InvalidCleanConfig),
        ({"clean_config": "nonsense"}, collectors.InvalidCleanConfig),
        ({"clean_config": CLEAN | {"retention": 0}}, collectors.InvalidCleanConfig),
        ({"service_id": 4711}, errors.CollectItsmNotExists),
        ({"approvers": ""}, errors.ItsmInvalidRequestError),
        ({"fields": {"colour": "red"}}, errors.ItsmInvalidRequestError),
        ({"fields": {"title": "x" * 129}}, errors.ItsmInvalidRequestError),
        ({"bkitsm_conn_id": "wrong"}, errors.ItsmAuthenticationError),
        ({"bklog_conn_id": "wrong"}, BkLogError),
        ({"store_conn_id": "down"}, collectors.StoreUnavailable),
    ],
)
def test_bad_input_opens_no_ticket(flow, sandbox, connections, wrong, error):
    connections("wrong", conn_type="bkitsm", host=sandbox.itsm_url, login="sandbox", password="wr0ng")
    connections("down", conn_type="postgres", host="127.0.0.1", port=9, login="u", password="p", schema="s")
    with pytest.raises(error) as caught:
        flow.apply(**wrong)
    assert "wr0ng" not in str(caught.value)
    assert sandbox.tickets() == []


def test_a_payload_may_be_rendered_to_json_text(flow):
    flow.apply(
        clean_config='{"table_id":"t","etl_config":"bk_log_text","storage_cluster_id":3,'
        '"retention":7,"allocation_min_days":0}'
    )
    assert flow.row.etl_payload["table_id"] == "t"


def test_an_open_ticket_whose_number_could_not_be_stored_is_found_again(flow, sandbox, monkeypatch):
    def lost(*_args, **_kwargs):
        raise collectors.StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_bkitsm.collectors.store.CollectorStore.ticket_opened", lost)
        with pytest.raises(collectors.StoreUnavailable, match="is open, but its number could not be stored"):
            flow.apply()
    assert flow.apply() == sandbox.tickets()[0]["sn"]
    assert len(sandbox.tickets()) == 1


@pytest.mark.parametrize("decision", ["reject", "withdraw", "none", "without evidence"])
def test_p3_without_an_approval_the_etl_is_not_touched(flow, sandbox, decision):
    sn = flow.apply()
    if decision == "reject":
        sandbox.reject(sn, remark="too big")
    elif decision == "withdraw":
        sandbox.withdraw(sn)
    elif decision == "without evidence":
        sandbox.finish_without_evidence(sn)
    with pytest.raises(AirflowFailException, match="The ETL was not touched"):
        flow.provision()
    assert sandbox.collector(1001)["table_id"] is None


def test_p3_a_verdict_that_turns_to_yes_later_changes_nothing(flow, sandbox):
    sn = flow.apply()
    sandbox.reject(sn)
    with pytest.raises(AirflowFailException):
        flow.provision()
    open_store().decided(*KEY, sn=sn, outcome="approved")
    with pytest.raises(AirflowFailException):
        flow.provision()
    assert flow.row.outcome == "rejected"


def test_provisioning_twice_does_no_harm(flow, sandbox):
    sandbox.approve(flow.apply())
    assert flow.provision() == flow.provision()


def test_a_collector_stopped_while_people_decided_is_started(flow, sandbox):
    sn = flow.apply()
    sandbox.put_collector(1001, is_active=False)
    sandbox.approve(sn)
    flow.provision()
    assert sandbox.collector(1001)["is_active"]


def test_p3_a_payload_changed_in_the_store_is_refused(flow, sandbox):
    import sqlite3

    from airflow_provider_bkitsm.hooks.store import store_path

    sandbox.approve(flow.apply())
    with sqlite3.connect(store_path()) as database:
        database.execute("UPDATE bkitsm_collector SET etl_payload = replace(etl_payload, '7', '70')")
    now, asked = digest(CLEAN | {"retention": 70}), digest(CLEAN)
    with pytest.raises(AirflowFailException, match=rf"\({now}\) is not the approved one \({asked}\)"):
        flow.provision()
    assert sandbox.collector(1001)["table_id"] is None
    assert open_store().history(*KEY)[-1].detail["reason"].count("sha256:") == 2


def test_p3_a_payload_and_digest_changed_together_are_not_what_the_ticket_shows(flow, sandbox):
    import sqlite3

    from airflow_provider_bkitsm.hooks.store import store_path

    sandbox.approve(flow.apply())
    other = CLEAN | {"retention": 70}
    with sqlite3.connect(store_path()) as database:
        values = (json.dumps(other), digest(other))
        database.execute("UPDATE bkitsm_collector SET etl_payload = ?, etl_digest = ?", values)
    with pytest.raises(AirflowFailException, match=f"does not show {digest(other)}.* but {digest(CLEAN)}"):
        flow.provision()
    assert sandbox.collector(1001)["table_id"] is None


def _in_store(**values: Any) -> None:
    """Change the collector's row as somebody does who can write the store's database."""
    import sqlite3

    from airflow_provider_bkitsm.hooks.store import store_path

    spelled = [one if one is None or isinstance(one, str) else json.dumps(one) for one in values.values()]
    names = ", ".join(f"{name} = ?" for name in values)
    with sqlite3.connect(store_path()) as database:
        database.execute(f"UPDATE bkitsm_collector SET {names}", spelled)


OTHER = CLEAN | {"retention": 70}


@pytest.mark.parametrize("kept", [True, False])
def test_p3_a_digest_in_the_reason_approves_nothing(flow, sandbox, kept):
    sandbox.approve(flow.apply(reason=f"as agreed: {digest(OTHER)}"))
    more = {} if kept else {"request": None}
    _in_store(etl_payload=OTHER, etl_digest=digest(OTHER), **more)
    with pytest.raises(AirflowFailException, match=f"does not show {digest(OTHER)}.* but {digest(CLEAN)}"):
        flow.provision()
    assert sandbox.collector(1001)["table_id"] is None


def test_p3_a_payload_and_what_was_sent_changed_together_are_not_in_the_ticket(flow, sandbox):
    sandbox.approve(flow.apply())
    shown = {"collector": {"collector_config_name": "app-runtime"}, "etl_payload": OTHER, "digest": digest(OTHER)}
    fields = {**flow.row.request["fields"], "collector_detail": collector_detail(**shown)}
    _in_store(etl_payload=OTHER, etl_digest=digest(OTHER), request={**flow.row.request, "fields": fields})
    with pytest.raises(
        AirflowFailException, match=r"collector_detail was sent as .* and is .* now.*ETL was not touched"
    ):
        flow.provision()
    assert sandbox.collector(1001)["table_id"] is None


def test_p3_a_detail_with_two_digests_approves_nothing(flow, sandbox):
    sn = flow.apply()
    detail = sandbox.ticket(sn)["fields"]["collector_detail"]
    detail["form_data"][0]["children"].append({"label": "", "value": digest(OTHER)})
    sandbox.edit(sn, collector_detail=detail)
    sandbox.approve(sn)
    for payload in (CLEAN, OTHER):
        _in_store(etl_payload=payload, etl_digest=digest(payload), request=None)
        with pytest.raises(AirflowFailException, match=r"in the field for it alone, but sha256:.*, sha256:"):
            flow.provision()
    assert sandbox.collector(1001)["table_id"] is None


@pytest.mark.parametrize(
    "edited",
    [
        {"title": "harmless"},
        {"apply_reason": "only a test"},
        {"collector_detail": {"form_data": []}},
        {"approvals": "alice,mallory"},
    ],
)
def test_p3_what_was_edited_before_the_approval_is_not_provisioned(flow, sandbox, task, edited):
    sn = flow.apply()
    sandbox.edit(sn, **edited)
    sandbox.approve(sn)
    (key,) = edited
    with pytest.raises(AirflowFailException, match=f"{key} was sent as .* and is .* now.*ETL was not touched"):
        flow.provision()
    assert sandbox.collector(1001)["table_id"] is None
    assert (flow.row.outcome, flow.row.outcome_detail["reason_code"]) == ("rejected", "form_changed")
    with pytest.raises(AirflowFailException, match=f"{key} was sent as"):
        flow.complete()
    assert Flow(sandbox, task, run_id="run_2").apply() != sn


def test_p3_an_approval_that_was_read_before_is_no_way_round_the_comparison(flow, sandbox):
    sn = flow.apply()
    sandbox.edit(sn, title="harmless")
    sandbox.approve(sn)
    open_store().decided(*KEY, sn=sn, outcome="approved")
    with pytest.raises(AirflowFailException, match=r"title was sent as .* and is 'harmless' now"):
        flow.provision()
    assert sandbox.collector(1001)["table_id"] is None


def test_p3_a_run_that_never_ended_an_edited_application_does_not_lock_the_collector(flow, sandbox, task):
    sn = flow.apply()
    sandbox.edit(sn, title="harmless")
    sandbox.approve(sn)
    assert Flow(sandbox, task, run_id="run_2").apply() != sn


@pytest.mark.parametrize("as_text", [True, False])
def test_a_ticket_of_the_version_before_goes_on_with_one_digest_in_its_detail(flow, sandbox, as_text):
    sn = flow.apply()
    if as_text:
        detail = json.dumps(sandbox.ticket(sn)["fields"]["collector_detail"], ensure_ascii=False)
        sandbox.edit(sn, collector_detail=detail, title="【日志采集】an older title")
    _in_store(request=None)
    sandbox.approve(sn)
    flow.provision()
    assert flow.complete()["state"] == "success_apply"


def test_a_ticket_of_the_version_before_in_another_field_goes_on(flow, sandbox):
    sandbox.approve(flow.apply(service_id="单级审批"))
    _in_store(request=None)
    flow.provision()


def test_p7_what_is_sent_is_stored_before_the_ticket_exists_and_sent_again(flow, sandbox):
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        flow.apply(creator="carol")
    stored = flow.row.request
    assert (stored["creator"], stored["detail_field"]) == ("carol", "collector_detail")
    sandbox.put_collector(1001, **(sandbox.collector(1001) | {"description": "renamed meanwhile"}))
    sn = flow.apply(reason="another", approvers="mallory", creator="mallory")
    ticket = sandbox.ticket(sn)
    assert (ticket["creator"], ticket["fields"]["approvals"]) == ("carol", "alice,bob")
    assert ticket["fields"]["apply_reason"] == "new service"
    assert flow.row.request == stored
    assert stored["fields"].keys() == ticket["fields"].keys()
    assert stored["fields"]["collector_detail"] == ticket["fields"]["collector_detail"]


def test_an_intent_of_the_version_before_is_sent_as_its_payload_is_rendered_now(flow, sandbox):
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        flow.apply()
    _in_store(request=None)
    sandbox.approve(flow.apply(clean_config=OTHER))
    assert flow.row.request["fields"]["collector_detail"]
    flow.provision()
    assert digest(sandbox.requests("clean_config")[0]["body"]) == digest(CLEAN)


def lose_the_ticket(flow: Flow, sandbox, **parameters: Any) -> str:
    """Apply while ITSM's answer is lost and cannot be looked for; return the number that nobody knows."""
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        flow.apply(**parameters)
    sandbox.clear_faults()
    (ticket,) = sandbox.tickets()
    sandbox.wait_for_step(ticket["sn"])
    return str(ticket["sn"])


def test_p2_a_lost_ticket_that_is_not_what_was_sent_is_not_taken(flow, sandbox):
    sn = lose_the_ticket(flow, sandbox)
    sandbox.edit(sn, apply_reason="only a test")
    with pytest.raises(collectors.CollectItsmConflict, match="apply_reason was sent as 'new service'"):
        flow.apply()
    assert len(sandbox.tickets()) == 1
    assert flow.row.ticket_sn is None
    sandbox.edit(sn, apply_reason="new service")
    assert flow.apply() == sn


def test_p5_a_lost_ticket_of_a_named_creator_is_found_and_withdrawn(flow, sandbox):
    sn = lose_the_ticket(flow, sandbox, creator="bob")
    assert flow.complete(on_not_approved="pass")["ticket_sn"] == sn
    assert sandbox.ticket(sn)["status"] == "REVOKED"


def test_p3_a_second_digest_in_the_detail_is_refused_before_anybody_is_asked(flow, sandbox):
    for given in (
        {"detail_rows": {"note": digest(OTHER)}},
        {"service_id": "单级审批", "reason": f"see {digest(OTHER)}"},
    ):
        with pytest.raises(errors.ItsmInvalidRequestError, match=f"would show {digest(OTHER)} beside"):
            flow.apply(**given)
    with pytest.raises(errors.ItsmInvalidRequestError, match="labels that begin with ETL"):
        flow.apply(detail_rows={"ETL retention：": "7"})
    assert sandbox.tickets() == []


def test_a_form_that_is_no_json_is_refused_before_anything_is_stored(flow, sandbox):
    with pytest.raises(errors.ItsmInvalidRequestError, match="not plain JSON"):
        flow.apply(fields={"apply_reason": {1, 2}})
    assert flow.row.state == "not_apply"


def test_what_is_provisioned_is_what_the_ticket_has_shown_since_it_was_opened(flow, sandbox):
    """The digest is in the ticket, in the audit as it was applied for, and of what the log platform was sent."""
    sn = flow.apply()
    asked = open_store().history(*KEY)[0].detail["etl_digest"]
    assert asked == digest(CLEAN)
    assert digests_in(sandbox.ticket(sn)["fields"]["collector_detail"]) == {asked}
    sandbox.approve(sn)
    flow.provision()
    (sent,) = sandbox.requests("clean_config")
    assert digest(sent["body"]) == asked


def test_p7_an_etl_that_failed_can_be_resumed_after_the_run_has_failed(flow, sandbox):
    sn = flow.apply()
    sandbox.approve(sn)
    sandbox.fault("clean_config", "refuse", code="3631307")
    with pytest.raises(AirflowFailException, match="stays approved"):
        flow.provision()
    with pytest.raises(AirflowFailException, match="3631307"):
        flow.complete()
    assert (flow.row.state, flow.row.outcome) == ("fail_apply", "approved")
    flow.provision()
    assert flow.complete()["state"] == "success_apply"
    assert flow.row.ticket_sn == sn


def test_what_the_platform_does_not_show_afterwards_is_an_error(flow, sandbox, monkeypatch):
    sandbox.approve(flow.apply())
    monkeypatch.setattr(
        "airflow_provider_bkitsm.hooks.bklog.BkLogHook.update_or_create_clean_config",
        lambda *_: {"index_set_id": 1, "etl_config": "bk_log_text", "retention": 7},
    )
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.bklog.READ_BACK_PAUSES", (0.01,))
    with pytest.raises(BkLogError, match="still shows something else: table_id") as caught:
        flow.provision()
    assert caught.value.retry_safe
    assert flow.row.provisioned_at is None


def test_an_outage_of_the_log_platform_is_left_to_a_retry(flow, sandbox):
    sandbox.approve(flow.apply())
    sandbox.fault("clean_config", "status", status=502)
    with pytest.raises(BkLogError, match="a retry writes the ETL again") as caught:
        flow.provision()
    assert caught.value.retry_safe
    flow.provision()


@pytest.mark.parametrize(
    ("policy", "raised"), [("fail", AirflowFailException), ("skip", AirflowSkipException), ("pass", None)]
)
def test_a_refusal_ends_as_the_policy_says(flow, sandbox, policy, raised):
    sandbox.reject(flow.apply(), remark="too big", operator="bob")
    if raised:
        with pytest.raises(raised, match="bob refused: too big"):
            flow.complete(on_not_approved=policy)
    else:
        assert flow.complete(on_not_approved=policy)["state"] == "fail_apply"
    assert (flow.row.state, flow.row.outcome) == ("fail_apply", "rejected")


@pytest.mark.parametrize(
    ("policy", "status", "outcome"), [("withdraw", "REVOKED", "timed_out"), ("keep", "RUNNING", None)]
)
def test_p5_a_ticket_nobody_waits_for_any_more_is_withdrawn(flow, sandbox, policy, status, outcome):
    sn = flow.apply()
    sandbox.wait_for_step(sn)
    with pytest.raises(AirflowFailException):
        flow.complete(on_open_ticket=policy)
    assert sandbox.ticket(sn)["status"] == status
    assert (flow.row.state, flow.row.outcome) == ("fail_apply", outcome)


def test_p1_a_ticket_kept_open_can_still_be_used_when_it_is_approved_later(flow, sandbox):
    sn = flow.apply()
    with pytest.raises(AirflowFailException):
        flow.complete(on_open_ticket="keep")
    sandbox.approve(sn)
    flow.provision()
    assert flow.complete()["state"] == "success_apply"


def test_p1_an_approval_that_came_when_the_wait_was_over_is_not_lost(flow, sandbox):
    sandbox.approve(flow.apply())
    with pytest.raises(AirflowFailException, match="Clear the ETL task"):
        flow.complete()
    flow.provision()
    assert flow.complete()["state"] == "success_apply"


def test_p5_a_ticket_whose_opening_was_never_confirmed_is_found_and_withdrawn(flow, sandbox):
    sn = lose_the_ticket(flow, sandbox)
    with pytest.raises(AirflowFailException):
        flow.complete()
    assert sandbox.ticket(sn)["status"] == "REVOKED"


def test_another_runs_application_is_never_touched(flow, sandbox, task):
    sn = flow.apply()
    other = Flow(sandbox, task, run_id="run_2")
    for step in (other.provision, other.complete):
        with pytest.raises(AirflowFailException, match=sn):
            step()
    assert flow.row.state == "applying"


def test_without_an_application_there_is_nothing_to_end(flow):
    with pytest.raises(AirflowFailException, match="nobody applied"):
        flow.complete()


def test_an_outage_of_itsm_leaves_the_application_for_a_retry(flow, sandbox):
    sandbox.approve(flow.apply())
    sandbox.fault("ticket_approval_result", "status", times=2)
    for step in (flow.provision, flow.complete):
        with pytest.raises(errors.ItsmUnavailableError):
            step()
    assert flow.row.state == "applying"
    flow.provision()


class TestBuiltInService:
    """The log platform's own service: no approvers, fields of its own, its verdict in a form field."""

    @pytest.fixture(autouse=True)
    def chosen(self, sandbox, connections):
        """Name the service in the connection, as an administrator does: nothing about it is in a DAG."""
        login = {"host": sandbox.itsm_url, "login": "sandbox", "password": "sandbox-secret"}
        extra = {"settle_seconds": 0.2, "read_retries": 0, "service_id": "日志平台容量评估"}
        connections("bkitsm_default", conn_type="bkitsm", extra=extra, **login)

    def _wait(self, task, sn):
        return ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False).execute(task("wait").context)

    def test_its_fields_are_filled_in_and_the_approver_sees_what_nobody_has_stated(self, flow, sandbox):
        fields = sandbox.ticket(flow.apply())["fields"]
        assert fields["log_keep_days"] == "7"
        assert fields["hot_data_days"] == "0"
        assert fields["single_log_size"] == fields["expect_host_size"] == "0"
        assert fields["bk_biz_id"] == "2"
        assert "approvals" not in fields
        assert "single_log_size" in json.dumps(fields["collector_detail"], ensure_ascii=False), "0 is no statement"

    def test_approved(self, flow, sandbox, task):
        sn = flow.apply()
        sandbox.approve(sn)
        assert self._wait(task, sn)["outcome"] == "approved"
        flow.provision()
        assert flow.complete()["state"] == "success_apply"

    def test_p3_rejected_although_itsm_says_yes(self, flow, sandbox, task):
        sn = flow.apply()
        sandbox.reject(sn, remark="too big")
        assert flow.row.verdict_settings == {"verdict_field": "approval_result", "verdict_value": "true"}
        with pytest.raises(AirflowFailException):
            self._wait(task, sn)
        with pytest.raises(AirflowFailException, match="The ETL was not touched"):
            flow.provision()
        with pytest.raises(AirflowFailException, match="fail_apply"):
            flow.complete()
        assert sandbox.collector(1001)["table_id"] is None

    def test_its_own_fields_may_be_stated(self, flow, sandbox):
        fields = sandbox.ticket(flow.apply(fields={"single_log_size": 512}))["fields"]
        assert (fields["single_log_size"], fields["single_host_peak"]) == ("512", "0")


def test_p3_a_service_nobody_approves_in_is_refused_before_anybody_is_asked(flow, sandbox):
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"does not fit.*nobody approves in its flow"):
        flow.apply(service_id="无审批节点")
    assert sandbox.tickets() == []
    assert flow.row.state == "not_apply"


def test_a_service_with_other_fields_of_the_same_kinds_takes_the_application(flow, sandbox):
    fields = sandbox.ticket(flow.apply(service_id="单级审批"))["fields"]
    assert fields["approver"] == "alice,bob"
    assert "申请原因：new service" in fields["content"].splitlines()
    assert digests_in(fields["content"]) == {digest(CLEAN)}


def test_nothing_is_opened_when_an_operator_is_made(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "none"))
    CollectorApplyOperator(task_id="a", collector_config_id=1, bk_biz_id=2, clean_config={})
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "kind", [CollectorApplyOperator, CollectorProvisionEtlOperator, CollectorCompleteOperator]
)
def test_what_a_person_varies_is_templated(kind):
    assert {"collector_config_id", "bk_biz_id", "bkitsm_conn_id", "creator"} <= set(kind.template_fields)


@pytest.mark.parametrize("end", ["reject", "withdraw"])
def test_p5_a_run_that_never_ended_its_application_does_not_lock_the_collector(flow, sandbox, task, end):
    first = flow.apply()
    getattr(sandbox, end)(first)
    second = Flow(sandbox, task, run_id="run_2").apply()
    assert flow.row.ticket_sn == second != first
    told = [entry.event for entry in open_store().history(*KEY)]
    assert told == ["apply", "ticket_opened", "decided", "fail", "apply", "ticket_opened"]


def test_p2_an_approved_application_that_is_not_complete_is_not_replaced(flow, sandbox, task):
    sandbox.approve(flow.apply())
    with pytest.raises(collectors.CollectItsmHasApply):
        Flow(sandbox, task, run_id="run_2").apply()
    flow.provision()


@pytest.mark.parametrize("at_apply", [True, False])
@pytest.mark.parametrize("more", [{}, {"accept_automatic": True}])
@pytest.mark.parametrize("others", [{}, {"verdict_field": "approval_result"}, {"verdict_field": "apply_reason"}])
def test_p2_an_approval_is_read_as_its_own_application_has_it(flow, sandbox, task, at_apply, more, others):
    """Whose DAG looks elsewhere, or wants more, ends nobody's application."""
    own = {"require_evidence": False, **more}
    sn = flow.apply(**(own if at_apply else {}))
    sandbox.wait_for_step(sn)
    sandbox.finish_without_evidence(sn)
    with pytest.raises(errors.ItsmError):
        Flow(sandbox, task, run_id="run_2").apply(**others)
    flow.provision(**own)
    assert flow.complete(**own)["state"] == "success_apply"


@pytest.mark.parametrize("others", [{}, {"verdict_field": "apply_reason"}, {"verdict_value": "no"}])
def test_p2_a_stored_approval_is_ended_by_nobody_else(flow, sandbox, task, others):
    sandbox.approve(flow.apply())
    sandbox.fault("update_or_create_clean_config", "status", status=502, times=1)
    with pytest.raises(errors.ItsmError):
        flow.provision()
    with pytest.raises(errors.ItsmError):
        Flow(sandbox, task, run_id="run_2").apply(**others)
    flow.provision()


def test_p2_an_application_keeps_its_policy_beside_the_services_verdict_source(flow):
    flow.apply(accept_automatic=True)
    assert flow.row.verdict_settings == {"accept_automatic": True}


def test_p2_a_title_of_ones_own_still_carries_the_marker(flow, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    assert flow.apply(fields={"title": "My own title"}) == sandbox.tickets()[0]["sn"]
    assert sandbox.tickets()[0]["title"].startswith("My own title [#")


def test_a_detail_of_ones_own_that_hides_the_digest_is_refused_before_anybody_is_asked(flow, sandbox):
    with pytest.raises(errors.ItsmInvalidRequestError, match="would not show sha256"):
        flow.apply(fields={"collector_detail": "something else"})
    assert sandbox.tickets() == []


@pytest.mark.parametrize(
    ("approvers", "asked"),
    [
        (1001, "1001"),
        ((1001, 1002), "1001,1002"),
        (" alice , bob ", "alice,bob"),
        ("['alice', 'bob']", "alice,bob"),
        (["alice", "bob", "alice"], "alice,bob"),
    ],
)
def test_approvers_survive_native_templates(flow, sandbox, approvers, asked):
    assert sandbox.ticket(flow.apply(approvers=approvers))["fields"]["approvals"] == asked


@pytest.mark.parametrize("wrong", [{"on_not_approved": "Fail"}, {"on_open_ticket": "close"}])
def test_p3_an_end_that_nobody_knows_is_refused_while_the_dag_is_written(wrong):
    """It would pass a refusal by, as ``pass`` does."""
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        CollectorCompleteOperator(task_id="complete", collector_config_id=1, bk_biz_id=2, **wrong)


def test_a_verdict_source_that_was_wrong_can_be_mended(flow, sandbox):
    sandbox.approve(flow.apply())
    with pytest.raises(AirflowFailException, match="missing or unreadable"):
        flow.provision(verdict_field="no_such_field")
    assert flow.row.outcome is None
    flow.provision()


def test_a_ticket_that_cannot_be_withdrawn_is_said_to_be_open(flow, sandbox):
    names = {"approvers_field": "approver", "detail_field": "content"}
    sn = flow.apply(service_id=NOT_REVOCABLE, **names)
    sandbox.wait_for_step(sn)
    with pytest.raises(AirflowFailException, match="STILL OPEN"):
        flow.complete()
    assert sandbox.ticket(sn)["status"] == "RUNNING"


def test_an_outage_at_the_end_says_what_is_still_held(flow, sandbox):
    sn = flow.apply()
    sandbox.fault("ticket_approval_result", "html")
    with pytest.raises(errors.ItsmUnavailableError, match=f"stays applying, ticket {sn}"):
        flow.complete()


def test_provisioning_without_a_ticket_asks_nobody(flow, sandbox):
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        flow.apply()
    with pytest.raises(AirflowFailException, match="no ticket yet"):
        flow.provision()


def _rows(sandbox, sn: str) -> dict[str, str]:
    import json

    detail = sandbox.ticket(sn)["fields"]["collector_detail"]
    form = json.loads(detail) if isinstance(detail, str) else detail
    return {row["label"]: row["value"] for row in form["form_data"][0]["children"]}


def test_what_the_platform_does_not_tell_is_told_to_the_approver(flow, sandbox, monkeypatch):
    hook = "airflow_provider_bkitsm.hooks.bklog.BkLogHook.storage_clusters"
    monkeypatch.setattr(hook, lambda *_, **__: None)
    rows = _rows(sandbox, flow.apply(detail_rows={"容量：": "1 GB"}))
    assert rows["提示-1："].startswith("未核对：存储集群 3 是否存在")
    assert rows["容量："] == "1 GB"


def test_what_the_platform_tells_is_checked_before_anybody_is_asked(flow, sandbox, monkeypatch):
    from airflow_provider_bkitsm.collectors.platform_rules import StorageCluster

    hook = "airflow_provider_bkitsm.hooks.bklog.BkLogHook.storage_clusters"
    monkeypatch.setattr(hook, lambda *_, **__: {4: StorageCluster(number=4)})
    with pytest.raises(collectors.InvalidCleanConfig, match="storage_cluster_id 3 is no storage cluster"):
        flow.apply()
    assert sandbox.tickets() == []


def test_p3_the_approver_is_shown_the_table_as_it_will_be_named(flow, sandbox):
    rows = _rows(sandbox, flow.apply(clean_config=CLEAN | {"table_id": " App_Runtime "}))
    assert rows["ETL table_id："] == "app_runtime"


def test_nothing_is_written_while_the_platform_itself_applies_and_a_retry_goes_on(flow, sandbox):
    sandbox.approve(flow.apply())
    sandbox.put_collector(1001, itsm_ticket_status="applying", itsm_ticket_sn="REQ7")
    with pytest.raises(BkLogError, match=r"itself is applying.*REQ7.*a retry writes the ETL again") as caught:
        flow.provision()
    assert caught.value.retry_safe
    assert sandbox.collector(1001)["table_id"] is None
    sandbox.put_collector(1001, itsm_ticket_status="fail_apply")
    flow.provision()


def test_a_refusal_with_a_percent_sign_is_told_as_it_is(flow, sandbox, monkeypatch):
    def full(*_):
        raise BkLogError("the log platform answered: storage cluster is 95% full, %s %d %(x)s", code="3631307")

    sandbox.approve(flow.apply())
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.bklog.BkLogHook.update_or_create_clean_config", full)
    with pytest.raises(AirflowFailException, match=r"95% full, %s %d %\(x\)s.*stays approved"):
        flow.provision()
    with pytest.raises(AirflowFailException, match="95% full"):
        flow.complete()


def test_a_native_approval_that_replays_its_payload_over_ours_is_told(flow, sandbox, caplog):
    sandbox.approve(flow.apply())
    flow.provision()
    parked = {"retention": 3, "itsm_ticket_status": "applying", "itsm_ticket_sn": "REQ7"}
    sandbox.put_collector(1001, **(sandbox.collector(1001) | parked))
    with caplog.at_level("WARNING"):
        reason = flow.complete()["reason"]
    assert "changed in the log platform since: retention is 3, not 7" in reason
    assert "itself is applying (ticket REQ7)" in reason
    assert flow.row.state == "success_apply"


def test_a_collector_is_completed_although_the_platform_cannot_be_read(flow, sandbox, monkeypatch):
    def down(*_):
        raise BkLogError("down")

    sandbox.approve(flow.apply())
    flow.provision()
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.bklog.BkLogHook.get_collector_detail", down)
    assert flow.complete()["reason"] == "approved and provisioned"
