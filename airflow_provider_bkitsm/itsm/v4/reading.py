# SPDX-License-Identifier: Apache-2.0
"""Answers of ITSM v4 as plain models: every shape in which its public clients have seen them.

What only shows a ticket is read leniently; what decides over one (``id``, ``status``, ``approve_result``) is not.
Times are texts here: what they mean, :func:`moment` says, which needs the installation's zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from airflow_provider_bkitsm.itsm.errors import ItsmTicketNotFoundError, ItsmUnexpectedAnswerError

T = TypeVar("T")
Json = Mapping[str, Any]
# A database spells a time that is missing as its first one.
_FIRST_YEAR = 1971


@dataclass(frozen=True, kw_only=True)
class CurrentStep:
    """A step that waits. Which of its keys ITSM shows differs between versions (fact ``steps-shape``)."""

    name: str = ""
    activity_key: str = ""
    task_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Processor:
    """Whom a step asks; ``task_id`` may be empty."""

    names: tuple[str, ...]
    task_id: str = ""


@dataclass(frozen=True, kw_only=True)
class V4Ticket:
    """A ticket, as create, detail and both lists show it.

    :param workflow: the key of its workflow.
    :param approve_result: None where it is no boolean (fact ``verdict-type``).
    :param end_at: empty where it is no time.
    :param called_back: whether the callback was taken, as ITSM says; None: ITSM has not called back (yet).
    """

    id: str
    status: str
    approve_result: bool | None = None
    sn: str = ""
    title: str = ""
    creator: str = ""
    workflow: str = ""
    created_at: str = ""
    updated_at: str = ""
    end_at: str = ""
    url: str = ""
    steps: tuple[CurrentStep, ...] = ()
    processors: tuple[Processor, ...] = ()
    form: Json = field(default_factory=dict)
    called_back: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one approval step asks of somebody; ``ticket_id`` may be empty."""

    id: str
    ticket_id: str = ""
    status: str = ""
    status_display: str = ""
    activity_key: str = ""
    name: str = ""
    desc: str = ""
    operator: str = ""
    operator_type: str = ""
    operator_at: str = ""
    processors: tuple[Processor, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it waits for an answer."""
        return self.status in ("", "running")


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of a ticket's log."""

    action: str
    ticket_id: str = ""
    action_display: str = ""
    activity_type: str = ""
    activity_key: str = ""
    activity_name: str = ""
    operator: str = ""
    operator_type: str = ""
    agent: str = ""
    operate_at: str = ""
    message: str = ""
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list of tickets.

    :param count: how many tickets the whole list has; None where it does not say.
    :param unreadable: ids of rows that cannot be read.
    """

    count: int | None
    rows: tuple[V4Ticket, ...] = ()
    unreadable: frozenset[str] = frozenset()
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class FormKey:
    """One key of a workflow's form."""

    key: str
    name: str = ""
    type: str = ""
    is_required: bool = False
    names_people: bool = False
    default: Any = None


@dataclass(frozen=True, kw_only=True)
class ApprovalStep:
    """One approval step of a workflow.

    :param people_from: keys of the form that name whom it asks.
    :param asks_others: whether it asks people besides, such as those of a role.
    """

    key: str
    name: str = ""
    people_from: tuple[str, ...] = ()
    asks_others: bool = False
    approves_by_itself: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """An enabled workflow: its steps and its form."""

    key: str
    name: str = ""
    steps: tuple[ApprovalStep, ...] = ()
    form: tuple[FormKey, ...] = ()


def moment(text: str, zone: tzinfo) -> datetime | None:
    """Return a time as aware UTC; None for a text that is no time (facts ``times``, ``zone``)."""
    try:
        read = datetime.fromisoformat(text.upper())
        at = (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if at.year >= _FIRST_YEAR else None


def local_text(at: datetime, zone: ZoneInfo) -> str:
    """Return an aware time as a filter takes it."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def read_ticket(data: object) -> V4Ticket:
    """Read a ticket.

    :raises ItsmUnexpectedAnswerError: it has no id or no status.
    """
    row = _object(data, "a ticket")
    ticket_id, status = read_id(row), row.get("status")
    if not (ticket_id and isinstance(status, str) and status.strip()):
        raise ItsmUnexpectedAnswerError("ITSM answered with a ticket that has no id or no status")
    return V4Ticket(
        id=ticket_id,
        status=status.strip().lower(),
        approve_result=_flag(row.get("approve_result")),
        sn=_text(row, "sn"),
        title=_text(row, "title"),
        creator=_text(row, "creator"),
        workflow=_text(row, "workflow_key") or _text(row, "workflow_id"),
        created_at=_text(row, "created_at"),
        updated_at=_text(row, "updated_at"),
        end_at=end_at if moment(end_at := _text(row, "end_at"), UTC) else "",
        url=_text(row, "frontend_url"),
        steps=tuple(map(_step, _objects(row.get("current_steps")))),
        processors=tuple(map(_processor, _objects(row.get("current_processors")))),
        form=_mapping(row.get("form_data")),
        called_back=_flag(_mapping(row.get("callback_result")).get("result")),
    )


def read_id(row: Json) -> str:
    """Return a ticket's id; empty where it has none. One client calls it a number: it is a name all the same."""
    return _text(row, "id") if row.get("id") else ""


def read_created(data: object) -> V4Ticket:
    """Read a ticket that was just opened: its id is all that must be there, whatever else is left out or wrong.

    :raises ItsmUnexpectedAnswerError: it has no id (fact ``create-without-id``).
    """
    return read_ticket({**_object(data, "a ticket"), "status": "draft"})


def read_detail(data: object) -> V4Ticket:
    """Read the one ticket that was asked for; without an id in it there is none (one client guards against that).

    :raises ItsmTicketNotFoundError: ITSM shows no ticket.
    """
    if isinstance(data, dict) and data.get("id") in (None, ""):
        raise ItsmTicketNotFoundError("ITSM shows no such ticket")
    return read_ticket(data)


def read_page(data: object) -> Page:
    """Read one page of a list; a row that cannot be read is named, and hides none of the others.

    :raises ItsmUnexpectedAnswerError: it is no page.
    """
    page = _object(data, "a page of tickets")
    listed = page.get("results", page.get("items"))
    if not isinstance(listed, list):
        raise ItsmUnexpectedAnswerError("ITSM answered with a page that lists no tickets")
    rows: list[V4Ticket] = []
    unreadable: set[str] = set()
    problem = ""
    for row in listed:
        try:
            rows.append(read_ticket(row))
        except ItsmUnexpectedAnswerError as error:
            problem = error.message
            if isinstance(row, dict) and (ticket_id := read_id(row)):
                unreadable.add(ticket_id)
    count = page.get("count")
    return Page(
        count=count if isinstance(count, int) and not isinstance(count, bool) else None,
        rows=tuple(rows),
        unreadable=frozenset(unreadable),
        problem=problem,
    )


def read_tasks(data: object) -> tuple[Task, ...]:
    """Read the approval tasks of a ticket."""
    return _items(data, "approval tasks", _task)


def read_logs(data: object) -> tuple[LogLine, ...]:
    """Read a ticket's log, oldest line first."""
    return _items(data, "a log", _log_line)


def read_workflows(data: object) -> tuple[Workflow, ...]:
    """Read workflows with steps and form."""
    return _items(data, "workflows", _workflow)


def read_workflow_names(data: object) -> tuple[Workflow, ...]:
    """Read the list of a system's workflows, which has keys and names alone."""
    page = _object(data, "a list of workflows")
    rows = _objects(page.get("results", page.get("items")))
    return tuple(Workflow(key=_text(row, "key"), name=_text(row, "name")) for row in rows if _text(row, "key"))


def read_result(data: object) -> bool:
    """Whether an operation was done: ``result`` has to say so beside the envelope (fact ``revoke``)."""
    row = data if isinstance(data, dict) else {}
    return row.get("result") is True


def read_nothing(_data: object) -> None:
    """Read an answer that says nothing."""


def _items(data: object, what: str, read: Callable[[Json], T]) -> tuple[T, ...]:
    rows = _object(data, what).get("items")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ItsmUnexpectedAnswerError(f"ITSM was asked for {what} and answered with something else")
    return tuple(map(read, rows))


def _task(row: Json) -> Task:
    return Task(
        id=_text(row, "id"),
        ticket_id=_ticket_of_task(row),
        status=_text(row, "status").lower(),
        status_display=_text(row, "status_display"),
        activity_key=_text(row, "activity_key"),
        name=_text(row, "name"),
        desc=_text(row, "desc"),
        operator=_text(row, "operator"),
        operator_type=_text(row, "operator_type").lower(),
        operator_at=_text(row, "operator_at"),
        processors=tuple(map(_processor, _objects(row.get("current_processors")))),
    )


def _ticket_of_task(row: Json) -> str:
    """Return whose a task is; where it does not say, the people whom it asks may."""
    named = (_text(one, "ticket_id") for one in (row, *_objects(row.get("current_processors"))))
    return next(filter(None, named), "")


def _log_line(row: Json) -> LogLine:
    return LogLine(
        action=_text(row, "action").lower(),
        ticket_id=_text(row, "ticket_id"),
        action_display=_text(row, "action_display"),
        activity_type=_text(row, "activity_type").upper(),
        activity_key=_text(row, "activity_key"),
        activity_name=_text(row, "activity_name"),
        operator=_text(row, "operator"),
        operator_type=_text(row, "operator_type").lower(),
        agent=_text(row, "agent"),
        operate_at=_text(row, "operate_at"),
        message=_text(row, "message"),
        remark=_remark(_objects(row.get("extra"))),
    )


_REMARK_NAMES = ("审批意见", "原因")


def _remark(extra: Sequence[Json]) -> str:
    """Return what was written beside an answer. Names may be translated: then the first named value counts."""
    named = [one for one in extra if one.get("type") == "name_value"]
    known = [one for one in named if one.get("name") in _REMARK_NAMES]
    return next((_text(one, "value") for one in (*known, *named) if _text(one, "value")), "")


def _workflow(row: Json) -> Workflow:
    canvas = _mapping(row.get("form_canvas_data"))
    return Workflow(
        key=_text(row, "key") or _text(row, "workflow_key"),
        name=_text(row, "name") or _text(row, "desc"),
        steps=tuple(_approval_steps(_mapping(row.get("activities")))),
        form=tuple(_form_keys(canvas)),
    )


def _approval_steps(activities: Json) -> Iterator[ApprovalStep]:
    for key, activity in activities.items():
        if not isinstance(activity, dict) or _text(activity, "type").upper() != "APPROVE_TASK":
            continue
        meta = _mapping(activity.get("meta"))
        switches = _mapping(meta.get("advanced_settings"))
        yield ApprovalStep(
            key=_text(activity, "key") or key,
            name=_text(activity, "name"),
            people_from=tuple(_text(one, "path") for one in _objects(meta.get("processors")) if _is_form_key(one)),
            asks_others=not all(map(_is_form_key, _objects(meta.get("processors")))),
            approves_by_itself=tuple(name for name in _BY_ITSELF if switches.get(name) is True),
        )


_BY_ITSELF = ("creator_auto_approve", "previously_approved_auto_approve", "auto_submit_with_no_handler")


def _is_form_key(source: Json) -> bool:
    """Whether a source of approvers is a key of the form, not the ticket's creator or a role."""
    return _text(source, "key").upper() in ("DATA_TABLE", "") and bool(_text(source, "path"))


def _form_keys(canvas: Json) -> Iterator[FormKey]:
    schema = _mapping(canvas.get("jsonschema"))
    required = schema.get("required")
    shown = {_text(one, "key"): one for one in _layout(_mapping(canvas.get("form_data")))}
    for key, given in _mapping(schema.get("properties")).items():
        rule, field_shown = _mapping(given), shown.get(key, {})
        verification = _mapping(_mapping(field_shown.get("verification")).get("required"))
        yield FormKey(
            key=key,
            name=_text(_mapping(field_shown.get("title")), "value") or _text(rule, "title") or key,
            type=_text(rule, "type"),
            is_required=verification.get("value") is True or (isinstance(required, list) and key in required),
            names_people=_text(_mapping(rule.get("items")), "format") == "user",
            default=field_shown.get("defaultValue"),
        )


def _layout(form_data: Json) -> Iterator[Json]:
    for block in _objects(form_data.get("layout")):
        yield from _objects(block.get("list"))


def _step(row: Json) -> CurrentStep:
    return CurrentStep(
        name=_text(row, "name"),
        activity_key=_text(row, "activity_key"),
        task_id=_text(row, "task_id") or _text(row, "id"),
    )


def _processor(row: Json) -> Processor:
    return Processor(names=tuple(_names(row.get("processor"))), task_id=_text(row, "task_id"))


def _names(value: object) -> Iterable[str]:
    """Read a processor: a text, or a list of texts or objects (fact ``processor-shape``)."""
    listed = value if isinstance(value, list) else [value]
    for one in listed:
        name = _text(one, "id") if isinstance(one, dict) else one
        if isinstance(name, str) and name.strip():
            yield name.strip()


def _text(row: Json, key: str) -> str:
    """Return a value as text; empty where it is absent, or no text and no number."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip() if key != "title" else str(value)


def _flag(value: object) -> bool | None:
    """Return a boolean; None for everything else, a text that spells one among it."""
    return value if isinstance(value, bool) else None


def _object(data: object, what: str) -> Json:
    if not isinstance(data, dict):
        raise ItsmUnexpectedAnswerError(f"ITSM was asked for {what} and answered with something else")
    return data


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
