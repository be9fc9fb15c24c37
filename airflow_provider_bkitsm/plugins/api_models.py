# SPDX-License-Identifier: Apache-2.0
"""What the JSON API answers, field by field: nothing that is not in these models leaves it.

They are the source of ``docs/openapi.json``. Within ``v1`` no field is renamed or removed, or gets another meaning
(docs/json-api.md#what-stable-means).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from airflow_provider_bkitsm.approvals.asked import Match
from airflow_provider_bkitsm.approvals.rows import Status, TaskKey
from airflow_provider_bkitsm.approvals.state_diagram import StateDiagram
from airflow_provider_bkitsm.approvals.ticket_detail import Kind
from airflow_provider_bkitsm.approvals.ticket_reminders import ReminderAct
from airflow_provider_bkitsm.collectors.row import CollectorState
from airflow_provider_bkitsm.itsm.models import LogAction
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import SeenBy
from airflow_provider_bkitsm.tickets.reminder_store import ReminderState


def _in_utc(time: datetime | str) -> datetime:
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first or the last day that there is
        return moment.replace(tzinfo=UTC)


Time = Annotated[datetime, BeforeValidator(_in_utc), Field(examples=["2026-11-29T08:20:02Z"])]
"""A time as the API writes it: RFC 3339, in UTC."""

_STATUSES = [*map(str, Status), *(str(outcome) for outcome in Outcome if outcome.is_final)]


def _status(text: str) -> str:
    if text not in _STATUSES:
        raise PydanticCustomError("enum", "Input should be one of {expected}", {"expected": ", ".join(_STATUSES)})
    return text


ApprovalStatus = Annotated[str, AfterValidator(_status), Field(json_schema_extra={"enum": _STATUSES})]
"""How an approval stands: a ``Status``, or the ``Outcome`` that it has."""

_T = TypeVar("_T")
_OrNull = Annotated[_T | None, BeforeValidator(lambda value: value or None)]

_SN, _DAG, _RUN = "REQ20261129000001", "release", "manual__2026-11-29T08:20:00+00:00"
_ADDRESS = "https://itsm.example.com/#/tickets/7"


class _Answer(BaseModel):
    """A part of an answer. It always has all of its fields."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Invalid(_Answer):
    """One value of a request that cannot be used."""

    location: str = Field(description="Where it is: `query` or `body`, and its name.", examples=["query.size"])
    message: str = Field(examples=["Input should be less than or equal to 100"])


class Error(_Answer):
    """Why a request was not answered. Every status of 400 and more has this shape."""

    detail: str = Field(description="For people, in English.", examples=["The task has no such ticket"])
    errors: list[Invalid] = Field(default=[], description="Each value that is wrong; only with status 422.")


class TaskInstance(_Answer):
    """A task instance of Airflow: the key of a row."""

    dag_id: str = Field(examples=[_DAG])
    run_id: str = Field(examples=[_RUN])
    task_id: str = Field(examples=["approval"])
    map_index: int = Field(description="-1 for a task that is not mapped.", examples=[-1])


class Remark(_Answer):
    """What a person wrote beside an answer."""

    person: str = Field(description="By their name in ITSM.", examples=["alice"])
    text: str = Field(examples=["Not before the weekend"])


def _may_withdraw(**default: Any) -> Any:
    description = (
        "Whether the caller may withdraw it: they may change the DAG's runs, and ITSM lets them, "
        "as far as its rule is known."
    )
    return Field(description=description, **default)


def _withdraw_by(**default: Any) -> Any:
    description = "If ITSM does not let the caller withdraw it: who may. Empty where that is not known."
    return Field(description=description, examples=[["robot"]], **default)


