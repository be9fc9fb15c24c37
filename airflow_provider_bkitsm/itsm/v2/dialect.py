# SPDX-License-Identifier: Apache-2.0
"""BK-ITSM v2 behind the seam: the core's questions as v2's calls, and v2's answers as the inner model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.itsm.dialect import Capabilities, Dialect
from airflow_provider_bkitsm.itsm.errors import (
    CollectItsmNotExists,
    ItsmAuthenticationError,
    ItsmConfigurationError,
    ItsmConflictError,
    ItsmCrashError,
    ItsmEndpointNotFoundError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmNotFoundError,
    ItsmOutcomeUnknownError,
    ItsmPermissionError,
    ItsmRefusedError,
    ItsmTicketNotFoundError,
    ItsmUnexpectedAnswerError,
)
from airflow_provider_bkitsm.itsm.models import (
    CallbackBody,
    CreatedTicket,
    FlowStep,
    ListedService,
    Service,
    ServiceField,
    Step,
    TicketAction,
    TicketInfo,
    TicketLog,
    TicketState,
    TicketStatus,
    TicketSummary,
)
from airflow_provider_bkitsm.itsm.protocol import Codes, Flow
from airflow_provider_bkitsm.itsm.v2 import calls, models, pagination, services
from airflow_provider_bkitsm.itsm.v2.form_check import choice_names, fitting_title
from airflow_provider_bkitsm.itsm.v2.four_byte import escaped, escaped_value
from airflow_provider_bkitsm.itsm.v2.html_filter import TITLE_TYPE, as_plain, as_shown, as_stored, stored_title
from airflow_provider_bkitsm.itsm.v2.models import as_meant
from airflow_provider_bkitsm.itsm.v2.status import (
    progress_of,
    read_callback,
    read_info,
    read_log,
    read_state,
    read_status,
    read_summary,
)
from airflow_provider_bkitsm.itsm.v2.validation import TITLE_LIMIT
from airflow_provider_bkitsm.itsm.verdict_reading import only_row
from airflow_provider_bkitsm.translation import Text

_PEOPLE = frozenset({"MEMBERS", "MEMBER"})
_DELIVER, _PERSON = "DELIVER", "PERSON"
_REQUIRED, _MAY_BE_HIDDEN = "REQUIRE", "0"
_FINISHED = "FINISHED"
# See docs/itsm-behaviour.md#error-codes.
CODES = Codes(
    # Numbers of ITSM's platform, and names.
    own=re.compile(r"39\d{5}|[A-Z][A-Z0-9_]*"),
    errors={
        "3900003": ItsmInvalidRequestError,
        "3900004": ItsmRefusedError,
        "3900005": ItsmInvalidRequestError,
        "3900015": ItsmPermissionError,
        "3900022": ItsmTicketNotFoundError,
        "3900042": CollectItsmNotExists,
        "3900404": ItsmNotFoundError,
        "3900499": ItsmPermissionError,
        "3900500": ItsmCrashError,
        "SERVER_500_ERROR": ItsmCrashError,
        "PERMISSION_DENIED": ItsmPermissionError,
        "UNAUTHORIZED": ItsmAuthenticationError,
        "OBJECT_NOT_EXIST": ItsmEndpointNotFoundError,
        "METHOD_NOT_ALLOWED": ItsmEndpointNotFoundError,
    },
)


class DialectV2(Dialect):
    """BK-ITSM v2, as the measured server speaks it."""

    name = "v2"
    capabilities = Capabilities(
        fast_approval=True,
        batch=True,
        terminate=True,
        suspend=True,
        tag=True,
        verdict_field=True,
        verify_token=True,
        # ITSM's system account as it is installed; an administrator of ITSM may have named another one.
        withdraws_any=frozenset({"admin"}),
    )
    codes = CODES
    title_type, title_limit = TITLE_TYPE, TITLE_LIMIT

    def connection_report(self, *, app_code: str, service: str | None) -> Flow[str]:
        """Make two reads: one that needs the app, one that needs its user to be verified."""
        seen = _visible(app_code, service, (yield calls.get_services()))
        try:
            yield calls.ticket_approval_result(["connection-test"])
        except ItsmAuthenticationError as error:
            raise ItsmAuthenticationError(
                f"{seen}, but no verdict can be read, so no task would learn of an approval: {error.message}",
                code=error.code,
                request_id=error.request_id,
            ) from None
        return Text("ITSM answers: {seen}, and verdicts can be read", seen=seen)

    def create(self, *, tag: str, creator: str, **request: Any) -> Flow[CreatedTicket]:
        """Open a ticket; see :func:`~airflow_provider_bkitsm.itsm.v2.calls.create_ticket`."""
        created: models.CreatedTicket = yield calls.create_ticket(tag=tag, creator=creator, **request)
        return CreatedTicket(sn=created.sn, id=created.id, ticket_url=created.ticket_url)

    def status(self, sn: str) -> Flow[TicketStatus]:
        """Read how far a ticket is. ITSM's own call fails for a number that two tickets have.

        See docs/itsm-behaviour.md#get_ticket_status.
        """
        try:
            status: models.TicketStatus = yield calls.get_ticket_status(sn)
        except ItsmCrashError:
            yield from _refuse_two(sn)
            raise
        return read_status(status)

    def info(self, sn: str) -> Flow[TicketInfo]:
        """Read a ticket with its form."""
        return read_info((yield calls.get_ticket_info(sn)))

    def log(self, sn: str) -> Flow[TicketLog]:
        """Read who did and answered what."""
        return read_log((yield calls.get_ticket_logs(sn)))

    def operate(self, *, sn: str, action: TicketAction, operator: str, message: str) -> Flow[None]:
        """Withdraw, terminate, suspend or resume a ticket."""
        yield calls.operate_ticket(sn=sn, action_type=action, operator=operator, action_message=message)

    def hand_over(self, *, sn: str, step: Step, people: Sequence[str], operator: str, message: str) -> Flow[None]:
        """Hand a step over, if its node offers that."""
        to = {"processors": ",".join(people), "processors_type": _PERSON, "action_message": message}
        yield calls.operate_node(sn=sn, state_id=step.key, operator=operator, action_type=_DELIVER, **to)

    def comment(self, *, sn: str, stars: int, operator: str, comments: str) -> Flow[bool]:
        """Rate a finished ticket, once. ITSM's only refusal is a catch-all, so the ticket says the rest.

        See docs/itsm-behaviour.md#comment.

        :param operator: who rates, at most 16 characters: its creator or one who is asked.
        :param comments: what is cut after 255 characters.
        """
        call = calls.comment_ticket(sn=sn, stars=stars, operator=operator, comments=comments)
        info: models.TicketInfo = yield calls.get_ticket_info(sn)
        _refuse_unfinished(info)
        if info.is_commented:
            return False
        try:
            yield call
        except (ItsmInvalidRequestError, ItsmOutcomeUnknownError) as error:
            if not (yield calls.get_ticket_info(sn)).is_commented:
                raise _not_rated(sn, operator, error) from error
        return True

    def states(self, sns: Sequence[str]) -> Flow[tuple[TicketState, ...]]:
        """Read the authoritative states of tickets; asking takes them off ITSM's lost-callback list."""
        try:
            rows: tuple[models.ApprovalResult, ...] = yield calls.ticket_approval_result(sns)
        except ItsmUnexpectedAnswerError as error:
            if error.rows is not None:
                error.rows = tuple(map(read_state, error.rows))
            raise
        return tuple(map(read_state, rows))

    def summaries(self, sns: Sequence[str]) -> Flow[tuple[TicketSummary, ...]]:
        """Read tickets as the search lists them; a number may be listed twice."""
        page: models.TicketPage = yield calls.get_tickets(sns=sns, page_size=2 * len(sns))
        return tuple(map(read_summary, page.items))

    def find_tagged(self, tag: str, *, creator: str, since: datetime) -> Flow[tuple[TicketSummary, ...]]:
        """Search by tag, which an older server ignores."""
        rows = yield from pagination.tickets(tag=tag, creator=creator, create_at__gte=since).all()
        return tuple(map(read_summary, rows))

    def opened_by(self, person: str, sns: Sequence[str]) -> Flow[frozenset[str]]:
        """Search in these tickets for those opened in a person's name."""
        page: models.TicketPage = yield calls.get_tickets(sns=sns, creator=person, page_size=2 * len(sns))
        return frozenset(row.sn for row in page.items)

    def waiting_for(self, person: str, sns: Sequence[str]) -> Flow[frozenset[str]]:
        """Search in these tickets for those that wait for a person.

        The ESB loses ``username``: its answer would be all of them, so it is not asked.
        """
        search = calls.get_tickets(sns=sns, username=person, page_size=2 * len(sns))
        try:
            page: models.TicketPage = yield replace(search, on_esb=False)
        except ItsmConfigurationError:
            return frozenset()
        return frozenset(row.sn for row in page.items)

    def service(self, service_id: int | str) -> Flow[Service]:
        """Read a service by its number or name."""
        return read_service((yield from services.find_service(service_id)))

    def services(self) -> Flow[tuple[ListedService, ...]]:
        """List the services by catalogue; without names of catalogues where their tree cannot be read."""
        return services.list_services()

    def log_services(self) -> Flow[tuple[Service, ...]]:
        """Find the services with the log platform's display role."""
        return tuple(map(read_service, (yield from services.find_log_services())))

    def import_service(self, export: Mapping[str, Any], *, catalog_id: int | None) -> Flow[Service]:
        """Import a service into a catalogue; None: the only one that people see."""
        return read_service((yield from services.import_service(export, catalog_id=catalog_id)))

    def flow_steps(self, service: Service) -> Flow[tuple[tuple[FlowStep, ...] | None, str]]:
        """Return the steps of a service's flow; without the right to read the flow, None and the reason."""
        if service.details.workflow_id is None:
            return None, "ITSM names no flow for it"
        try:
            workflow: models.Workflow = yield calls.get_workflow_detail(service.details.workflow_id)
        except ItsmError as error:
            return None, str(error)
        return services.steps_of(workflow), ""

    def service_for(
        self, form: object, *, service_id: int | str | None, fast_approval: bool
    ) -> Flow[tuple[int | str | None, dict[str, Any]]]:
        """Check a form against the service it is for; the built-in approval is service None."""
        return services.service_for(form, service_id=service_id, fast_approval=fast_approval)

    def check_form(self, service: Service, form: object) -> dict[str, Any]:
        """Check a form against a service's description."""
        return services.check_form(service.details.fields, form)

    def question_form(self, fields: object) -> dict[str, Any]:
        """Return a form with its people in one spelling, as far as its types are known."""
        return services.question_form(fields)

    def form_as_sent(self, fields: object) -> dict[str, Any]:
        """Return a form with people and lists of texts in ITSM's spelling."""
        return calls.form_as_sent(fields)

    def text_as_sent(self, text: str, field_type: str) -> str:
        """Return a text whose markup ITSM's HTML filter leaves alone."""
        return as_plain(text, field_type)

    def readings(self, value: Any, field_type: str) -> Collection[Any]:
        """Return the values as which ITSM shows one: as it is stored, or as it was sent, spelled or not.

        A title is filtered only once the flow has started. Whether four-byte characters were spelled, and whether
        a type stores objects, differs between connections and versions; each of these shows what was sent.
        """
        spelled = (value, escaped_value(value))
        kept = (*spelled, *(as_stored(one, field_type) for one in spelled))
        return [as_meant(one, field_type) for one in kept]

    def title_as_shown(self, title: str) -> str:
        """Return what ITSM's HTML filter leaves of a title."""
        return as_shown(stored_title(title))

    def title_length(self, title: str) -> int:
        """Return the characters of a title as it is sent, or as it is stored, if these are more."""
        sent = escaped(title)
        return max(len(sent), len(stored_title(sent)))

    def fitting_title(self, title: str, *, room_for: int) -> str:
        """Cut a title so that it fits as it is sent and as it is stored."""
        return fitting_title(title, TITLE_LIMIT - room_for)

    def read_callback(self, body: Mapping[str, Any]) -> CallbackBody | None:
        """Read a callback's body."""
        return read_callback(body)

    def write_callback(self, sn: str, token: str) -> dict[str, Any]:
        """Return a body without what ITSM adds about the ticket."""
        return {"sn": sn, "token": token}

    def verify_callback(self, body: CallbackBody) -> Flow[bool]:
        """Ask ITSM whether it has made the token."""
        verification: models.TokenVerification = yield calls.token_verify(body.token)
        return verification.is_passed


