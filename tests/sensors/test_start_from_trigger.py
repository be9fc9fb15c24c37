# SPDX-License-Identifier: Apache-2.0
"""Where a wait begins: in the triggerer if every value reaches it there, else on a worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from airflow.sdk import DAG, Asset, Param, task, task_group

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors import start_from_trigger
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from tests.serialising import DagSerialization, serialised

FAST = {"fast_approval": True, "title": "t", "fields": {"APPROVER": "a", "APPROVAL_CONTENT": "c"}}


@pytest.fixture(autouse=True)
def _airflow_renders_in_the_triggerer(monkeypatch):
    monkeypatch.setattr(start_from_trigger, "AIRFLOW_V_3_3_PLUS", True)


def sensor(**parameters) -> ItsmTicketSensor:
    return ItsmTicketSensor(**{"task_id": "wait", "ticket_sn": "REQ1"} | parameters)


def test_a_plain_wait_begins_in_the_triggerer():
    args = sensor(approval_timeout=60, poke_interval=5).start_trigger_args
    assert args.trigger_cls == "airflow_provider_bkitsm.triggers.ticket.ItsmTicketTrigger"
    assert args.next_method == "execute_complete"
    known = {"ticket_sn": "REQ1", "bkitsm_conn_id": "bkitsm_default", "poll_interval": 5, "approval_timeout": 60}
    assert known.items() <= args.trigger_kwargs.items()
    assert args.trigger_kwargs["ends_task"] is True


def test_another_tasks_number_is_pulled_for_the_unmapped_one():
    with DAG("d", schedule=None):
        ask = ItsmCreateTicketOperator(task_id="ask", **FAST)
        wait = sensor(ticket_sn=ask.output)
    pulled = wait.start_trigger_args.trigger_kwargs["ticket_sn"]
    assert pulled == "{{ ti.xcom_pull(task_ids='ask', key='return_value', map_indexes=-1) }}"
    assert "ask" in wait.upstream_task_ids


class Own(ItsmTicketSensor):
    def poke(self, context):
        return super().poke(context)


@pytest.mark.parametrize(
    "needs",
    [
        {"start_from_trigger": False},
        {"deferrable": False},
        {"pre_execute": print},
        {"on_execute_callback": print},
        {"ticket_sn": "{{ ti.xcom_pull(task_ids='ask') }}"},
    ],
)
def test_what_needs_a_worker_first_begins_on_one(needs):
    assert sensor(**needs).start_from_trigger is False


@pytest.mark.parametrize(("dag_id", "opener"), [("上线审批", "ask"), ("release", "提单"), ("validación", "ask")])
def test_p1_so_does_a_wait_whose_number_airflow_cannot_pull_in_a_triggerer(dag_id, opener):
    with DAG(dag_id, schedule=None):
        ask = ItsmCreateTicketOperator(task_id=opener, **FAST)
        wait = sensor(task_id="wait", ticket_sn=ask.output)
        with_number = sensor(task_id="等审批")
    assert wait.start_from_trigger is False
    assert with_number.start_from_trigger is True


def test_so_does_a_sensor_of_ones_own():
    assert Own(task_id="wait", ticket_sn="REQ1").start_from_trigger is False


def test_so_does_every_wait_where_airflow_renders_no_triggers(monkeypatch):
    monkeypatch.setattr(start_from_trigger, "AIRFLOW_V_3_3_PLUS", False)
    assert sensor().start_from_trigger is False


def test_a_mapped_wait_begins_on_a_worker():
    with DAG("d", schedule=None):
        ask = ItsmCreateTicketOperator.partial(task_id="ask", fast_approval=True, fields={}).expand(
            title=["a", "b"]
        )
        mapped = ItsmTicketSensor.partial(task_id="wait").expand(ticket_sn=ask.output)
        all_of_them = sensor(task_id="all", ticket_sn=ask.output)
    assert mapped.start_from_trigger is False
    assert all_of_them.start_from_trigger is False


def test_a_wait_in_a_mapped_group_begins_on_a_worker():
    @task_group
    def gate(title):
        ask = ItsmCreateTicketOperator(task_id="ask", title=title, fast_approval=True, fields={})
        sensor(ticket_sn=ask.output)

    with DAG("d", schedule=None) as dag:
        gate.expand(title=["a", "b"])
    assert dag.get_task("gate.wait").start_from_trigger is False


def test_values_that_are_computed_from_xcoms_need_a_worker():
    @task
    def numbers() -> list[str]:
        return ["REQ1"]

    with DAG("d", schedule=None):
        wait = sensor(ticket_sn=numbers().map(str))
    assert wait.start_from_trigger is False


@pytest.mark.parametrize(
    ("name", "value", "begins", "ends"),
    [
        ("execution_timeout", timedelta(hours=48), False, True),
        ("pool", "people", False, True),
        ("on_execute_callback", print, False, True),
        ("on_success_callback", print, True, False),
        ("outlets", [Asset("x://out")], True, False),
        ("start_from_trigger", False, False, True),
    ],
)
def test_p1_a_task_counts_as_it_is_when_its_dag_is_written(name, value, begins, ends):
    """A cluster policy of the site, a subclass or the author changes it after it was made."""
    with DAG("d", schedule=None) as dag:
        wait = sensor(ticket_sn="{{ ds }}")
    setattr(wait, name, value)
    written = serialised(dag).get_task("wait")
    assert written.start_from_trigger is begins
    assert wait.trigger_arguments()["ends_task"] is ends
    if begins:
        assert wait.start_trigger_args.trigger_kwargs["ends_task"] is ends


def test_p1_a_template_in_a_list_is_a_template_too():
    with DAG("上线", schedule=None):
        of_chinese = sensor(escalate_after=60, escalate_to=["{{ params.lead }}", "bob"])
    with DAG("macros", schedule=None, user_defined_macros={"lead": str}):
        of_macro = sensor(escalate_after=60, escalate_to=["{{ lead(ds) }}", "bob"])
    with DAG("d", schedule=None) as dag:
        leads = task(lambda: "alice", task_id="leads")()
        pulls = sensor(escalate_after=60, escalate_to=["{{ ti.xcom_pull('leads') }}"])
        of_task = sensor(task_id="other", escalate_after=60, escalate_to=[leads, "bob"])
    assert [one.start_from_trigger for one in (of_chinese, of_macro, pulls, of_task)] == [
        False,
        False,
        False,
        True,
    ]
    pulled = "{{ ti.xcom_pull(task_ids='leads', key='return_value', map_indexes=-1) }}"
    assert of_task.start_trigger_args.trigger_kwargs["escalate_to"] == [pulled, "bob"]
    assert serialised(dag).get_task("other").start_from_trigger


@pytest.mark.parametrize(
    ("template", "begins"),
    [
        ("{{ params.sn }}", True),
        ("{{ dag_run.conf['sn'] }}", True),
        ("{{ var.value.sn }}-{{ ds_nodash }}-{{ run_id }}-{{ macros.ds_add(ds, 1) }}", True),
        ("{{ ti.xcom_pull('ask', map_indexes=-1) or task_instance.xcom_pull('other', map_indexes=0) }}", True),
        ("{{ ti.xcom_pull('ask', map_indexes=-1) or ti.xcom_pull('other') }}", False),
        ("{{ ti.xcom_pull('ask', map_indexes=None) }}", False),
        ("{% set one = ti %}{{ one.xcom_pull('ask', map_indexes=-1) }}", False),
        ("{{ (triggering_asset_events.values() | first | first).extra.sn }}", False),
        ("{{ prev_data_interval_end_success }}", False),
        ("{{ dag_run.consumed_asset_events }}", False),
        ("{{ ti.max_tries }}", False),
        ("{{ unknown }}", False),
        ("{{ not a template", False),
    ],
)
def test_p1_a_template_begins_in_the_triggerer_where_it_has_all_that_the_template_uses(template, begins):
    with DAG("d", schedule=None):
        assert sensor(ticket_sn=template).start_from_trigger is begins


def test_p3_who_started_the_run_is_known_to_workers_alone():
    """In a triggerer nobody has, and then whoever asks could approve."""
    with DAG("d", schedule=None):
        wait = sensor(requester="{{ dag_run.triggering_user_name }}", forbid_self_approval=True)
    assert wait.start_from_trigger is False


def test_p1_where_triggerers_have_queues_a_worker_gives_the_trigger_its_own(monkeypatch):
    """Airflow gives a trigger none that its scheduler starts, and no triggerer with queues takes it up."""
    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
    start_from_trigger.triggerers_have_queues.cache_clear()
    try:
        assert sensor().start_from_trigger is False
    finally:
        start_from_trigger.triggerers_have_queues.cache_clear()


@pytest.mark.since_airflow("3.3", "no trigger has a context before")
@pytest.mark.parametrize("of_task", [True, False])
@pytest.mark.parametrize(
    ("param", "given", "begins"),
    [
        (Param(type="string"), "north", False),
        (Param(type=["string", "null"]), None, False),
        (Param("south", type="string"), "north", True),
        (Param("south", enum=["south", "north"]), "elsewhere", True),
        (5, 3, True),
    ],
)
def test_p1_a_wait_begins_in_the_triggerer_only_where_airflow_can_make_its_context(param, given, begins, of_task):
    """What it raises meanwhile ends the triggerer, and with it every wait."""
    params = {"region": param}
    with DAG("d", schedule=None, params=None if of_task else params) as dag:
        wait = sensor(params=params if of_task else None)
    assert wait.start_from_trigger is begins
    if begins:
        assert context_in_triggerer(dag, {"region": given})["params"]["region"] == given


def context_in_triggerer(dag: DAG, conf: dict) -> dict:
    from airflow.executors.workloads import TaskInstance
    from airflow.jobs.triggerer_job_runner import TriggerRunner

    who = {"dag_id": dag.dag_id, "run_id": "r", "task_id": "wait", "map_index": -1, "try_number": 1}
    ti = TaskInstance.model_construct(id=uuid4(), dag_version_id=uuid4(), **who)
    times = dict.fromkeys(
        ["logical_date", "data_interval_start", "data_interval_end", "end_date", "partition_key"]
    )
    began = {"run_after": datetime.now(UTC), "start_date": datetime.now(UTC), "consumed_asset_events": []}
    run = {"dag_id": dag.dag_id, "run_id": "r", "run_type": "manual", "state": "running", "conf": conf}
    written = DagSerialization.to_dict(dag)
    return TriggerRunner.create_runtime_ti(ti, written, run | times | began).get_template_context()