class _TicketRow(_Answer):
    """What a row says of its ticket. A text that is not known is empty, a time null.

    Rows of tasks and of tickets say in their own words what the fields without a description are.
    """

    sn: str
    conn_id: str = Field(
        description="Airflow's connection to the ITSM of the ticket.", examples=["bkitsm_default"]
    )
    title: str = Field(examples=["Release 7"])
    ticket_url: str = Field(description="The ticket's page in ITSM: http(s), or empty.", examples=[_ADDRESS])
    status: ApprovalStatus
    open: bool
    step: str = Field(description="The step it waits in, while it is open.", examples=["Leader"])
    approvers: list[str] = Field(description="Whom it waits for, by their names in ITSM.", examples=[["alice"]])
    decided_by: list[str] = Field(description="Who answered, by their names in ITSM.", examples=[[]])
    reason_code: _OrNull[Reason] = Field(description="Why it has this outcome; null without one.", examples=[None])
    reason: str = Field(description="The same for people, in English; empty while it is open.", examples=[""])
    since: Time | None
    deadline: Time | None
    decided_at: Time | None = Field(description="When it was decided, or the task ended; null while it is open.")
    seen_by: _OrNull[SeenBy] = Field(description="How the decision reached Airflow.", examples=[None])
    seen_at: Time | None = Field(description="When the decision reached Airflow.")
    polled_at: Time | None = Field(description="While it is open: when the connection was last polled.")
    read_at: Time | None = Field(description="As of when `status` is, if ITSM has said it.")
    stale: bool = Field(description="Whether ITSM did not confirm `status` just now; for an open ticket.")
    step_at: Time | None = Field(description="As of when `step` and `approvers` are.")
    step_stale: bool = Field(description="Whether ITSM did not confirm `step` and `approvers` just now.")
    stalled: bool = Field(description="Whether the ticket waits for nobody, a minute after it was opened.")
    creator: str = Field(description="In whose name the ticket was opened, as ITSM shows it.", examples=["robot"])
    asked_by: list[str] = Field(
        description=(
            "The people who asked: whom the task names as its requester, else who started the run, else in whose"
            " name the ticket was opened."
        ),
        examples=[["carol"]],
    )
    remarks: list[Remark] = Field(
        description="What people wrote beside their answers, oldest first.", examples=[[]]
    )
    seconds_to_decide: float | None = Field(
        description="From `since` to `decided_at`, in seconds; null unless it was approved or rejected.",
        examples=[5400.0],
    )
    collector: str = Field(description="The log collector it is about.", examples=["1001 (bklog_default)"])


class Approval(_TicketRow, TaskInstance):
    """A task instance that waits, or waited, for a ticket. A text that is not known is empty, a time null."""

    sn: str = Field(description="The ticket's number in ITSM; unique within `conn_id`.", examples=[_SN])
    status: ApprovalStatus = Field(
        description="`waiting`, `suspended` or `resuming` while it is open; then its outcome, or `ended`.",
        examples=["waiting"],
    )
    open: bool = Field(description="Whether the run does not have the decision yet.")
    since: Time | None = Field(description="When the ticket was opened, or the wait began.")
    deadline: Time | None = Field(description="When the task gives up; null if never, and once it is over.")
    registered_at: Time | None = Field(description="When the task began to wait for this ticket.")
    triggered_by: str = Field(description="Who started the run, by the name in Airflow; empty for a schedule.")


class TicketTask(TaskInstance):
    """A task instance that waits, or waited, for a ticket."""

    status: ApprovalStatus = Field(description="As of its ticket; tasks of one ticket may differ.")
    open: bool = Field(description="Whether the run does not have the decision yet.")
    deadline: Time | None = Field(description="When the task gives up; null if never, and once it is over.")
    reason_code: _OrNull[Reason] = Field(description="Why it has this outcome; null without one.", examples=[None])
    reason: str = Field(description="The same for people, in English; empty while it is open.", examples=[""])
    may_change: bool = Field(description="Whether it is open and the caller may change the DAG's runs.")


class TicketOfList(_TicketRow):
    """A ticket, and the tasks that wait or waited for it, of the DAGs that the caller may read."""

    sn: str = Field(description="Its number in ITSM; empty while it is not known.", examples=[_SN])
    status: ApprovalStatus = Field(
        description="`waiting`, `suspended` or `resuming` while a task is open; then its outcome, or `ended`.",
        examples=["waiting"],
    )
    open: bool = Field(description="Whether a run does not have the decision yet.")
    since: Time | None = Field(description="When the ticket was opened, or the first wait began.")
    deadline: Time | None = Field(description="When the first of the waiting tasks gives up; null if none does.")
    tasks: list[TicketTask] = Field(description="Its tasks, at most 100: the one that `status` is of first.")
    task_count: int = Field(
        description="How many tasks it has, of the DAGs that the caller may read.", examples=[1]
    )
    may_withdraw: bool = _may_withdraw()
    withdraw_by: list[str] = _withdraw_by()
    may_remind: bool = Field(description="Whether the caller may have a reminder sent.")