V2 = DialectV2()


def _visible(app_code: str, wanted: str | None, services: Sequence[models.Service]) -> str:
    known = {str(one.id) for one in services} | {one.name for one in services}
    given = {"app": repr(app_code), "count": len(services)}
    if wanted is None or wanted in known:
        return Text("app {app} is accepted, {count} services are visible", **given)
    return Text(
        "app {app} is accepted, {count} services are visible, though not service {service}",
        **given,
        service=wanted,
    )


def read_service(detail: models.ServiceDetail) -> Service:
    """Return a service as the core knows it."""
    return Service(
        service_id=detail.service_id,
        name=detail.name,
        fields=tuple(map(_read_service_field, detail.fields)),
        details=detail,
    )


def _read_service_field(field: models.ServiceField) -> ServiceField:
    return ServiceField(
        key=field.key,
        type=field.type,
        name=field.name,
        names_people=field.type in _PEOPLE,
        is_required=field.validate_type == _REQUIRED,
        is_always_shown=str(field.show_type) != _MAY_BE_HIDDEN,
        default=field.default,
        choices=choice_names(field) or {},
    )


def _refuse_two(sn: str) -> Flow[None]:
    """Raise an error for a number that two tickets have."""
    try:
        rows = yield calls.ticket_approval_result([sn])
    except ItsmError:
        return
    only_row(sn, map(read_state, rows))


def _refuse_unfinished(info: models.TicketInfo) -> None:
    if info.current_status == _FINISHED:
        return
    ended = progress_of(info.current_status).has_ended
    why = f"was not finished but is {info.current_status}" if ended else f"is still open ({info.current_status})"
    raise ItsmConflictError(f"ticket {info.sn} {why}; ITSM lets nobody comment on it. Nothing was sent")


def _not_rated(
    sn: str, operator: str, error: ItsmInvalidRequestError | ItsmOutcomeUnknownError
) -> ItsmConflictError | ItsmOutcomeUnknownError:
    if isinstance(error, ItsmOutcomeUnknownError):
        return ItsmOutcomeUnknownError(f"{error.message}; ticket {sn} shows no comment (yet)")
    return ItsmConflictError(
        f"ITSM refused the comment of {operator} on ticket {sn}, which is as it was: {error.message}",
        code=error.code,
    )
