# SPDX-License-Identifier: Apache-2.0
"""What sends reminders: how it is named, kept and called."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback
from jinja2.sandbox import SandboxedEnvironment

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.tickets.reminder import Reminder, ReminderKind
from airflow_provider_bkitsm.tickets.senders import (
    SenderSpec,
    ThreadPerCall,
    load_sender,
    read_senders,
    sender_specs,
    without_templates,
    write_senders,
)

SENT: list[Any] = []
EVIL = "{{ 7 * 7 }} {title} %s <b>&\x1b[31m"


@pytest.fixture(autouse=True)
def _nothing_sent() -> None:
    SENT.clear()


def message(**changes: Any) -> Reminder:
    about: dict[str, Any] = {
        "sn": "REQ1",
        "title": "Open the gate",
        "step": "Approval",
        "recipients": ("alice", "bob"),
        "approvers": ("alice", "bob"),
        "waiting_since": datetime(2026, 11, 29, 12, 0, tzinfo=UTC),
        "deadline": datetime(2026, 12, 1, 12, 0, tzinfo=UTC),
        "ticket_url": "https://itsm.example.com/#/ticket/detail?id=1",
        "airflow_url": "https://airflow.example.com/dags/d/runs/r/tasks/t/plugin/bkitsm-ticket",
        "dag_id": "d",
        "run_id": "r",
        "task_id": "t",
    }
    return Reminder(**(about | changes))


class Chat(BaseNotifier):
    """A notifier as others write them."""

    template_fields = ("text",)

    def __init__(self, *, text: str, room: str = "all", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.room = room

    def notify(self, context: Any) -> None:
        SENT.append((self.text, self.room, context["ti"].task_id, threading.current_thread().name))


class SubChat(Chat):
    """One that hands arguments on."""

    def __init__(self, *, loud: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loud = loud


class OnlyAsync(BaseNotifier):
    """One that Airflow runs in a triggerer only."""

    def __init__(self, room: str = "all") -> None:
        super().__init__()
        self.room = room

    async def async_notify(self, context: Any) -> None:
        SENT.append((self.room, context["reminder"]["sn"]))


class Forgets(BaseNotifier):
    """One that does not keep what it was given."""

    def __init__(self, *, token: str) -> None:
        super().__init__()
        self.hidden = token


class Changes(BaseNotifier):
    """One that keeps something else."""

    def __init__(self, *, room: str) -> None:
        super().__init__()
        self.room = room + "!"


class Reads(BaseNotifier):
    """One that keeps what it was given in another form, which is an argument too."""

    template_fields = ("text",)

    def __init__(self, *, text: str = "", loud: str | None = None) -> None:
        super().__init__()
        self.text = text if loud is None else loud.upper()


class Hides(Reads):
    """One that keeps a part of what it was given elsewhere."""

    def __init__(self, *, token: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden = token


class Demands(Reads):
    """One that takes nothing but what is in its way."""

    def __init__(self, *, text: str = "") -> None:
        super().__init__(text=text)
        if self.text.islower():
            raise ValueError(self.text)
        self.text = self.text.lower()


def function(*, sn: str, title: str, ticket_url: str, approvers: Any, waiting_since: Any, by: str) -> None:
    SENT.append((sn, title, ticket_url, approvers, waiting_since, by))


def curious(*, reminder: dict[str, Any], room: str, **_: Any) -> None:
    SENT.append((reminder["kind"], reminder["recipients"], room))


async def asynchronous(*, sn: str, **_: Any) -> None:
    SENT.append(sn)


HERE = __name__


def test_notifiers_callbacks_and_paths_are_kept_as_path_and_arguments() -> None:
    given = [
        Chat(text="{{ reminder.text_en }}", room="ops"),
        SyncCallback(Chat, kwargs={"text": "t"}),
        AsyncCallback(f"{HERE}.asynchronous"),
        f"{HERE}.function",
    ]
    specs = sender_specs(given)
    assert [one.as_dict() for one in specs] == [
        {"path": f"{HERE}.Chat", "kwargs": {"text": "{{ reminder.text_en }}", "room": "ops"}},
        {"path": f"{HERE}.Chat", "kwargs": {"text": "t"}},
        {"path": f"{HERE}.asynchronous", "kwargs": {}},
        {"path": f"{HERE}.function", "kwargs": {}},
    ]
    assert read_senders(write_senders(specs)) == specs


def test_a_notifier_is_kept_with_what_it_hands_on_to_its_base() -> None:
    (spec,) = sender_specs(SubChat(text="t", room="ops", loud=True))
    assert spec.kwargs == {"text": "t", "room": "ops", "loud": True}


def test_an_argument_that_is_not_kept_is_left_out_where_the_notifier_is_the_same_without_it() -> None:
    (spec,) = sender_specs(Reads(loud="now: {{ reminder.sn }}"))
    assert spec.kwargs == {"text": "NOW: {{ REMINDER.SN }}"}
    assert sender_specs(Hides(text="t"))[0].kwargs == {"text": "t"}


def test_the_same_sender_twice_is_one() -> None:
    assert len(sender_specs([Chat(text="t"), Chat(text="t", room="all"), Chat(text="other")])) == 2
    assert sender_specs(None) == sender_specs([]) == ()
    assert write_senders(()) is None
    assert read_senders(None) == read_senders("no JSON") == read_senders("[1]") == ()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (42, "int"),
        (print, "builtin"),
        ("not a path", "import path"),
        ("alone", "import path"),
        (Forgets(token="t"), "token"),
        (Changes(room="r"), "room"),
        (Hides(text="t", token="t"), "token"),
        (Demands(text="T"), "text"),
        (Chat(text=object()), "JSON"),  # type: ignore[arg-type]
        (SyncCallback(Chat, kwargs={"text": float("nan")}), "JSON"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_cannot_be_made_again_elsewhere_is_refused_while_the_dag_is_parsed(given: Any, word: str) -> None:
    with pytest.raises(ItsmConfigurationError, match="remind_by") as refused:
        sender_specs(given)
    assert word in str(refused.value)


def test_arguments_with_templates_travel_as_no_templates() -> None:
    data = {"kwargs": {"text": "{{ a }} {% if b %} {# c #} {", "deep": [{"x": "{{{{"}]}}
    text = without_templates(data)
    assert json.loads(text) == data
    assert not any(sign in text for sign in ("{{", "{%", "{#"))
    assert SandboxedEnvironment().from_string(text).render() == text


def test_a_notifier_renders_its_own_templates_with_the_reminder() -> None:
    load_sender(SenderSpec(path=f"{HERE}.Chat", kwargs={"text": "{{ reminder.sn }}: {{ reminder.title }}"}))(
        message()
    )
    assert SENT[0][:3] == ("REQ1: Open the gate", "all", "t")


def test_what_comes_from_elsewhere_is_no_template() -> None:
    send = load_sender(SenderSpec(path=f"{HERE}.Chat", kwargs={"text": "{{ reminder.title }}"}))
    send(message(title=EVIL))
    assert SENT[0][0].startswith("{{ 7 * 7 }} {title} %s <b>&")
    assert "\x1b" not in SENT[0][0]


def test_a_notifier_that_has_only_its_asynchronous_half_sends_too() -> None:
    load_sender(SenderSpec(path=f"{HERE}.{OnlyAsync.__name__}", kwargs={"room": "ops"}))(message())
    load_sender(SenderSpec(path=f"{HERE}.{asynchronous.__name__}"))(message())
    assert SENT == [("ops", "REQ1"), "REQ1"]


def test_a_function_gets_what_one_of_the_remind_option_gets() -> None:
    one = message()
    load_sender(SenderSpec(path=f"{HERE}.function"))(one)
    assert [("REQ1", one.title, one.ticket_url, ["alice", "bob"], one.waiting_since, "Airflow")] == SENT


def test_a_function_that_asks_for_more_gets_it() -> None:
    send = load_sender(SenderSpec(path=f"{HERE}.{curious.__name__}", kwargs={"room": "ops"}))
    send(message(kind=ReminderKind.ESCALATE, recipients=("boss",)))
    assert SENT == [("escalate", ["boss"], "ops")]


@pytest.mark.parametrize("path", ["nowhere.at_all", f"{HERE}.nothing", f"{HERE}.EVIL", "os.path"])
def test_what_cannot_be_imported_or_called_is_an_error_that_names_it(path: str) -> None:
    with pytest.raises(ItsmConfigurationError, match=path.replace(".", r"\.")):
        load_sender(SenderSpec(path=path))(message())


def test_both_languages_say_who_since_when_until_when_and_where() -> None:
    one = message(time_zone="Asia/Shanghai")
    english, chinese = one.text("en"), one.text("zh")
    assert english.splitlines() == [
        "Please decide: Open the gate (REQ1)",
        "Step: Approval",
        "Asks: alice, bob",
        "Waits since: 2026-11-29 20:00 Asia/Shanghai",
        "Until: 2026-12-01 20:00 Asia/Shanghai",
        "Task: d.t, r",
        "In ITSM: https://itsm.example.com/#/ticket/detail?id=1",
        "In Airflow: https://airflow.example.com/dags/d/runs/r/tasks/t/plugin/bkitsm-ticket",
    ]
    assert chinese.splitlines()[0] == "请审批：Open the gate（REQ1）"
    assert "等待开始：2026-11-29 20:00 Asia/Shanghai" in chinese


@pytest.mark.parametrize(
    ("handed_over", "english", "chinese"),
    [(True, "Handed over to you", "已转单给您"), (False, "Nobody has decided yet", "尚无人审批")],
)
def test_an_escalation_says_whether_the_ticket_is_handed_over(handed_over, english, chinese) -> None:
    one = message(kind=ReminderKind.ESCALATE, handed_over=handed_over)
    assert (one.subject("en").partition(":")[0], one.subject("zh")[: len(chinese)]) == (english, chinese)


def test_only_web_addresses_are_links() -> None:
    one = message(ticket_url="javascript:alert(1)", airflow_url="file:///etc/passwd")
    assert (one.ticket_url, one.airflow_url) == ("", "")
    assert "In ITSM" not in one.text("en")


def test_calls_in_threads_have_a_limit_and_give_results_and_errors() -> None:
    threads, end = ThreadPerCall(most=2), threading.Event()
    hanging = [threads.submit(end.wait) for _ in range(2)]
    assert not threads.has_room
    end.set()
    assert all(one.result(5) for one in hanging)
    failing = threads.submit(int, "x")
    with pytest.raises(ValueError, match="x"):
        failing.result(5)


def test_a_call_that_ends_its_thread_ends_no_event_loop() -> None:
    threads = ThreadPerCall(most=1)
    ended = threads.submit(sys.exit, 1)
    with pytest.raises(RuntimeError, match="SystemExit"):
        ended.result(5)
    assert threads.has_room
