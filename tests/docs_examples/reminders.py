# SPDX-License-Identifier: Apache-2.0
"""An approval that reminds its approvers by itself, and is escalated where they do not answer."""

# --8<-- [start:dag]
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_bkitsm.itsm.reminders import WorkingHours
from airflow_provider_bkitsm.notifications.cmsi import BkCmsiNotifier
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("reminded", schedule=None) as dag:
    ItsmApprovalOperator(
        task_id="approval",
        service_id=18,
        title="Widen the firewall for {{ run_id }}",
        fields={"approver": "alice", "content": "Port 8443, for a week"},
        approval_timeout=timedelta(days=3),
        remind_after=[timedelta(hours=4), timedelta(days=1), timedelta(days=2)],
        remind_by=[BkCmsiNotifier(channel="mail"), BkCmsiNotifier(channel="weixin")],
        working_hours=WorkingHours("09:00", "18:00", time_zone="Asia/Shanghai"),
        escalate_after=timedelta(days=2),
        escalate_to="bob",
    )
# --8<-- [end:dag]

# --8<-- [start:anything]
from airflow.sdk import SyncCallback

from airflow_provider_bkitsm.notifications.ticket import ItsmTicketNotifier

senders = [
    # A notifier, as it is.
    ItsmTicketNotifier(
        title="{{ reminder.subject_en }}",
        fields={"APPROVER": "carol", "APPROVAL_CONTENT": "{{ reminder.text_en }}"},
        fast_approval=True,
        failure_key="{{ reminder.id }}",
    ),
    # One that is not to be made while the DAG is parsed.
    SyncCallback(BkCmsiNotifier, kwargs={"language": "en"}),
    # A function of yours, or a notifier that needs no arguments.
    "company.chat.remind",
]
# --8<-- [end:anything]
