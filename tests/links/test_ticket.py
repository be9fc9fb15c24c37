# SPDX-License-Identifier: Apache-2.0
"""The button on a task's page."""

from __future__ import annotations

from types import SimpleNamespace

from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import SetXCom, XComResult

from airflow_provider_bkitsm.links.ticket import TICKET_URL_KEY, ItsmTicketLink, show_ticket
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator, CollectorCompleteOperator
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator, ItsmOperateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor


def test_every_task_about_a_ticket_has_the_button():
    for kind in (
        ItsmCreateTicketOperator,
        ItsmOperateTicketOperator,
        ItsmTicketSensor,
        CollectorApplyOperator,
        CollectorCompleteOperator,
    ):
        assert any(isinstance(link, ItsmTicketLink) for link in kind.operator_extra_links)


def test_the_api_server_reads_the_address_the_task_pushed(task):
    who = task("open")
    show_ticket(who.context["ti"], "https://itsm.example.com/#/ticket/detail?id=3")
    assert who.xcom == {ItsmTicketLink().xcom_key: "https://itsm.example.com/#/ticket/detail?id=3"}


def test_without_an_address_there_is_no_button(task):
    who = task("open")
    show_ticket(who.context["ti"], None)
    assert who.xcom == {}


def test_the_link_gives_what_was_pushed(monkeypatch):
    pushed = {TICKET_URL_KEY: "https://itsm.example.com/x"}
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_value", lambda *, ti_key, key: pushed.get(key))
    assert ItsmTicketLink().get_link(None, ti_key=None) == "https://itsm.example.com/x"
    pushed.clear()
    assert ItsmTicketLink().get_link(None, ti_key=None) == ""


def test_beside_an_xcom_backend_the_address_is_in_airflows_own_table(task, monkeypatch):
    """Airflow's API server reads the address of a button there, and a trigger writes it there."""
    stored = {}

    def send(message):
        if isinstance(message, SetXCom):
            stored[message.key] = message.value
            return None
        return XComResult(key=message.key, value=stored.get(message.key))

    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "somewhere.References")
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=send), raising=False)
    ti = task("open").context["ti"]
    assert ItsmTicketLink().get_link(None, ti_key=ti) == ""
    show_ticket(ti, "https://itsm.example.com/x")
    assert stored == {TICKET_URL_KEY: "https://itsm.example.com/x"}
    assert ItsmTicketLink().get_link(None, ti_key=ti) == "https://itsm.example.com/x"
