# SPDX-License-Identifier: Apache-2.0
"""Which waits an approval may end without a worker."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG, Asset, task

from airflow_provider_bkitsm.mixins import is_mapped_over
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor


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
