# SPDX-License-Identifier: Apache-2.0
"""A waiting task says who it is, and what an approval may do with it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, Asset, task
from airflow.sdk.execution_time import task_runner

from airflow_provider_bkitsm.callback.registering import is_mapped_over, push_xcom
from airflow_provider_bkitsm.callback.waiters import Waiter, wait_key
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

WAITER = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="itsm")


async def test_the_registration_goes_to_airflows_own_table_under_the_tickets_number(monkeypatch):
    sent = []

    async def asend(message):
        sent.append(message)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=asend), raising=False)
    waiting = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=3)
    await push_xcom(waiting, wait_key("REQ1"), WAITER.as_dict())
    (message,) = sent
    assert (message.key, message.map_index, message.value) == ("bkitsm_wait:REQ1", 3, WAITER.as_dict())


class Own(ItsmTicketSensor):
    def execute_complete(self, context, event):
        return super().execute_complete(context, event)


def ends(cls=ItsmTicketSensor, **parameters) -> bool:
    task = cls(task_id="wait", ticket_sn="REQ1", **parameters)
    return bool(task.trigger_arguments()["ends_task"])


def test_a_plain_wait_ends_without_a_worker():
    assert ends()


@pytest.mark.parametrize(
    "needs",
    [
        {"outlets": [Asset("x://y")]},
        {"on_success_callback": print},
        {"pre_execute": print},
        {"post_execute": print},
        {"do_xcom_push": False},
        {"cls": Own},
        {"end_from_trigger": False},
    ],
)
def test_what_needs_a_worker_goes_back_to_one(needs):
    assert not ends(**needs)


def test_a_wait_whose_result_is_mapped_over_goes_back_to_a_worker():
    @task
    def each(one):
        return one

    with DAG("d", schedule=None):
        wait = ItsmTicketSensor(task_id="wait", ticket_sn="REQ1")
        each.expand(one=wait.output)
        alone = ItsmTicketSensor(task_id="alone", ticket_sn="REQ1")
    assert is_mapped_over(wait)
    assert not is_mapped_over(alone)
