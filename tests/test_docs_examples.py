# SPDX-License-Identifier: Apache-2.0
"""The DAGs that the documentation shows: Airflow takes them, and the hooks' calls are there."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from unittest.mock import Mock

import pytest
from airflow.sdk import DAG

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.idempotency import unmarked_title
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, DEFAULT_PORT, ITSM_ROOT, Settings
from airflow_provider_bkitsm.tickets.reminder import Reminder
from airflow_provider_bkitsm.tickets.senders import load_sender, sender_specs
from tests.docs_examples import hooks, remind, reminders, stored_texts
from tests.serialising import serialised

FOLDER = Path(__file__).parent / "docs_examples"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
TASKS = {
    "backfill": {"approve", "load"},
    "branching": {"ask", "resize", "keep"},
    "collector": {"apply", "wait", "provision", "complete"},
    "decorator": {"approve"},
    "first_approval": {"approval", "restart"},
    "notifier": {"load"},
    "own_service": {"approval"},
    "owner": {"approve", "archive"},
    "reminders": {"approval"},
    "regions": {
        f"{region}.{one}" for region in ("eu", "us") for one in ("ask", "roll_out.stop", "roll_out.start")
    },
    "separation": {"approval"},
    "shared_approval": {"approve"},
    "teardown": {"take_snapshot", "approve", "resize", "delete_snapshot"},
    "two_itsms": {"ask_bkitsm_cn", "ask_bkitsm_eu", "release"},
    "two_tasks": {"ask", "approved", "withdraw"},
    "verdict": {"ask", "resize", "report"},
    "verdict_branch": {"ask", "resize", "why_not", "keep", "call_somebody"},
}


def test_every_example_is_known():
    assert set(NAMES) == {*TASKS, "hooks", "json_api", "remind", "stored_texts"}


@pytest.mark.parametrize("name", TASKS)
def test_an_example_survives_airflows_serialisation(name):
    dag = import_module(f"tests.docs_examples.{name}").dag
    assert isinstance(dag, DAG)
    assert set(serialised(dag).task_ids) == TASKS[name]


def test_the_hooks_examples_answer(connections):
    sn = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    assert hooks.open_tickets.function("robot") == [sn]
    assert asyncio.run(hooks.statuses([sn])) == {sn: "RUNNING"}
    assert 1001 in hooks.collectors.function(2)


def test_what_itsm_stores_is_as_the_page_says():
    assert stored_texts.STORED == "say &quot;yes&quot; now"
    assert stored_texts.SHOWN == 'say "yes" now'
    assert stored_texts.LENGTH == 180


def test_the_reminder_says_who_asks_whom_about_what(monkeypatch):
    sent = []
    monkeypatch.setenv("CHAT_ADDRESS", "http://chat.example.com/room")
    monkeypatch.setattr(remind.requests, "post", lambda address, **what: sent.append((address, what)) or Mock())
    since = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    remind.remind(sn="REQ1", title="T", ticket_url="u", approvers=["a", "b"], waiting_since=since, by="c")
    ((address, what),) = sent
    assert address == "http://chat.example.com/room"
    assert what["json"] == {"text": "c asks a, b to look at T (REQ1), open since 2026-11-24 09:30 UTC: u"}


def test_the_reminders_notifiers_send_a_mail_and_open_a_ticket(connections, sandbox, mail):
    message = Reminder(
        sn="REQ1",
        title="<b>Open</b> the gate",
        recipients=("alice", "bob"),
        approvers=("alice", "bob"),
        waiting_since=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
        ticket_url="https://itsm.example.com/#/ticket/detail?id=1",
        reminder_id="abc",
    )
    by_mail, by_ticket, by_chat, by_function = sender_specs(reminders.senders)
    for one in (by_mail, by_ticket):
        load_sender(one)(message)
    (sent,) = mail.mails
    assert sent.to == ("alice@example.com", "bob@example.com")
    assert (sent.subject, sent.message["X-Reminder"]) == ("Please decide: <b>Open</b> the gate (REQ1)", "abc")
    assert "&lt;b&gt;Open&lt;/b&gt; the gate" in sent.html
    assert '<a href="https://itsm.example.com/#/ticket/detail?id=1">' in sent.html
    (ticket,) = sandbox.tickets()
    assert unmarked_title(ticket["title"], is_ours=True) == sent.subject
    assert (by_chat.path.rpartition(".")[2], by_function.path) == ("SlackWebhookNotifier", "company.chat.remind")


def test_the_quick_starts_settings_lead_to_the_sandbox_as_it_starts_by_itself():
    script = f'. "{FOLDER / "settings.sh"}"; env'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    for name, root in (("BKITSM", ITSM_ROOT), ("BKLOG", BKLOG_ROOT)):
        text = done.stdout.split(f"AIRFLOW_CONN_{name}_DEFAULT=")[1].split("}")[0] + "}"
        assert json.loads(text) == {
            "conn_type": name.lower(),
            "host": f"http://127.0.0.1:{DEFAULT_PORT}{root}",
            "login": Settings.app_code,
            "password": Settings.app_secret,
        }