class _Page(_Answer):
    page: int = Field(description="The number of this page, from 1.", examples=[1])
    pages: int = Field(description="How many pages there are, at least 1.", examples=[1])
    total: int = Field(description="How many rows all pages have.", examples=[1])
    now: Time = Field(description="The server's time.")


class ApprovalList(_Page):
    """One page of the approvals of the DAGs that the caller may read."""

    rows: list[Approval]
    waiting: int = Field(description="How many rows are open, whatever `view` is.", examples=[1])
    decided: int = Field(description="How many rows are not open, whatever `view` is.", examples=[0])
    dags: list[str] = Field(description="The DAGs there are rows of, without any filter.", examples=[[_DAG]])
    collectors: list[str] = Field(description="What `collector` can be, without any filter.", examples=[[]])
    itsm_answered: bool = Field(description="Whether every ITSM that was asked for this answer answers.")


class TicketList(_Page):
    """One page of the tickets of the DAGs that the caller may read."""

    total: int = Field(description="How many tickets all pages have.", examples=[1])
    rows: list[TicketOfList]
    waiting: int = Field(description="How many tickets are open, whatever `view` is.", examples=[1])
    decided: int = Field(description="How many tickets are not open, whatever `view` is.", examples=[0])
    dags: list[str] = Field(description="The DAGs there are tickets of, without any filter.", examples=[[_DAG]])
    collectors: list[str] = Field(description="What `collector` can be, without any filter.", examples=[[]])
    connections: list[str] = Field(
        description="What `conn_id` can be, without any filter.", examples=[["bkitsm_default"]]
    )
    people: list[str] = Field(
        description="What `person` can be, without any filter: at most 500 names.", examples=[["alice"]]
    )
    itsm_answered: bool = Field(description="Whether every ITSM that was asked for this answer answers.")


class FormRow(_Answer):
    """A field of a ticket's form, as it was handed in."""

    name: str = Field(examples=["Content"])
    text: str = Field(description="Its value; empty if `rows` has it.", examples=["Restart the cluster"])
    rows: list[tuple[str, str]] = Field(description="Name and value of each line of a custom form.", examples=[[]])


class Sentence(_Answer):
    """A line of ITSM's log, taken apart for readers of other languages. What there is nothing of is empty."""

    action: LogAction
    person: str = Field(description="Who did it; empty where ITSM did.", examples=["alice"])
    step: str = Field(description="The step's name.", examples=["Leader"])
    to: str = Field(description="Who got the step.", examples=[""])
    note: str = Field(description="What the person wrote, or answered.", examples=[""])


class Entry(_Answer):
    """An event of a ticket's history, or a step that waits (`pending`)."""

    kind: Kind
    at: Time | None = Field(description="Null for a step that waits.")
    people: list[str] = Field(description="Who did it, or whom the step waits for.", examples=[["alice"]])
    message: str = Field(description="What ITSM says of it.", examples=["alice handled Leader"])
    remark: str = Field(description="What the approver wrote.", examples=[""])
    automatic: bool = Field(description="Whether ITSM answered without a person.")
    sentence: Sentence | None = Field(
        description="`message` taken apart; null where it is not known what it says."
    )


class Difference(_Answer):
    """A field that is not as it was sent, with excerpts in quotes; `digest` stands for all of what runs."""

    key: str = Field(description="The field's key.", examples=["APPROVAL_CONTENT"])
    sent: str = Field(description="What was sent.", examples=["'Restart db-1'"])
    now: str | None = Field(description="What is there now; null where the field is missing.")


