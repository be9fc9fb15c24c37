# SPDX-License-Identifier: Apache-2.0
"""Waits that only the callback can end soon, and waits that poll every few seconds."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator, ItsmOperateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

NEVER, SOON = 3600, 3
PARAMS = {"content": Param("now"), "callback_url": Param(""), "conn_id": Param("bkitsm_default")}
CONN = {"bkitsm_conn_id": "{{ params.conn_id }}"}


def hold() -> TimeDeltaSensor:
    """Return a task that ends when somebody says so."""
    return TimeDeltaSensor(task_id="hold", delta=timedelta(days=1), deferrable=True)


def ask() -> ItsmCreateTicketOperator:
    fields = {"APPROVER": "admin", "APPROVAL_CONTENT": "{{ params.content }}"}
    meta = {"callback_url": "{{ params.callback_url }}"}
    return ItsmCreateTicketOperator(
        task_id="ask", title="Now", fast_approval=True, fields=fields, meta=meta, **CONN
    )


@task
def then(verdict: dict) -> str:
    return f"{verdict['sn']} {verdict['outcome']}"


for dag_id, interval in {"by_callback": NEVER, "by_poll": SOON}.items():
    with DAG(dag_id, schedule=None, params=PARAMS):
        then(ItsmTicketSensor(task_id="wait", ticket_sn=ask().output, poke_interval=interval, **CONN).output)

# Neither what is behind the wait nor the run's end comes before the held task does.
with DAG("held", schedule=None, params=PARAMS):
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=ask().output, poke_interval=NEVER, **CONN)
    hold() >> then(wait.output)

with DAG("two_waits", schedule=None, params=PARAMS):
    ticket = ask()
    then(ItsmTicketSensor(task_id="wait", ticket_sn=ticket.output, poke_interval=NEVER, **CONN).output)
    ItsmTicketSensor(
        task_id="produces",
        ticket_sn=ticket.output,
        poke_interval=NEVER,
        outlets=[Asset("bkitsm://approved")],
        **CONN,
    )

with DAG("withdraws_its_own", schedule=None, params=PARAMS):
    ticket = ask()
    ItsmTicketSensor(task_id="wait", ticket_sn=ticket.output, poke_interval=NEVER, **CONN)
    hold() >> ItsmOperateTicketOperator(
        task_id="withdraw",
        ticket_sn=ticket.output,
        action_type="WITHDRAW",
        action_message="No longer needed",
        **CONN,
    )
