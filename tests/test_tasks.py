# SPDX-License-Identifier: Apache-2.0
"""What every task about a ticket has."""

from __future__ import annotations

from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator, CollectorCompleteOperator
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tasks import CallsItsm, ReadsVerdict
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
        assert isinstance(reader, ReadsVerdict)
        assert isinstance(reader, CallsItsm | ItsmTicketTrigger)
        assert reader.verdict_settings == settings
