# SPDX-License-Identifier: Apache-2.0
"""What every task about a ticket has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import pytest
from airflow.sdk import DAG, Asset, task

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.mixins import (
    ItsmHookMixin,
    OnNotApproved,
    VerdictPolicyMixin,
    check_on_abandoned,
    check_on_not_approved,
    is_mapped_over,
    json_value,
    map_index,
    number,
)
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator, CollectorCompleteOperator
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger


def test_the_client_is_that_of_the_tasks_connection_and_made_once():
    task = ItsmCreateTicketOperator(task_id="ask", title="t", bkitsm_conn_id="other")
    assert task.hook.bkitsm_conn_id == "other"
    assert task.hook is task.hook


def test_whoever_reads_a_verdict_reads_it_in_the_same_place():
    settings = {"verdict_field": "approval_result", "verdict_value": "true", "require_evidence": False}
    collector = {"collector_config_id": 1, "bk_biz_id": 2}
    waiting = {"bkitsm_conn_id": "x", "poll_interval": 1, "approval_timeout": None}
    for reader in (
        ItsmTicketSensor(task_id="wait", ticket_sn="REQ1", **settings),
        ItsmTicketTrigger(ticket_sn="REQ1", **waiting, **settings),
        CollectorApplyOperator(task_id="apply", clean_config={}, **collector, **settings),
        CollectorCompleteOperator(task_id="complete", **collector, **settings),
    ):
        assert isinstance(reader, VerdictPolicyMixin)
        assert isinstance(reader, ItsmHookMixin | ItsmTicketTrigger)
        assert reader.verdict_settings == settings


@pytest.mark.parametrize("known", get_args(OnNotApproved))
def test_what_a_refusal_does_is_one_of_three(known):
    assert check_on_not_approved(known) == known
    with pytest.raises(ValueError, match="on_not_approved must be fail, skip or pass, not"):
        check_on_not_approved(known.upper())


@pytest.mark.parametrize("known", ["withdraw", "keep"])
def test_what_becomes_of_an_open_ticket_is_one_of_two(known):
    assert check_on_abandoned("on_kill", known) == known
    with pytest.raises(ValueError, match="on_kill must be withdraw or keep, not"):
        check_on_abandoned("on_kill", known.upper())


@pytest.mark.parametrize(("said", "index"), [(None, -1), (-1, -1), (0, 0), (3, 3)])
def test_a_task_that_is_not_mapped_has_one_index(said, index):
    assert map_index(SimpleNamespace(map_index=said)) == index


# Which waits an approval may end without a worker.


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


# What templates leave of a parameter, and what is made of it.


@pytest.mark.parametrize("given", [12, "12", " 12\n"])
def test_a_number_is_read_from_text(given: object) -> None:
    assert number("hosts", given) == 12


@pytest.mark.parametrize("given", ["", "twelve", "1.5", None])
def test_what_is_no_number_is_named(given: object) -> None:
    with pytest.raises(ItsmConfigurationError, match=f"hosts must be a number, not {given!r}"):
        number("hosts", given)


@pytest.mark.parametrize(
    ("given", "read"), [('{"a": [1]}', {"a": [1]}), ({"a": 1}, {"a": 1}), ("{'a': 1}", "{'a': 1}"), ("", "")]
)
def test_json_text_is_read_and_other_text_left_to_who_refuses_it(given: Any, read: Any) -> None:
    assert json_value(given) == read
