# SPDX-License-Identifier: Apache-2.0
"""What this provider knows of a ticket, in words of no ITSM version: the inner model.

Every dialect turns its own answers into these. Times are aware; texts are as people meant them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Progress(StrEnum):
    """How far a ticket is.

    ``OPEN`` is a ticket that has not ended and of which nothing more is known: administrators may name states of
    their own, and a later version may have new ones. None of them is an end (promise P3).
    """

    OPEN = "open"
    RUNNING = "running"
    SUSPENDED = "suspended"
    FINISHED = "finished"
    WITHDRAWN = "withdrawn"
    TERMINATED = "terminated"

    @property
    def has_ended(self) -> bool:
        """Whether the ticket never changes again."""
        return self is Progress.FINISHED or self.is_called_off

    @property
    def is_called_off(self) -> bool:
        """Whether somebody ended the ticket before an approver answered."""
        return self in (Progress.WITHDRAWN, Progress.TERMINATED)


# Nothing a browser, a log or a terminal would read otherwise than a person: no blanks, quotes, control characters.
_WEB_ADDRESS = re.compile(r"https?://[^\s\"<>\\]+", re.IGNORECASE)


def web_address(value: object) -> str:
    """Return an http(s) address; empty for anything else, such as ``javascript:``."""
    address = value.strip() if isinstance(value, str) else ""
    return address if _WEB_ADDRESS.fullmatch(address) and address.isprintable() else ""


class _WithAddresses:
    """Keeps only http(s) addresses of a ticket: people click on them."""

    def __post_init__(self) -> None:
        """Drop what is no address."""
        for name in ("ticket_url", "iframe_ticket_url"):
            if getattr(self, name, None):
                object.__setattr__(self, name, web_address(getattr(self, name)))


class TicketAction(StrEnum):
    """What can be done to a ticket."""

    SUSPEND = "SUSPEND"
    UNSUSPEND = "UNSUSPEND"
    WITHDRAW = "WITHDRAW"
    TERMINATE = "TERMINATE"


@dataclass(frozen=True, kw_only=True)
class CreatedTicket(_WithAddresses):
    """A ticket that was just opened.

    :param sn: what the ticket is called in every later call.
    :param id: a second number, where ITSM says one.
    """

    sn: str
    id: int | None = None
    ticket_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that waits.

    :param key: what ITSM calls the step; ``name`` is what people call it.
    :param processors: the people it asks.
    :param is_open_to_all: whether anybody may take it.
    :param can_be_handed_over: whether ITSM offers to ask other people in their place; None: it does not say.
    """

    key: str
    name: str = ""
    processors: tuple[str, ...] = ()
    is_open_to_all: bool = False
    can_be_handed_over: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TicketStatus(_WithAddresses):
    """How far a ticket is, and which steps wait.

    :param current_status: ITSM's own word, for people; what it means is ``progress``.
    """

    current_status: str
    progress: Progress
    current_steps: tuple[Step, ...] = ()
    ticket_url: str = ""
    iframe_ticket_url: str = ""

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Whom its current steps ask, each once."""
        return tuple(dict.fromkeys(name for step in self.current_steps for name in step.processors))

    @property
    def step_names(self) -> str:
        """What people call its current steps, in one text."""
        return ", ".join(step.name for step in self.current_steps if step.name)


@dataclass(frozen=True, kw_only=True)
class TicketState(_WithAddresses):
    """The authoritative state of a ticket.

    :param current_status: as :class:`TicketStatus` has it.
    :param approve_result: ITSM's own verdict, which counts only once the ticket has ended; None: there is none.
    :param updated_by: the people who have acted on the ticket, in no order; empty where ITSM does not name them.
    :param current_steps: as far as an answer about many tickets shows them.
    """

    sn: str
    current_status: str
    progress: Progress
    approve_result: bool | None
    title: str = ""
    ticket_url: str = ""
    updated_at: datetime | None = None
    updated_by: tuple[str, ...] = ()
    current_steps: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One field of a ticket's form, as ITSM shows it. ``key`` may be empty."""

    key: str = ""
    type: str = ""
    name: str = ""
    value: Any = None
    display_value: Any = None


@dataclass(frozen=True, kw_only=True)
class TicketInfo(_WithAddresses):
    """A ticket with the form as its approver sees it.

    :param service_id: number or key of its service, where ITSM says one.
    """

    sn: str
    current_status: str
    progress: Progress
    created_at: datetime
    title: str = ""
    creator: str = ""
    service_id: int | str | None = None
    ended_at: datetime | None = None
    current_steps: tuple[Step, ...] = ()
    fields: tuple[FormField, ...] = ()
    ticket_url: str = ""
    iframe_ticket_url: str = ""


@dataclass(frozen=True, kw_only=True)
class TicketSummary(_WithAddresses):
    """A ticket as a search lists it.

    :param id: rises with the time of opening.
    """

    id: int
    sn: str
    progress: Progress
    current_status: str = ""
    title: str = ""
    creator: str = ""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    ticket_url: str = ""


