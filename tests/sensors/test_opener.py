# SPDX-License-Identifier: Apache-2.0
"""Which task opens the ticket that a sensor waits for, as its DAG says it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, task, task_group

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors import start_from_trigger
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST = {"fast_approval": True, "title": "t", "fields": {"APPROVER": "a", "APPROVAL_CONTENT": "c"}}
COLLECTOR = {"collector_config_id": 1, "bk_biz_id": 2, "clean_config": {}, "approvers": "a", "reason": "r"}


class OurOwn(ItsmCreateTicketOperator):
    """A subclass, as people write them."""


@pytest.fixture
def dag():
    with DAG("d", schedule=None) as one:
        yield one


def sensor(ticket_sn, **parameters) -> ItsmTicketSensor:
    return ItsmTicketSensor(**{"task_id": "wait", "ticket_sn": ticket_sn} | parameters)


@pytest.mark.parametrize("operator", [ItsmCreateTicketOperator, ItsmApprovalOperator, OurOwn])
def test_p3_the_output_of_a_task_that_opens_a_ticket_says_which_task(dag, operator):
    assert sensor(operator(task_id="ask", **FAST).output).opener() == "ask"


def test_p3_so_does_a_collectors_application(dag):
    assert sensor(CollectorApplyOperator(task_id="apply", **COLLECTOR).output).opener() == "apply"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ti.xcom_pull(task_ids='ask') }}",
        '{{ ti.xcom_pull("ask") }}',
        "{{ task_instance.xcom_pull(task_ids=['ask'], key='return_value')[0] }}",
        "{{ ti.xcom_pull('ask', map_indexes=-1) | trim }}",
    ],
)
def test_p3_a_template_that_pulls_from_a_task_says_which_too(dag, template):
    wait = sensor(template)
    assert wait.opener() is None
    ItsmCreateTicketOperator(task_id="ask", **FAST)
    assert wait.opener() == "ask"


def test_p3_the_opener_may_come_later_in_the_file(dag, monkeypatch):
    monkeypatch.setattr(start_from_trigger, "AIRFLOW_V_3_3_PLUS", True)
    wait = sensor("{{ ti.xcom_pull(task_ids='ask', map_indexes=-1) }}")
    ItsmCreateTicketOperator(task_id="ask", **FAST)
    arguments = wait.start_trigger_args.trigger_kwargs
    assert (arguments["ends_task"], arguments["opened_by"]) == (True, "ask")


def test_p3_a_mapped_sensor_waits_for_the_tickets_of_the_task_it_is_mapped_over(dag):
    ask = ItsmCreateTicketOperator.partial(task_id="ask", fast_approval=True, fields={}).expand(title=["a", "b"])
    ItsmTicketSensor.partial(task_id="wait").expand(ticket_sn=ask.output)
    ItsmTicketSensor.partial(task_id="each", ticket_sn=ask.output).expand(poke_interval=[1, 2])
    for task_id in ("wait", "each"):
        assert dag.get_task(task_id).unmap({"ticket_sn": "REQ1", "poke_interval": 1}).opener() == "ask"


def test_p3_so_does_one_that_is_mapped_over_a_list_of_them(dag):
    ask = ItsmCreateTicketOperator(task_id="ask", **FAST)
    ItsmTicketSensor.partial(task_id="wait").expand(ticket_sn=[ask.output])
    ItsmTicketSensor.partial(task_id="own").expand(ticket_sn=[ask.output, "REQ1"])
    openers = [dag.get_task(one).unmap({"ticket_sn": "REQ1"}).opener() for one in ("wait", "own")]
    assert openers == ["ask", None]


def at(sensor, index, ticket_sn="REQ1") -> str | None:
    """Return whose ticket the task of an index waits for, as a worker has it."""
    one = sensor.unmap({"ticket_sn": ticket_sn, "poke_interval": 1}) if sensor.is_mapped else sensor
    with pytest.raises(errors.ItsmError):
        one.execute_complete({"ti": SimpleNamespace(map_index=index)}, {"error": "stopped"})
    return one.opener()


def test_p3_within_a_mapped_group_it_is_the_groups_task_of_the_same_index(dag):
    outside = ItsmCreateTicketOperator(task_id="outside", **FAST)

    @task_group
    def gate(title):
        ask = ItsmCreateTicketOperator(task_id="ask", title=title, fast_approval=True, fields={})
        sensor(ask.output)
        sensor("{{ ti.xcom_pull(task_ids='gate.ask') }}", task_id="pulls")
        sensor(outside.output, task_id="other")

    gate.expand(title=["a", "b"])
    assert dag.get_task("gate.wait").opener() == "gate.ask"
    for task_id in ("gate.wait", "gate.pulls"):
        assert [at(dag.get_task(task_id), index) for index in (0, 1)] == ["gate.ask[0]", "gate.ask[1]"]
    assert at(dag.get_task("gate.other"), 1) == "outside"


def test_p3_each_task_of_a_mapped_sensor_waits_for_the_ticket_of_its_own_index(dag):
    ask = ItsmCreateTicketOperator.partial(task_id="ask", fast_approval=True, fields={}).expand(title=["a", "b"])
    ItsmTicketSensor.partial(task_id="wait").expand(ticket_sn=ask.output)
    ItsmTicketSensor.partial(task_id="text").expand(ticket_sn=ask.output.map(str))
    for task_id in ("wait", "text"):
        assert [at(dag.get_task(task_id), index) for index in (0, 1)] == ["ask[0]", "ask[1]"]


def test_p3_where_the_indexes_say_nothing_any_of_its_tickets_counts(dag):
    ask = ItsmCreateTicketOperator.partial(task_id="ask", fast_approval=True, fields={}).expand(title=["a", "b"])
    ItsmTicketSensor.partial(task_id="wait").expand(ticket_sn=ask.output, poke_interval=[1, 2])
    assert at(dag.get_task("wait"), 3) == "ask"


def test_p3_each_of_a_list_of_outputs_is_another_tasks(dag):
    asks = [ItsmCreateTicketOperator(task_id=one, **FAST) for one in ("ask", "other")]
    ItsmTicketSensor.partial(task_id="wait").expand(ticket_sn=[one.output for one in asks])
    assert [at(dag.get_task("wait"), index) for index in (0, 1)] == ["ask", "other"]


@pytest.mark.parametrize(
    ("named", "opener"), [("1", "ask[1]"), ("-1", "ask"), ("[0, 1]", "ask"), ("params.index", "ask")]
)
def test_p3_a_template_may_say_which_index(dag, named, opener):
    ItsmCreateTicketOperator(task_id="ask", **FAST)
    assert sensor(f"{{{{ ti.xcom_pull(task_ids='ask', map_indexes={named}) }}}}").opener() == opener


def test_a_value_that_is_computed_from_a_tickets_number_is_still_that_tasks(dag):
    assert sensor(ItsmCreateTicketOperator(task_id="ask", **FAST).output.map(str)).opener() == "ask"


@task
def number() -> str:
    return "REQ1"


@pytest.mark.parametrize(
    "ticket_sn",
    ["REQ1", "{{ params.sn }}", "{{ params['ask'] }}", "{{ ti.xcom_pull(task_ids='other') }}", number],
)
def test_a_number_from_elsewhere_is_the_authors_own(dag, ticket_sn):
    ItsmCreateTicketOperator(task_id="ask", **FAST)
    wait = sensor(ticket_sn() if callable(ticket_sn) else ticket_sn)
    assert wait.opener() is None
    assert "opened_by" not in wait.trigger_arguments()


def test_p3_where_one_of_two_tasks_has_opened_it_both_are_named(dag):
    asks = [ItsmCreateTicketOperator(task_id=one, **FAST) for one in ("other", "ask")]
    wait = sensor("{{ ti.xcom_pull('ask') or ti.xcom_pull('other') }}")
    assert wait.opener() == wait.trigger_arguments()["opened_by"] == "ask,other"
    ItsmTicketSensor.partial(task_id="each").expand(ticket_sn=[one.output for one in asks], poke_interval=[1, 2])
    assert at(dag.get_task("each"), 3) == "ask,other"


def test_what_the_author_says_counts(dag):
    ask = ItsmCreateTicketOperator(task_id="ask", **FAST)
    assert sensor(ask.output, opened_by="other").opener() == "other"
    assert sensor(ask.output, task_id="either", opened_by="ask, other[1]").opener() == "ask, other[1]"
    assert sensor(ask.output, task_id="any", opened_by="anyone").trigger_arguments()["opened_by"] == "anyone"


@pytest.mark.parametrize("wrong", ["", " ", "{{ params.task }}", 7, ["ask"], "ask,", ",", "ask, anyone"])
def test_what_can_be_no_task_is_refused_when_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match="opened_by"):
        sensor("REQ1", opened_by=wrong)
