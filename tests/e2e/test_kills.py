# SPDX-License-Identifier: Apache-2.0
"""Many kills beside a slow ITSM, and what maintenance does to a task that waits (promise P5)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from demo.airflow_api import AirflowApi, wait_until
from demo.local_airflow import LocalAirflow
from tests.e2e.conftest import POSTGRES, clean
from tests.e2e.gates import settle, waits_for

log = logging.getLogger(__name__)

DATABASES = (POSTGRES,)
KILLS, SLOWNESS = 10, (0, 10)
RECONCILE = "bkitsm_reconcile"
# What an end of a ticket asks ITSM for.
CALLS = ("get_ticket_info", "get_ticket_status", "ticket_approval_result", "operate_ticket")
# Its run goes on meanwhile.
WITHOUT_GATE = """
from datetime import timedelta

from airflow.sdk import DAG
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor

with DAG("gated", schedule=None):
    TimeDeltaSensor(task_id="later", delta=timedelta(hours=1), mode="reschedule")
"""


def started(airflow: LocalAirflow, how_many: int) -> dict[str, str]:
    """Start runs; return each with the number of the ticket it waits for, once its trigger has looked."""
    runs = [airflow.api.trigger("gated") for _ in range(how_many)]
    found = {run: waits_for(airflow.api, "gated", run) for run in runs}
    # The trigger's first look comes five seconds after the worker's.
    time.sleep(8)
    return found


@pytest.fixture(scope="module")
def beside(airflow) -> dict[int, dict[str, str]]:
    """Start at once those to be killed beside an ITSM that answers after so many seconds."""
    runs = list(started(airflow, KILLS * len(SLOWNESS)).items())
    return {seconds: dict(runs[number :: len(SLOWNESS)]) for number, seconds in enumerate(SLOWNESS)}


@pytest.fixture(autouse=True)
def _no_fault_stays(control) -> Iterator[None]:
    yield
    control.clear_faults()


@pytest.mark.parametrize("seconds", SLOWNESS)
def test_p5_every_kill_ends_its_ticket_however_slow_itsm_is(airflow, control, beside, seconds):
    runs = beside[seconds]
    assert len(set(runs.values())) == KILLS
    for name in CALLS if seconds else ():
        control.fault(name, "delay", seconds=seconds, times=10_000)
    began = time.monotonic()
    for run in runs:
        airflow.api.set_task_state("gated", run, "gate", "failed")
    open_ones = lambda: [sn for sn in runs.values() if control.ticket(sn)["status"] != "REVOKED"]  # noqa: E731
    wait_until(lambda: not open_ones(), lambda: f"open: {open_ones()}", seconds=240)
    ended = time.monotonic() - began
    log.warning(
        "ITSM answers after %s s: %s kills, all tickets ended %.0f s after the first", seconds, KILLS, ended
    )


@pytest.fixture
def reconciling(airflow):
    """Let the DAG that reconciles run."""
    airflow.api.call("PATCH", f"dags/{RECONCILE}", json={"is_paused": False})
    yield
    airflow.api.call("PATCH", f"dags/{RECONCILE}", json={"is_paused": True})


@pytest.mark.usefixtures("reconciling")
@pytest.mark.parametrize("table", ["trigger", "task_instance", "dag_run"])
def test_p5_a_clean_up_withdraws_nothing_and_what_it_left_is_named(airflow, control, table):
    [(run, sn)] = started(airflow, 1).items()
    # All rows, as if they were old by now.
    clean(airflow, table, before=datetime.now(UTC) + timedelta(days=1))
    time.sleep(15)
    assert control.ticket(sn)["status"] == "RUNNING"
    again = airflow.api.trigger(RECONCILE)
    assert airflow.api.wait_for_run(RECONCILE, again) == "success"
    states = airflow.api.task_states("gated", run) if table != "dag_run" else {}
    named = (airflow.api.xcom(RECONCILE, again, "reconcile") or {}).get("left_open", [])
    assert sn in named or states.get("gate") == "deferred", (states, named)
    assert control.ticket(sn)["status"] == "RUNNING"


def read_again(api: AirflowApi, dag: str) -> None:
    """Let the DAG processor read a DAG's file at once."""
    api.call("PUT", f"parseDagFile/{api.call('GET', f'dags/{dag}')['file_token']}")


def test_p1_p5_a_task_that_is_missing_from_its_file_for_a_while_waits_on(airflow, control, dags):
    [(run, sn)] = started(airflow, 1).items()
    file = dags / "gated.py"
    text = file.read_text()
    state = lambda: airflow.api.task_states("gated", run).get("gate")  # noqa: E731
    try:
        file.write_text(WITHOUT_GATE)
        read_again(airflow.api, "gated")
        wait_until(lambda: state() != "deferred" or None, lambda: f"the task is {state()}")
    finally:
        file.write_text(text)
        read_again(airflow.api, "gated")
    time.sleep(5)
    assert control.ticket(sn)["status"] == "RUNNING"
    wait_until(lambda: state() == "deferred" or None, lambda: f"the task is {state()}")
    settle()
    control.approve(sn)
    assert airflow.api.wait_for_run("gated", run) == "success"
    assert airflow.api.xcom("gated", run, "then") == f"{sn} approved"