@dataclass(frozen=True, kw_only=True)
class StepAnswer:
    """One answer in the log.

    :param approved: None where the entry holds an answer that cannot be told.
    :param automatic: ITSM answered by itself, in somebody's name or in its own.
    :param key: what the answer is of, the same for a step in every round; empty where it cannot be told.
    :param step: the step's name, as far as the log shows it.
    :param agent: who else the log names with the answer, such as whoever answered in the operator's place.
    """

    operator: str
    approved: bool | None
    automatic: bool
    key: str
    step: str
    remark: str
    answered_at: datetime | None
    agent: str = ""


class LogAction(StrEnum):
    """What a line of a ticket's log says that somebody has done."""

    BEGAN = "began"
    ENDED = "ended"
    SUBMITTED = "submitted"
    HANDLED = "handled"
    APPROVED = "approved"
    REFUSED = "refused"
    ANSWERED = "answered"
    HANDED_OVER = "handed_over"
    ASSIGNED = "assigned"
    CLAIMED = "claimed"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    WITHDRAWN = "withdrawn"
    TERMINATED = "terminated"
    RAN = "ran"


@dataclass(frozen=True, kw_only=True)
class LogSentence:
    """A line of the log, taken apart for people of another language than ITSM's. No verdict is read from it.

    :param person: who did it; empty where ITSM did.
    :param step: the step's name.
    :param to: who got the step.
    :param note: what the person wrote, or the answer where it is neither yes nor no.
    """

    action: LogAction
    person: str = ""
    step: str = ""
    to: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One line of a ticket's log.

    :param answer: of an approval step; None for every other entry, such as a hand-over or a withdrawal.
    :param fields: what was filled in.
    :param step: the step's name, as far as the entry shows it.
    :param remark: what was written beside an answer.
    :param is_form_step: whether somebody has handled a form, the submit form included.
    :param is_of_person: whether it is certain that a person has taken an ordinary step.
    :param automatic: ITSM acted by itself, in somebody's name or in its own.
    :param sentence: the message, taken apart; None where it is not known what it says.
    """

    operator: str = ""
    at: datetime | None = None
    message: str = ""
    answer: StepAnswer | None = None
    fields: tuple[FormField, ...] = ()
    step: str = ""
    remark: str = ""
    is_form_step: bool = False
    is_of_person: bool = False
    automatic: bool = False
    sentence: LogSentence | None = None


@dataclass(frozen=True, kw_only=True)
class TicketLog:
    """A ticket's log, oldest entry first."""

    sn: str
    entries: tuple[LogEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ServiceField:
    """One field of a service's submit form.

    :param type: as ITSM names it.
    :param names_people: whether it takes names of people.
    :param is_required: whether it must be filled.
    :param is_always_shown: False where other fields may hide it.
    :param default: what ITSM's own page starts with: a ticket opened by a call does not get it.
    :param choices: what may be answered, names by key; empty where everything may, or only ITSM knows.
    """

    key: str
    type: str = ""
    name: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    names_people: bool = False
    is_required: bool = True
    is_always_shown: bool = True
    default: Any = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """What tickets are opened in: a service, and its submit form.

    :param details: the dialect's own description, which only the dialect reads.
    """

    service_id: int | str
    name: str = ""
    fields: tuple[ServiceField, ...] = ()
    details: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ListedService:
    """A service in a list of them.

    :param catalog: name of the catalogue it is in; empty where ITSM does not say.
    """

    service_id: int | str
    name: str = ""
    catalog: str = ""


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """A step of a service's flow that people take, behind the submit step.

    :param kind: as ITSM names it, for people.
    :param approves: whether it is an approval step.
    :param fills_form: whether people fill in its ``fields``.
    :param people_from: key of the form field that names who is asked; None: ITSM knows by itself.
    :param people: who is asked, as the flow names them.
    :param names_people: whether ``people`` are names, and no role or the like.
    :param asks_others: whether it asks further people, of whom nothing is shown.
    :param ends_at_first: whether one answer is enough.
    :param fields: what they fill in; empty where ITSM did not show it.
    :param note: what a person should know about it.
    """

    name: str
    kind: str
    approves: bool = False
    fills_form: bool = False
    people_from: str | None = None
    people: str = ""
    names_people: bool = False
    asks_others: bool = False
    ends_at_first: bool = False
    fields: tuple[Mapping[str, Any], ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class CallbackBody:
    """What a callback's body may say: which ticket, and proof that some ITSM sent it.

    ``inside_a_call`` is a claim like all the rest. It decides when the callback is answered, never what is done.

    :param dialect: name of the dialect it is written in.
    """

    sn: str
    token: str = field(repr=False)
    inside_a_call: bool = False
    dialect: str
