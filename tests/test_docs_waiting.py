# SPDX-License-Identifier: Apache-2.0
"""The page on waiting names every argument that Airflow has for a task, and each means what the page says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator, BaseSensorOperator
from jinja2 import Undefined

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from airflow_provider_bkitsm.sensors import start_from_trigger
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "waiting.md").read_text("utf-8")
ROWS = re.findall(r"^\| (`.+?) \| (triggerer|worker) \| (triggerer|worker) \| (.*) \|$", PAGE, re.MULTILINE)
TABLE = {name: (begins, ends) for names, begins, ends, _ in ROWS for name in re.findall(r"`(\w+)`", names)}
# These are not arguments of a task's own: where it stands.
PLACE = {"self", "kwargs", "task_id", "dag", "task_group", "default_args", "sla", "resources"}
SAMPLES: Mapping[str, Any] = {
    "retries": 3,
    "retry_exponential_backoff": True,
    "inlets": [Asset("x://in")],
    "outlets": [Asset("x://out")],
    "execution_timeout": timedelta(hours=1),
    "multiple_outputs": True,
    "do_xcom_push": False,
    "map_index_template": "{{ task.task_id }}",
    "pool": "people",
    "pool_slots": 2,
    "max_active_tis_per_dag": 3,
    "max_active_tis_per_dagrun": 3,
    "queue": "people",
    "email": "ops@example.com",
    "priority_weight": 7,
    "trigger_rule": "all_done",
    "run_as_user": "ops",
    "soft_fail": True,
    "params": {"sn": "REQ1"},
    "owner": "ops",
    "timeout": 60,
    "max_wait": 60,
} | {f"on_{when}_callback": print for when in ("execute", "failure", "success", "retry", "skipped")}
SAMPLES = {**SAMPLES, "pre_execute": print, "post_execute": print}


@pytest.fixture(autouse=True)
def _airflow_renders_in_the_triggerer(monkeypatch):
    monkeypatch.setattr(start_from_trigger, "AIRFLOW_V_3_3_PLUS", True)


def arguments(*classes: type) -> set[str]:
    return set().union(*(inspect.signature(one.__init__).parameters for one in classes)) - PLACE


OF_SENSORS = arguments(BaseOperator, BaseSensorOperator)


def ends(task: Any) -> str:
    return "triggerer" if task.trigger_arguments()["ends_task"] else "worker"


@pytest.mark.parametrize("argument", sorted(OF_SENSORS))
def test_an_argument_of_airflow_is_in_the_table(argument):
    assert argument in TABLE


@pytest.mark.parametrize("argument", sorted(set(SAMPLES) & OF_SENSORS))
def test_an_argument_means_for_the_sensor_what_the_table_says(argument):
    with DAG("d", schedule=None):
        wait = ItsmTicketSensor(task_id="wait", ticket_sn="REQ1", **{argument: SAMPLES[argument]})
    assert ("triggerer" if wait.start_from_trigger else "worker", ends(wait)) == TABLE[argument]


@pytest.mark.parametrize("argument", sorted(set(SAMPLES) & arguments(BaseOperator)))
def test_an_argument_means_for_the_end_of_the_approval_operator_what_the_table_says(argument):
    with DAG("d", schedule=None):
        gate = ItsmApprovalOperator(
            task_id="gate",
            title="t",
            fast_approval=True,
            compare_parameters=False,
            **{argument: SAMPLES[argument]},
        )
    assert ends(gate) == TABLE[argument][1]


def test_whatever_needs_a_worker_has_a_sample():
    """All others are about scheduling, and about failures, which end on a worker in any case."""
    assert {name for name, both in TABLE.items() if "worker" in both} - set(SAMPLES) == set()


@pytest.mark.parametrize(
    ("settings", "ticket_sn", "approval_timeout", "begins"),
    [
        ({}, "{{ params.sn }}", 60, True),
        ({"user_defined_macros": {"sn": str}}, "{{ sn(ds) }}", 60, False),
        ({"user_defined_filters": {"loud": str.upper}}, "{{ ds | loud }}", 60, False),
        ({"user_defined_filters": {"loud": str.upper}}, "REQ1", 60, True),
        ({"jinja_environment_kwargs": {"variable_start_string": "<<"}}, "<< ds }}", 60, False),
        ({"template_undefined": Undefined}, "{{ ds }}", 60, False),
        ({"render_template_as_native_obj": True}, "{{ ds }}", 60, True),
        ({"render_template_as_native_obj": True}, "REQ1", "{{ params.time }}", False),
        ({}, "REQ1", "{{ params.time }}", True),
    ],
)
def test_templates_begin_where_they_mean_what_the_dag_means(settings, ticket_sn, approval_timeout, begins):
    with DAG("d", schedule=None, **settings):
        wait = ItsmTicketSensor(task_id="wait", ticket_sn=ticket_sn, approval_timeout=approval_timeout)
    assert wait.start_from_trigger is begins


@pytest.mark.since_airflow("3.3", "deadline alerts with an asynchronous callback")
def test_a_dag_with_a_deadline_alert_waits_as_any_other():
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference

    alert = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=1),
        callback=AsyncCallback("tests.test_docs_waiting.told", {}),
    )
    with DAG("d", schedule=None, deadline=alert):
        wait = ItsmTicketSensor(task_id="wait", ticket_sn="REQ1")
    assert wait.start_from_trigger
    assert ends(wait) == "triggerer"


def test_a_template_whose_dag_is_not_there_yet_begins_on_a_worker():
    assert ItsmTicketSensor(task_id="wait", ticket_sn="{{ ds }}").start_from_trigger is False
