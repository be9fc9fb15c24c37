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
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import SyncCallback

from airflow_provider_bkitsm.notifications.ticket import ItsmTicketNotifier

senders = [
    # A notifier, as it is: a mail to those whom the ticket asks, by the connection smtp_default.
    SmtpNotifier(
        to="{{ reminder.recipients | join('@example.com,') }}@example.com",
        subject="{{ reminder.subject_en }}",
        html_content="{{ reminder.html_en }}",
        custom_headers={"X-Reminder": "{{ reminder.id }}"},
    ),
    # A further ticket, in the queue of somebody who looks after such things.
    ItsmTicketNotifier(
        title="{{ reminder.subject_en }}",
        fields={"APPROVER": "carol", "APPROVAL_CONTENT": "{{ reminder.text_en }}"},
        fast_approval=True,
        failure_key="{{ reminder.id }}",
    ),
    # One that is not to be imported or made while the DAG is parsed.
    SyncCallback(
        "airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier",
        kwargs={
            "text": "An approval waits",
            "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "{{ reminder.text_en }}"}}],
        },
    ),
    # A function of yours, or a notifier that needs no arguments.
    "company.chat.remind",
]
# --8<-- [end:anything]
