# SPDX-License-Identifier: Apache-2.0
"""Where the approval is switched off, no ticket is opened and the audit says why; no error switches it off."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, task_group

from airflow_provider_bkitsm.collectors.errors import CollectItsmHasApply, InvalidCleanConfig
from airflow_provider_bkitsm.hooks.bklog import BkLogError
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.version_compat import DownstreamTasksSkipped
from tests.operators.test_collector import CLEAN, KEY, Flow

SETTING = "[bkitsm] collect_itsm = off"


@pytest.fixture
def switch(monkeypatch):
    def turn(for_all: str = "on", businesses: str = "") -> None:
        monkeypatch.setenv("AIRFLOW__BKITSM__COLLECT_ITSM", for_all)
        monkeypatch.setenv("AIRFLOW__BKITSM__COLLECT_ITSM_BUSINESSES", businesses)

    return turn


@pytest.fixture
def flow(sandbox, connections, task) -> Flow:
    return Flow(sandbox, task)


@pytest.fixture
def bypassed(flow, switch, connect) -> Flow:
    """A flow whose application needed no approval, and that knows no ITSM."""
    switch("off")
    connect("bkitsm_default", conn_type="bkitsm", host="http://127.0.0.1:9", login="a", password="b")
    assert flow.apply() is None
    return flow


def _events(flow: Flow) -> list[str]:
    return [entry.event for entry in open_store().history(*KEY)]


def test_the_whole_way_without_a_ticket_and_without_itsm(bypassed, sandbox):
    assert bypassed.row.state == "applying"
    assert bypassed.provision()["table_id"] == "2_bklog.app_runtime"
    done = bypassed.complete()
    assert (done["state"], done["outcome"], done["ticket_sn"]) == ("success_apply", "bypassed", None)
    assert SETTING in done["reason"]
    assert bypassed.complete() == done
    assert sandbox.tickets() == []
    assert _events(bypassed) == ["bypassed", "provisioned", "complete"]


def test_the_audit_says_who_and_which_setting(flow, switch, task):
    switch("on", businesses="2=off")
    operator = _apply()
    context = task("apply").context
    context["dag_run"].triggering_user_name = "dora"
    operator.pre_execute(context)
    operator.execute(context)
    (told,) = open_store().history(*KEY)
    assert (told.event, told.owner.task_id) == ("bypassed", "apply")
    assert told.actor == "task apply of run run_1 of DAG dag, started by dora"
    assert told.detail["setting"] == "[bkitsm] collect_itsm_businesses has 2 = off"


@pytest.mark.parametrize(("for_all", "businesses"), [("on", ""), ("off", "2=on"), ("on", "5=off")])
def test_where_it_is_on_a_ticket_is_opened(flow, switch, sandbox, for_all, businesses):
    switch(for_all, businesses)
    assert flow.apply() == sandbox.tickets()[0]["sn"]
    assert not flow.row.is_bypassed


def test_the_business_is_the_one_the_log_platform_says(flow, switch, sandbox, monkeypatch):
    """A DAG cannot pick a business that needs no approval."""
    switch("on", businesses="7=off")
    shown = flow.sandbox.collector(1001) | {"bk_biz_id": 2, "collector_config_id": 1001}
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.bklog.BkLogHook.get_collector", lambda *_, **__: shown)
    assert flow.apply(bk_biz_id=7) == sandbox.tickets()[0]["sn"]


@pytest.mark.parametrize(("for_all", "businesses"), [("", ""), ("false", ""), ("off", "2:off"), ("off", "x=on")])
def test_p3_a_setting_that_cannot_be_read_opens_no_ticket_and_bypasses_nothing(
    flow, switch, sandbox, for_all, businesses
):
    switch(for_all, businesses)
    with pytest.raises(errors.ItsmConfigurationError, match="no ticket was opened and nothing was bypassed"):
        flow.apply()
    assert (sandbox.tickets(), flow.row.has_apply) == ([], False)


@pytest.mark.parametrize("fault", ["html", "status"])
def test_p3_an_outage_of_itsm_is_not_a_switch(flow, switch, sandbox, fault):
    switch("on")
    sandbox.fault("get_service_detail", fault, times=9)
    sandbox.fault("get_services", fault, times=9)
    with pytest.raises(errors.ItsmError):
        flow.apply()
    assert not flow.row.is_bypassed


def test_p3_without_the_stored_bypass_nothing_goes_on_although_the_switch_is_off(flow, switch, sandbox):
    """The switch counts when somebody applies, and not later: a ticket that is open keeps its say."""
    sn = flow.apply()
    switch("off")
    assert flow.apply() == sn
    with pytest.raises(AirflowFailException, match="The ETL was not touched"):
        flow.provision()
    sandbox.reject(sn)
    with pytest.raises(AirflowFailException, match="refused"):
        flow.complete()
    assert sandbox.collector(1001)["table_id"] is None


def test_p3_switched_on_again_before_it_was_complete_people_are_asked(bypassed, switch, sandbox, connect):
    switch("on")
    caller = {"login": "sandbox", "password": "sandbox-secret"}
    connect("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, **caller)
    assert Flow(sandbox, bypassed._task).apply() == sandbox.tickets()[0]["sn"]
    assert _events(bypassed) == ["bypassed", "fail", "apply", "ticket_opened"]
    with pytest.raises(AirflowFailException, match="The ETL was not touched"):
        bypassed.provision()


def test_p3_what_another_airflow_needs_no_approval_for_is_not_written_here(flow, switch, sandbox, monkeypatch):
    """Staging and production share DAGs, run ids and a store: an application that has ended is over in both."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    sandbox.reject(flow.apply())
    with pytest.raises(AirflowFailException):
        flow.complete()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example.com")
    switch("off")
    assert flow.apply() is None
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    before = flow.row
    for gate in ("off", "on"):
        switch(gate)
        for step in (flow.apply, flow.provision, flow.complete):
            with pytest.raises(AirflowFailException, match=r"another Airflow.*https://staging\.example\.com"):
                step()
    assert flow.row == before
    assert sandbox.collector(1001)["table_id"] is None