class Asked(_Answer):
    """What the task asked people, by the record of its round, and whether that is what runs."""

    title: str = Field(examples=["Release 7"])
    digest: str = Field(description="The digest of what people were asked.", examples=["sha256:3f9a"])
    runs_digest: str = Field(
        description="The digest of what the task would run, as rendered last; empty if not known.",
        examples=["sha256:3f9a"],
    )
    item: str = Field(description="Which item of a shared approval is this task's.", examples=[""])
    item_digest: str = Field(description="The digest of that item, as the ticket lists it.", examples=[""])
    fields: list[FormRow] = Field(description="What was sent, without the title.")
    match: Match = Field(
        description="Whether what runs is what the ticket shows: `unknown` unless all of it is known."
    )
    differences: list[Difference] = Field(description="In what it differs; empty unless `match` is `differs`.")
    requester: str = Field(description="Who asked, by the name in ITSM.", examples=["alice"])
    run_by: str = Field(description="Who started the run, by the name in Airflow.", examples=["alice"])
    round_number: int = Field(description="Counts how often the task has asked.", examples=[1])


class Answer(_Answer):
    """What one approver answered."""

    operator: str = Field(description="The name in ITSM.", examples=["bob"])
    approved: bool | None = Field(description="Null where the answer cannot be told.", examples=[True])
    remark: str = Field(examples=["fine"])
    decided_at: Time | None
    automatic: bool = Field(description="Whether ITSM answered by itself.")


class Evidence(_Answer):
    """A line of the ticket's log that the outcome rests on."""

    step: str = Field(examples=["Leader"])
    operator: str = Field(examples=["bob"])
    approved: bool | None = Field(examples=[True])
    at: Time | None
    automatic: bool = Field(description="Whether ITSM answered by itself.")


class Decision(_Answer):
    """How the wait ended, as the task was told."""

    outcome: Outcome
    answers: list[Answer] = Field(description="Who answered what, oldest first.")
    evidence: list[Evidence] = Field(description="The lines of the log that the outcome rests on.")
    evidence_required: bool = Field(description="Whether such lines were asked for.")
    seconds: int | None = Field(description="From the ticket's opening to the decision.", examples=[300])
    airflow_url: str = Field(
        description="The Ticket tab of the task that asked; empty without `[api] base_url`.", examples=[""]
    )


class SentReminder(_Answer):
    """A reminder or an escalation that Airflow made by itself, and what became of it.

    `sent` is a message that was sent, or a ticket that was handed over. `claimed` is due, and is not known to be
    done. `merged` was left out, since the escalation was due at the same time. `refused` is a hand-over that was
    not made. `given_up` has failed as often as it is tried.
    """

    kind: ReminderAct = Field(
        description=(
            "A `reminder` to whom the ticket asked, an `escalation` message to the further approvers, or the"
            " `hand_over` of the ticket to them in ITSM."
        )
    )
    state: ReminderState
    at: Time = Field(description="When that was; of `claimed`, when it was tried last.")
    recipients: list[str] = Field(
        description="Their names in ITSM, at most 50; empty where nothing was done.", examples=[["alice"]]
    )


class NextReminder(_Answer):
    """What the task has planned next, by its own `remind_after`, `escalate_after` and `working_hours`."""

    kind: ReminderAct
    at: Time


class Story(_Answer):
    """A ticket as ITSM shows it."""

    title: str = Field(examples=["Release 7"])
    current_status: str = Field(description="ITSM's own word.", examples=["RUNNING"])
    creator: str = Field(examples=["robot"])
    created_at: Time
    ended_at: Time | None
    ticket_url: str = Field(examples=[_ADDRESS])
    form: list[FormRow]
    entries: list[Entry] = Field(description="What happened, oldest first, and what is waited for.")


class Collector(TaskInstance):
    """A log collector, and the task that applied for it last."""

    bklog_conn_id: str = Field(description="Airflow's connection to its log platform.", examples=["bklog_default"])
    collector_config_id: int = Field(description="Its number in that log platform.", examples=[1001])
    state: CollectorState
    en: str = Field(description="The state in English.", examples=["Collection access in progress"])
    zh: str = Field(description="The state in Chinese.", examples=["采集接入进行中"])
    sn: str = Field(description="The number of its ticket; empty before there is one.", examples=[_SN])
    outcome: _OrNull[Outcome] = Field(
        description="The ticket's outcome; null before there is one.", examples=[None]
    )
    digest: str = Field(description="The digest of the ETL payload that is applied for.", examples=["3f2a9c"])
    application: int = Field(description="Counts the applications for it, from 1.", examples=[1])
    updated_at: Time


