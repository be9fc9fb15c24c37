# SPDX-License-Identifier: Apache-2.0
"""What ITSM v4 says of a ticket, and what that means: its words, its answers and the body of its callback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_bkitsm.itsm import models as inner
from airflow_provider_bkitsm.itsm.errors import ItsmUnexpectedAnswerError
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.v4.reading import Task, V4Ticket, moment, read_id
from airflow_provider_bkitsm.itsm.v4.settings import V4Settings

NAME = "v4"
RUNNING, FINISHED = "running", "finished"
# Facts "ended-words" and "suspended-word"; words are compared in lower case.
_PROGRESS = {
    "draft": Progress.RUNNING,
    RUNNING: Progress.RUNNING,
    "suspend": Progress.SUSPENDED,
    "suspended": Progress.SUSPENDED,
    FINISHED: Progress.FINISHED,
    "revoked": Progress.WITHDRAWN,
    "termination": Progress.TERMINATED,
}
_TITLE = "title"
_COUNTER_DIGITS = 8


def progress_of(ticket: V4Ticket) -> Progress:
    """Return how far a ticket is: what is not known to be an end is a wait, never a yes.

    ``finished`` counts only with the time of the end. An unknown word with such a time is an end without a verdict
    (facts ``unknown-word``, ``ended-by-time``).
    """
    progress = _PROGRESS.get(ticket.status)
    if progress is None:
        return Progress.TERMINATED if ticket.end_at else Progress.OPEN
    if progress is Progress.FINISHED and not ticket.end_at:
        return Progress.OPEN
    return progress


def is_incomplete(ticket: V4Ticket) -> bool:
    """Whether a row of an ended ticket lacks what is to be known then: a list may leave it out."""
    lacks_verdict = ticket.status == FINISHED and not (ticket.end_at and ticket.approve_result is not None)
    return lacks_verdict or (progress_of(ticket).has_ended and not ticket.title)


def read_state(ticket: V4Ticket, settings: V4Settings) -> inner.TicketState:
    """Return the state of a ticket; only a JSON boolean is a verdict (fact ``verdict-type``)."""
    return inner.TicketState(
        sn=ticket.id,
        current_status=ticket.status,
        progress=progress_of(ticket),
        approve_result=ticket.approve_result,
        title=_title(ticket, settings),
        ticket_url=ticket.url,
        updated_at=moment(ticket.end_at, settings.zone) or moment(ticket.updated_at, settings.zone),
        current_steps=read_steps(ticket),
    )


def read_info(ticket: V4Ticket, settings: V4Settings) -> inner.TicketInfo:
    """Return a ticket with its form. The title's key is the core's here."""
    created = moment(ticket.created_at, settings.zone)
    if created is None:
        raise ItsmUnexpectedAnswerError(f"ITSM does not say when ticket {ticket.id} was opened")
    return inner.TicketInfo(
        sn=ticket.id,
        current_status=ticket.status,
        progress=progress_of(ticket),
        created_at=created,
        title=_title(ticket, settings),
        creator=ticket.creator,
        service_id=ticket.workflow or None,
        ended_at=moment(ticket.end_at, settings.zone),
        current_steps=read_steps(ticket),
        fields=tuple(
            inner.FormField(key=_TITLE if key == settings.title_key else key, name=key, value=value)
            for key, value in ticket.form.items()
        ),
        ticket_url=ticket.url,
    )


def read_summary(ticket: V4Ticket, settings: V4Settings) -> inner.TicketSummary:
    """Return a row of a list."""
    created = moment(ticket.created_at, settings.zone)
    return inner.TicketSummary(
        id=_rank(ticket, settings.zone),
        sn=ticket.id,
        progress=progress_of(ticket),
        current_status=ticket.status,
        title=_title(ticket, settings),
        creator=ticket.creator,
        created_at=created,
        ended_at=moment(ticket.end_at, settings.zone),
        ticket_url=ticket.url,
    )


def read_steps(ticket: V4Ticket) -> tuple[inner.Step, ...]:
    """Return the current steps and whom they ask.

    ITSM names the task of each person it asks. A step that has no task's id asks the people who have none either.
    """
    if not ticket.steps and ticket.processors:
        return (inner.Step(key="", processors=_names(ticket, None)),)
    only = len(ticket.steps) == 1
    return tuple(
        inner.Step(
            key=step.activity_key or step.task_id or step.name,
            name=step.name,
            processors=_names(ticket, None if only else step.task_id),
        )
        for step in ticket.steps
    )


def steps_of(tasks: Iterable[Task]) -> tuple[inner.Step, ...]:
    """Return the steps of open tasks, and whom they ask."""
    return tuple(
        inner.Step(
            key=task.activity_key or task.id,
            name=task.name,
            processors=tuple(dict.fromkeys(name for one in task.processors for name in one.names)),
        )
        for task in tasks
        if task.is_open
    )


def read_callback(body: Mapping[str, Any]) -> inner.CallbackBody | None:
    """Return a callback's body; None if its shape is wrong (fact ``callback-body``).

    It is not known whether ITSM posts the callback of a withdrawal before it answers the withdrawal. If it does,
    a receiver that checks the callback first would wait for its own call. So such a callback is answered first.
    """
    token, ticket = body.get("callback_token"), body.get("ticket")
    if not (isinstance(token, str) and isinstance(ticket, dict) and read_id(ticket)):
        return None
    status = ticket.get("status")
    progress = _PROGRESS.get(status.strip().lower()) if isinstance(status, str) else None
    inside_a_call = progress is not None and progress.is_called_off
    return inner.CallbackBody(sn=read_id(ticket), token=token, inside_a_call=inside_a_call, dialect=NAME)


def _title(ticket: V4Ticket, settings: V4Settings) -> str:
    in_form = ticket.form.get(settings.title_key)
    return ticket.title or (in_form if isinstance(in_form, str) else "")


def _names(ticket: V4Ticket, task_id: str | None) -> tuple[str, ...]:
    """Return whom a task asks, each once; those of no certain task count for each."""
    wanted = (one for one in ticket.processors if task_id is None or one.task_id in ("", task_id))
    return tuple(dict.fromkeys(name for one in wanted for name in one.names))


def _rank(ticket: V4Ticket, zone: ZoneInfo) -> int:
    """Return a number that rises with the time of opening: its second, then the counter at the end of its id."""
    created, counter = moment(ticket.created_at, zone), ticket.id[-_COUNTER_DIGITS:]
    second = int(created.timestamp()) if created else 0
    return second * int("1" + "0" * _COUNTER_DIGITS) + (
        int(counter) if counter.isascii() and counter.isdigit() else 0
    )