def test_p2_a_retry_changes_nothing(bypassed):
    assert bypassed.apply(clean_config=CLEAN | {"retention": 30}) is None
    assert (_events(bypassed), bypassed.row.etl_payload["retention"]) == (["bypassed"], 7)


def test_p2_another_run_is_refused_meanwhile(flow, switch, sandbox, task):
    sn = flow.apply()
    switch("off")
    with pytest.raises(CollectItsmHasApply, match=sn):
        Flow(sandbox, task, run_id="run_2").apply()


def test_a_payload_is_checked_all_the_same(flow, switch):
    switch("off")
    with pytest.raises(InvalidCleanConfig):
        flow.apply(clean_config=CLEAN | {"retention": 0})
    assert not flow.row.has_apply


def test_p3_a_payload_changed_in_the_store_is_refused(bypassed, sandbox):
    import sqlite3

    from airflow_provider_bkitsm.hooks.store import store_path

    with sqlite3.connect(store_path()) as database:
        database.execute("UPDATE bkitsm_collector SET etl_payload = replace(etl_payload, '7', '70')")
    with pytest.raises(AirflowFailException, match=r"sha256:\w{64}.*sha256:\w{64}"):
        bypassed.provision()
    assert sandbox.collector(1001)["table_id"] is None


def test_p7_an_etl_that_failed_is_not_complete_and_can_be_resumed(bypassed, sandbox):
    sandbox.fault("clean_config", "refuse", code="3631307")
    with pytest.raises(AirflowFailException, match="still needs no approval"):
        bypassed.provision()
    with pytest.raises(AirflowFailException, match=r"no approval is needed.*3631307"):
        bypassed.complete()
    assert bypassed.row.state == "fail_apply"
    bypassed.provision()
    assert bypassed.complete()["state"] == "success_apply"


def test_an_outage_of_the_log_platform_is_left_to_a_retry(bypassed, sandbox):
    sandbox.fault("clean_config", "status", status=502)
    with pytest.raises(BkLogError, match="a retry writes the ETL again"):
        bypassed.provision()
    bypassed.provision()


def test_an_etl_task_that_was_skipped_with_the_wait_is_told_what_it_lacks(bypassed):
    with pytest.raises(AirflowFailException, match="trigger_rule='none_failed'"):
        bypassed.complete()
    assert bypassed.row.state == "fail_apply"


# --- what Airflow is told


def _run(dag: DAG, task, *, map_index: int = -1) -> dict[str, Any]:
    """Execute ``apply`` of a DAG; return its XComs and which tasks it had skipped."""
    ti = task("apply")
    context = ti.context
    context["ti"].map_index = map_index
    operator = next(one for one in dag.tasks if one.task_id.endswith("apply"))
    try:
        operator.execute(context)
    except DownstreamTasksSkipped as skipped:
        return {"skipped": skipped.tasks, "xcom": ti.xcom}
    return {"skipped": [], "xcom": ti.xcom}


def _apply(name: str = "apply") -> CollectorApplyOperator:
    return CollectorApplyOperator(task_id=name, collector_config_id=1001, bk_biz_id=2, clean_config=CLEAN)


def test_only_the_waits_behind_it_are_skipped_and_stay_so_when_cleared(flow, switch, task):
    switch("off")
    with DAG("dag", schedule=None) as dag:
        apply, other = _apply("apply"), _apply("other")
        waits = [ItsmTicketSensor(task_id=name, ticket_sn=apply.output) for name in ("w1", "w2")]
        apply >> other
        waits >> ItsmTicketSensor(task_id="later", ticket_sn="SN")
    told = _run(dag, task)
    assert set(told["skipped"]) == set(told["xcom"]["skipmixin_key"]["skipped"]) == {"w1", "w2"}
    assert apply.inherits_from_skipmixin


def test_in_a_mapped_group_the_waits_of_the_same_index_are_skipped(flow, switch, task):
    switch("off")
    with DAG("dag", schedule=None) as dag:

        @task_group
        def onboard(number):
            ItsmTicketSensor(task_id="wait", ticket_sn=_apply().output)

        onboard.expand(number=[1, 2, 3])
    assert _run(dag, task, map_index=1)["skipped"] == [("onboard.wait", 1)]


def test_mapped_over_collectors_no_wait_is_made_so_none_is_skipped(flow, switch, task):
    switch("off")
    with DAG("dag", schedule=None) as dag:
        ItsmTicketSensor.partial(task_id="wait").expand(ticket_sn=_apply().output)
    told = _run(dag, task, map_index=1)
    assert (told["skipped"], told["xcom"]) == ([], {})


@pytest.mark.parametrize("number", [None, "", "None"])
def test_p3_an_empty_number_stays_an_error_of_the_wait(connections, task, number):
    with pytest.raises(errors.ItsmConfigurationError, match="ticket_sn is empty"):
        ItsmTicketSensor(task_id="wait", ticket_sn=number).execute(task("wait").context)