class CollectorPayload(Collector):
    """A log collector with the payload that is applied for."""

    payload: Any = Field(description="The ETL payload, as the log platform takes it; null without one.")


class CollectorEvent(_Answer):
    """A change of a collector. Those by DAGs that the caller may not read are left out."""

    version: int = Field(description="Counts the collector's changes, from 1.", examples=[1])
    application: int = Field(examples=[1])
    event: str = Field(examples=["apply"])
    from_state: CollectorState
    to_state: CollectorState
    sn: str = Field(examples=[""])
    run_id: str = Field(examples=[_RUN])
    reason: str = Field(examples=[""])
    at: Time


class CollectorDetail(CollectorPayload):
    """A log collector with its history."""

    error: str = Field(description="The last error; empty without one.", examples=[""])
    history: list[CollectorEvent] = Field(description="Its changes, oldest first.")
    picture: StateDiagram = Field(
        description="The states as a drawing, in units of an SVG. Places and sizes may change."
    )
    now: Time = Field(description="The server's time.")


class CollectorList(_Page):
    """One page of the collectors that DAGs applied for which the caller may read."""

    rows: list[Collector]


class Ticket(_Answer):
    """The ticket of one task instance. Without a ticket nothing else has a value."""

    ticket: Approval | None = Field(description="Null if the task has no ticket, or none yet.")
    story: Story | None = Field(default=None, description="Null if ITSM does not show it now.")
    problem: str = Field(default="", description="Why there is no story; empty with one.", examples=[""])
    asked: Asked | None = Field(default=None, description="Null if no record of this Airflow has it.")
    decision: Decision | None = Field(default=None, description="Null before the task has one.")
    reminders: list[SentReminder] = Field(
        default=[],
        description=(
            "Reminders and escalations, oldest first, at most the last 100. Empty while the store cannot be read,"
            " or it is not known when the ticket was opened."
        ),
    )
    next_reminder: NextReminder | None = Field(
        default=None,
        description="What is due next if nobody decides before; null if nothing is, or it is not known.",
    )
    collector: CollectorPayload | None = Field(default=None, description="The log collector it is about.")
    may_change: bool = Field(default=False, description="Whether the caller may change the DAG's runs.")
    may_withdraw: bool = _may_withdraw(default=False)
    withdraw_by: list[str] = _withdraw_by(default=[])
    may_remind: bool = Field(default=False, description="Whether the caller may have a reminder sent.")
    frame_url: str = Field(
        default="", description="ITSM's page, if `[bkitsm] itsm_frame_origin` allows a frame of it.", examples=[""]
    )
    now: Time = Field(description="The server's time.")


class TicketTarget(BaseModel):
    """A ticket, and the task instance that it is the ticket of."""

    dag_id: str = Field(examples=[_DAG])
    run_id: str = Field(examples=[_RUN])
    task_id: str = Field(examples=["approval"])
    map_index: int = Field(default=-1, ge=-1, lt=2**31)
    sn: str = Field(
        description="Its number. If the task has another ticket by now, nothing is done.", examples=[_SN]
    )

    @property
    def task(self) -> TaskKey:
        """The key of the task instance."""
        return TaskKey(dag_id=self.dag_id, run_id=self.run_id, task_id=self.task_id, map_index=self.map_index)


class Withdrawal(TicketTarget):
    """A ticket to withdraw, and why."""

    reason: str = Field(
        min_length=1, max_length=255, pattern=r"\S", description="It is sent to ITSM.", examples=["A mistake"]
    )


class Withdrawn(_Answer):
    """How the ticket stands after a withdrawal."""

    current_status: str = Field(description="ITSM's own word.", examples=["REVOKED"])


class Reminded(_Answer):
    """Who was reminded."""

    approvers: list[str] = Field(description="Their names in ITSM.", examples=[["alice"]])
