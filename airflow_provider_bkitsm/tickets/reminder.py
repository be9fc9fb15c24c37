# SPDX-License-Identifier: Apache-2.0
"""A reminder of an open ticket, and its text in English and Chinese. Pure.

What comes from elsewhere, such as a title or a step's name, is put into a text as it is: it is never a template, a
format or markup. In HTML it is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from html import escape
from typing import Any, Literal
from zoneinfo import ZoneInfo

from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.itsm.models import web_address

Language = Literal["en", "zh"]


class ReminderKind(StrEnum):
    """Why somebody is written to: the ticket waits for them; or it has waited for others for too long."""

    REMIND = "remind"
    ESCALATE = "escalate"


@dataclass(frozen=True, kw_only=True)
class Reminder:
    """One message about an open ticket.

    :param recipients: whom it is for: the people the ticket asks now, or those it is escalated to.
    :param approvers: the people the ticket asks now.
    :param by: who sends it, by name in ITSM; empty where Airflow does so by itself.
    :param handed_over: of an escalation: whether ITSM asks the recipients now.
    :param reminder_id: the same for every try to send this message, by whichever process.
    """

    kind: ReminderKind = ReminderKind.REMIND
    sn: str
    title: str = ""
    step: str = ""
    recipients: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    waiting_since: datetime
    deadline: datetime | None = None
    ticket_url: str = ""
    airflow_url: str = ""
    by: str = ""
    handed_over: bool = False
    reminder_id: str = ""
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Keep only http(s) addresses, since people click on them, and texts that a terminal shows as they are."""
        for name in ("ticket_url", "airflow_url"):
            object.__setattr__(self, name, web_address(getattr(self, name)))
        for name in ("title", "step"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def subject(self, language: Language = "en") -> str:
        """Return one line for a mail's subject or a message's head."""
        return _WORDS[language].subject(self)

    def lines(self, language: Language = "en") -> tuple[tuple[str, str], ...]:
        """Return what there is to say, label and value, in the order in which people read it."""
        return _WORDS[language].lines(self)

    def text(self, language: Language = "en") -> str:
        """Return the whole message as plain text, one fact in a line."""
        colon = _WORDS[language].colon
        facts = [f"{label}{colon}{value}" for label, value in self.lines(language)]
        return "\n".join([self.subject(language), *facts])

    def html(self, language: Language = "en") -> str:
        """Return the whole message as a mail's content; only http(s) addresses are links in it."""
        rows = "\n".join(
            f"<tr><th align='left'>{escape(label)}</th><td>{_linked(value)}</td></tr>"
            for label, value in self.lines(language)
        )
        return f"<p>{escape(self.subject(language))}</p>\n<table>\n{rows}\n</table>"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for the context of a notifier and its templates."""
        return {
            "kind": str(self.kind),
            "sn": self.sn,
            "title": self.title,
            "step": self.step,
            "recipients": list(self.recipients),
            "approvers": list(self.approvers),
            "waiting_since": self.waiting_since,
            "deadline": self.deadline,
            "ticket_url": self.ticket_url,
            "airflow_url": self.airflow_url,
            "by": self.by,
            "handed_over": self.handed_over,
            "id": self.reminder_id,
            "subject_en": self.subject("en"),
            "subject_zh": self.subject("zh"),
            "text_en": self.text("en"),
            "text_zh": self.text("zh"),
            "html_en": self.html("en"),
            "html_zh": self.html("zh"),
        }


class _English:
    colon = ": "

    def subject(self, one: Reminder) -> str:
        name = f"{one.title} ({one.sn})" if one.title else one.sn
        if one.kind is ReminderKind.REMIND:
            return f"Please decide: {name}"
        return f"Handed over to you: {name}" if one.handed_over else f"Nobody has decided yet: {name}"

    def lines(self, one: Reminder) -> tuple[tuple[str, str], ...]:
        return _filled(
            ("Step", one.step),
            ("Asks", ", ".join(one.approvers)),
            ("Waits since", _time(one.waiting_since, one.time_zone)),
            ("Until", _time(one.deadline, one.time_zone)),
            ("Sent by", one.by),
            ("Task", _task(one)),
            ("In ITSM", one.ticket_url),
            ("In Airflow", one.airflow_url),
        )


class _Chinese:
    colon = "："

    def subject(self, one: Reminder) -> str:
        name = f"{one.title}（{one.sn}）" if one.title else one.sn
        if one.kind is ReminderKind.REMIND:
            return f"请审批：{name}"
        return f"已转单给您：{name}" if one.handed_over else f"尚无人审批：{name}"

    def lines(self, one: Reminder) -> tuple[tuple[str, str], ...]:
        return _filled(
            ("节点", one.step),
            ("审批人", "、".join(one.approvers)),
            ("等待开始", _time(one.waiting_since, one.time_zone)),
            ("截止时间", _time(one.deadline, one.time_zone)),
            ("催办人", one.by),
            ("任务", _task(one)),
            ("ITSM 单据", one.ticket_url),
            ("Airflow 页面", one.airflow_url),
        )


_WORDS: dict[Language, _English | _Chinese] = {"en": _English(), "zh": _Chinese()}


def _filled(*lines: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((label, value) for label, value in lines if value)


def _linked(value: str) -> str:
    address = web_address(value)
    return f'<a href="{escape(address)}">{escape(address)}</a>' if address else escape(value)


def _time(moment: datetime | None, zone: str) -> str:
    if moment is None:
        return ""
    return f"{moment.astimezone(_zone(zone)):%Y-%m-%d %H:%M} {zone}"


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _task(one: Reminder) -> str:
    if not one.task_id:
        return ""
    index = f"[{one.map_index}]" if one.map_index >= 0 else ""
    return printable(f"{one.dag_id}.{one.task_id}{index}, {one.run_id}")
