# SPDX-License-Identifier: Apache-2.0
"""ITSM v4 behind the seam: the core's questions as v4's calls, and v4's answers as the inner model.

Experimental: its facts are those of public clients (:mod:`airflow_provider_bkitsm.itsm.v4.facts`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.itsm.dialect import Capabilities, Dialect
from airflow_provider_bkitsm.itsm.errors import (
    ItsmError,
    ItsmInvalidRequestError,
    ItsmPermissionError,
    ItsmRefusedError,
    ItsmUnexpectedAnswerError,
)
from airflow_provider_bkitsm.itsm.models import (
    CallbackBody,
    CreatedTicket,
    FlowStep,
    ListedService,
    Service,
    Step,
    TicketAction,
    TicketInfo,
    TicketLog,
    TicketState,
    TicketStatus,
    TicketSummary,
)
from airflow_provider_bkitsm.itsm.protocol import Codes, Flow, chunks
from airflow_provider_bkitsm.itsm.v4 import calls, probe, questions, search, status, workflow
from airflow_provider_bkitsm.itsm.v4.evidence import entries_of
from airflow_provider_bkitsm.itsm.v4.reading import LogLine, Page, Task, V4Ticket
from airflow_provider_bkitsm.itsm.v4.settings import V4Settings, read_settings
from airflow_provider_bkitsm.translation import Text, listing

# Facts "envelope" and "http-status": a number or a text, and every status of success.
CODES = Codes(
    own=re.compile(r"4\d{4}"),
    errors={},
    successes=frozenset({"0", "20000"}),
    ok_statuses=frozenset(range(200, 300)),
)
CAPABILITIES = Capabilities(
    fast_approval=False,
    tag=False,
    batch=True,
    terminate=True,
    suspend=False,
    verdict_field=False,
    verify_token=False,
    withdraws_any=None,
)
_META = frozenset({"callback_url", "callback_token", "bkitsm_digest"})


class V4Dialect(Dialect):
    """ITSM v4, as one connection sets it up."""

    name = status.NAME
    codes = CODES
    service_extra = "workflow_key"
    # Fact "title-length".
    title_limit = 120

    def __init__(self, settings: V4Settings | None = None) -> None:
        self.settings = settings or V4Settings()
        # Only the list of a system reads many tickets at once (fact "batch").
        has_list, signs = self.settings.system_id is not None, self.settings.signs_address
        self.capabilities = replace(CAPABILITIES, batch=has_list, signed_address=signs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, V4Dialect) and self.settings == other.settings

    def __hash__(self) -> int:
        return hash(self.settings)

    def for_connection(self, entry: Callable[[str], str | None]) -> V4Dialect:
        """Return this dialect with a connection's settings."""
        return V4Dialect(read_settings(entry))

    def headers(self) -> dict[str, str]:
        """Return the header of the system's token (fact ``system-token``)."""
        token = self.settings.system_token
        return {"SYSTEM-TOKEN": token} if token else {}

    # -- one ticket ------------------------------------------------------------------------------------------

    def create(self, *, tag: str, creator: str, **request: Any) -> Flow[CreatedTicket]:
        """Open a ticket, whose form carries the tag where the workflow declares a place for it.

        :raises ItsmInvalidRequestError: ``meta`` holds what v4 has not.
        """
        meta = {key: value for key, value in (request.get("meta") or {}).items() if value not in (None, {}, "")}
        if unknown := sorted(meta.keys() - _META):
            raise ItsmInvalidRequestError(
                f"meta: ITSM v4 takes no {', '.join(unknown)}; approvers are a key of the form, and a receiver of"
                " your own gets callback_token. No ticket was opened"
            )
        key = workflow.workflow_key_for(request.get("service_id"), self.settings)
        found = yield from workflow.find_workflow(key)
        declared = {one.key for one in found.form}
        ticket: V4Ticket = yield calls.create_ticket(
            workflow_key=key,
            form_data=workflow.sent_form(request["fields"], self.settings, tag=tag, declared=declared),
            operator=creator,
            system_id=self.settings.system_id,
            callback_url=meta.get("callback_url"),
            callback_token=meta.get("callback_token"),
        )
        return CreatedTicket(sn=ticket.id, ticket_url=ticket.url or None)

    def status(self, sn: str) -> Flow[TicketStatus]:
        """Read how far a ticket is, and whom it asks: where the ticket does not say, its tasks do."""
        ticket = yield from self._detail(sn)
        steps = status.read_steps(ticket)
        if ticket.status == status.RUNNING and not any(step.processors for step in steps):
            with suppress(ItsmError):
                steps = status.steps_of((yield from self._tasks(sn))) or steps
        return TicketStatus(
            current_status=ticket.status,
            progress=status.progress_of(ticket),
            current_steps=steps,
            ticket_url=ticket.url,
        )

    def info(self, sn: str) -> Flow[TicketInfo]:
        """Read a ticket with its form."""
        return status.read_info((yield from self._detail(sn)), self.settings)

    def log(self, sn: str) -> Flow[TicketLog]:
        """Read who did and answered what: log and approval tasks together (three calls)."""
        ticket = yield from self._detail(sn)
        lines: tuple[LogLine, ...] = yield calls.ticket_logs(sn)
        tasks = yield from self._tasks(sn)
        if any(line.ticket_id not in ("", sn) for line in lines):
            raise ItsmUnexpectedAnswerError(
                f"ITSM was asked for the log of ticket {sn} and answered with another's"
            )
        entries = entries_of(lines, tasks, creator=ticket.creator, zone=self.settings.zone)
        return TicketLog(sn=sn, entries=entries)

    def operate(self, *, sn: str, action: TicketAction, operator: str, message: str) -> Flow[None]:
        """Withdraw or terminate a ticket; whether it was done, the ticket's status says.

        :raises ItsmRefusedError: ITSM did not do it.
        """
        try:
            if action is TicketAction.WITHDRAW:
                yield from self._withdraw(sn)
            elif action is TicketAction.TERMINATE:
                yield from self._terminate(sn, operator, message)
            else:
                raise self._lacks(f"lets no application do {action} to ticket {sn}: use ITSM's own page")
        except ItsmInvalidRequestError as error:
            raise ItsmRefusedError(error.message, code=error.code, request_id=error.request_id) from error

    def _withdraw(self, sn: str) -> Flow[None]:
        done: bool = yield calls.revoke_ticket(sn, system_id=self.settings.system_id)
        if not done:
            raise ItsmRefusedError(f"ITSM took the withdrawal of ticket {sn} and says that it was not done")

    def _terminate(self, sn: str, operator: str, message: str) -> Flow[None]:
        tasks = yield from self._tasks(sn)
        task = next((one for one in tasks if one.is_open), None)
        if task is None:
            raise ItsmRefusedError(f"ticket {sn} has no open task, at which alone ITSM v4 terminates a ticket")
        yield calls.terminate_ticket(sn, task_id=task.id, operator=operator, desc=message)

    def hand_over(self, *, sn: str, step: Step, people: Sequence[str], operator: str, message: str) -> Flow[None]:
        """Hand the open tasks of a step over (fact ``deliver``). Each is named by the one whom it asks.

        :raises ItsmRefusedError: the step has no open task, or ITSM did not do it.
        """
        named = [one for one in (yield from self._tasks(sn)) if one.is_open]
        tasks = [one for one in named if step.key in ("", one.activity_key, one.id, one.name)]
        if not tasks:
            raise ItsmRefusedError(f"step {step.name or step.key} of ticket {sn} has no open task to hand over")
        for task in tasks:
            asked = [name for one in task.processors for name in one.names]
            who = operator if operator in asked or not asked else asked[0]
            yield calls.deliver_task(sn, task_id=task.id, operator=who, people=people, desc=message)

    def _tasks(self, sn: str) -> Flow[tuple[Task, ...]]:
        tasks: tuple[Task, ...] = yield calls.approval_tasks(sn)
        if any(task.ticket_id not in ("", sn) for task in tasks):
            raise ItsmUnexpectedAnswerError(
                f"ITSM was asked for the approval tasks of ticket {sn} and answered with another's"
            )
        return tasks

    def _detail(self, sn: str) -> Flow[V4Ticket]:
        ticket: V4Ticket = yield calls.ticket_detail(sn)
        if ticket.id != sn:
            raise ItsmUnexpectedAnswerError(f"ITSM was asked about ticket {sn} and answered about another one")
        return ticket

    # -- many tickets ----------------------------------------------------------------------------------------

    def states(self, sns: Sequence[str]) -> Flow[tuple[TicketState, ...]]:
        """Read the states of tickets, 50 with a call where the connection names a system; else one by one.

        What a list leaves out is read by itself: a ticket may be older than the connection's system.
        """
        found, unreadable = yield from self._listed(sns)
        for sn in found:
            if sn in unreadable or len(found[sn]) > 1 or not all(map(status.is_incomplete, found[sn])):
                continue
            try:
                detail = yield from search.detail_or_none(sn)
            except (ItsmUnexpectedAnswerError, ItsmPermissionError) as error:
                if len(found) == 1 or not _is_about_one_ticket(error):
                    raise
                unreadable[sn] = error.message
                continue
            if detail is not None:
                found[sn] = [detail]
        rows = tuple(status.read_state(row, self.settings) for listed in found.values() for row in listed)
        if unreadable:
            raise ItsmUnexpectedAnswerError(
                next(iter(unreadable.values())), rows=rows, unreadable=frozenset(unreadable)
            )
        return rows

    def _listed(self, sns: Sequence[str]) -> Flow[tuple[dict[str, list[V4Ticket]], dict[str, str]]]:
        """Return the rows of a system's list, and why others cannot be read; nothing without a system.

        Two rows of a ticket that differ are both kept: then neither is believed.
        """
        found: dict[str, list[V4Ticket]] = {sn: [] for sn in sns}
        unreadable: dict[str, str] = {}
        if self.settings.system_id is None:
            return found, unreadable
        for some in chunks(list(found), calls.LARGEST_PAGE):
            page: Page = yield calls.system_ticket_list(self.settings.system_id, id__in=some)
            for row in page.rows:
                if row.id in some and row not in found[row.id]:
                    found[row.id].append(row)
            unreadable |= dict.fromkeys(page.unreadable & set(some), page.problem)
        return found, unreadable

    def summaries(self, sns: Sequence[str]) -> Flow[tuple[TicketSummary, ...]]:
        """Read tickets as the list shows them."""
        rows = yield from search.rows_of_ids(sns, self.settings)
        return tuple(status.read_summary(row, self.settings) for row in rows)

    def find_tagged(self, tag: str, *, creator: str, since: datetime) -> Flow[tuple[TicketSummary, ...]]:
        """Search by the title's marker, creator and time."""
        rows = yield from search.find_marked(tag, creator=creator, since=since, settings=self.settings)
        return tuple(status.read_summary(row, self.settings) for row in rows)

    def opened_by(self, person: str, sns: Sequence[str]) -> Flow[frozenset[str]]:
        """Return which of these tickets were opened in a person's name, so far as the lists show them."""
        rows = yield from search.listed_rows(sns, self.settings)
        return frozenset(row.id for row in rows.values() if row.creator == person)

    def waiting_for(self, person: str, sns: Sequence[str]) -> Flow[frozenset[str]]:
        """Return which of these tickets wait for a person, so far as the lists show them."""
        rows = yield from search.listed_rows(sns, self.settings)
        return frozenset(
            row.id
            for row in rows.values()
            if not status.progress_of(row).has_ended and any(person in one.names for one in row.processors)
        )

    # -- workflows and forms ---------------------------------------------------------------------------------

    def service_for(
        self, form: object, *, service_id: int | str | None, fast_approval: bool
    ) -> Flow[tuple[int | str | None, dict[str, Any]]]:
        """Check a form against the workflow it is for; return the workflow's key and the form as it is sent."""
        if fast_approval:
            raise ItsmInvalidRequestError(
                "ITSM v4 has no built-in approval service: leave fast_approval out, and name a workflow, as the"
                " task's service_id or the connection's workflow_key. No ticket was opened"
            )
        key = workflow.workflow_key_for(service_id, self.settings)
        found = yield from workflow.find_workflow(key)
        return key, workflow.form_for(found, form, self.settings)

    def service(self, service_id: int | str) -> Flow[Service]:
        """Read a workflow by its key."""
        return workflow.read_service((yield from workflow.find_workflow(str(service_id).strip())), self.settings)

    def services(self) -> Flow[tuple[ListedService, ...]]:
        """List the workflows of the connection's system; without a system, the connection's own one."""
        return workflow.list_workflows(self.settings)

    def log_services(self) -> Flow[tuple[Service, ...]]:
        """Return the connection's workflow: v4 marks none as made for log collectors."""
        key = workflow.workflow_key_for(None, self.settings)
        return (workflow.read_service((yield from workflow.find_workflow(key)), self.settings),)

    def flow_steps(self, service: Service) -> Flow[tuple[tuple[FlowStep, ...] | None, str]]:
        """Return the approval steps of a workflow, which was read with them."""
        yield from ()
        return workflow.steps_of(service.details), ""

    def check_form(self, service: Service, form: object) -> dict[str, Any]:
        """Check a form against a workflow's description."""
        return workflow.form_for(service.details, form, self.settings)

    def question_form(self, fields: object) -> dict[str, Any]:
        """Return a form with its keys and people in one spelling."""
        return workflow.canonical_form(fields, self.settings)

    def form_as_sent(self, fields: object) -> dict[str, Any]:
        """Return a form as the request spells it, but for the title's key."""
        return workflow.canonical_form(fields, self.settings)

    # -- the connection --------------------------------------------------------------------------------------

    def connection_report(self, *, app_code: str, service: str | None) -> Flow[str]:
        """Read the workflow and the system's list, and say what was seen; see ``Dialect.connection_report``."""
        key = service or self.settings.workflow_key
        seen: list[str] = [Text("app {app} is accepted", app=repr(app_code))]
        if self.settings.system_id is not None:
            names = yield calls.workflow_names(self.settings.system_id)
            yield calls.system_ticket_list(self.settings.system_id, page_size=1)
            system = repr(self.settings.system_id)
            seen.append(Text("system {system} has {count} workflows", system=system, count=len(names)))
        if key is None:
            seen.append(Text("no workflow_key is set, so each task has to name its workflow as service_id"))
            if self.settings.system_id is None:
                yield calls.ticket_list(page_size=1, title__contains="connection-test")
            return Text("ITSM v4 answers (experimental): {seen}", seen=listing(seen))
        found = yield from workflow.find_workflow(key)
        problem = workflow.problem_of(found, self.settings)
        if problem is not None:
            raise ItsmInvalidRequestError(f"{', '.join(seen)}, but {problem}")
        notes = [step.note for step in workflow.steps_of(found) if step.note]
        fields = {"workflow": repr(key), "field": repr(self.settings.approvers_key)}
        seen.append(Text("workflow {workflow} asks the people in {field}", **fields))
        return Text("ITSM v4 answers (experimental): {seen}", seen=listing([*seen, *notes]))

    def probe(self, nobody: str) -> Flow[dict[str, Any]]:
        """Read what needs no ticket of one's own."""
        return probe.probe_reads(self.settings, nobody)

    def probe_ticket(self, sn: str, now: datetime) -> Flow[dict[str, Any]]:
        """Read how a ticket of our own is shown."""
        return probe.probe_ticket(sn, self.settings, now)

    def without_secret(self) -> V4Dialect | None:
        """Return this dialect without the system's token."""
        return V4Dialect(replace(self.settings, system_token=None)) if self.settings.system_token else None

    def open_questions(self, found: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the twelve questions that no public client answers."""
        return questions.answered(found)

    def judge_probe(self, found: Mapping[str, Any]) -> dict[str, bool]:
        """Return which facts the results show to be right or wrong."""
        return probe.judged(found)

    # -- callbacks -------------------------------------------------------------------------------------------

    def read_callback(self, body: Mapping[str, Any]) -> CallbackBody | None:
        """Read a callback's body."""
        return status.read_callback(body)

    def write_callback(self, sn: str, token: str) -> dict[str, Any]:
        """Return a body without what ITSM adds about the ticket."""
        return {"callback_token": token, "ticket": {"id": sn}}

    def verify_callback(self, body: CallbackBody) -> Flow[bool]:
        """Return True: nobody can be asked. The token is our own, and its digest was compared before."""
        yield from ()
        return bool(body.token)


def _is_about_one_ticket(error: ItsmError) -> bool:
    """Whether an error says nothing of other tickets: the gateway refuses a call, ITSM refuses a ticket."""
    return isinstance(error, ItsmUnexpectedAnswerError) or CODES.own.fullmatch(str(error.code)) is not None


V4 = V4Dialect()
