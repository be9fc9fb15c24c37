# SPDX-License-Identifier: Apache-2.0
"""The seam between this provider and a version of ITSM: what a flow may ask of any of them.

A flow of the core asks with :func:`ask`, and never names an endpoint, a status or a code. The hooks' ``run`` takes
the question to the dialect of the connection, whose own flow yields the requests. See CONTRIBUTING.md, "To add a
dialect".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from airflow_provider_bkitsm.itsm.errors import ItsmAnotherDialectError, ItsmConfigurationError
from airflow_provider_bkitsm.itsm.form import read_form
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
from airflow_provider_bkitsm.itsm.protocol import Call, Codes, Flow

T = TypeVar("T")


FIRST = "v2"
"""The dialect of whatever was stored before there were several."""


def stored_dialect(request: Mapping[str, Any]) -> str:
    """Return the name of the dialect that a ticket was opened in.

    :param request: what is stored of its opening.
    """
    return str(request.get("dialect") or FIRST)


_CLEAR = "to ask anew, clear the task that asked"


def another_dialect(
    ticket: str, conn_id: str, *, stored: str, spoken: str, until: str = _CLEAR
) -> ItsmAnotherDialectError:
    """Return the error of a ticket that was opened in another dialect than its connection speaks now.

    :param until: what to do, or what holds, as long as the connection speaks that one.
    """
    return ItsmAnotherDialectError(
        f"{ticket} was opened in the dialect {stored!r}, and connection {conn_id!r} speaks {spoken!r} now: another"
        " ITSM may have a ticket of that number. The ticket is as it was, and no second one was opened. A retry"
        f" goes on once the connection's extra dialect is {stored!r} again; {until}"
    )


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an ITSM can do, where versions differ.

    Only what the core has to know before it asks is named here. What else a version lacks, its dialect leaves out:
    the question itself is refused then.

    :param fast_approval: it has an approval service that needs no set-up.
    :param batch: one request reads the states of many tickets.
    :param terminate: an application may terminate a ticket.
    :param suspend: an application may suspend and resume a ticket.
    :param tag: a ticket is found by a tag it was opened with; else by the marker in its title.
    :param verdict_field: a log shows the forms of steps, so that a form field can hold the verdict.
    :param verify_token: it makes a token for each callback and knows its own again; else the token is ours.
    :param withdraws_any: accounts that may withdraw anybody's ticket; else only its creator may. None: there is no
        such rule, since an application withdraws a ticket in nobody's name.
    :param signed_address: an address of a callback that carries our signature reaches Airflow as it was given.
    """

    fast_approval: bool
    batch: bool
    terminate: bool
    suspend: bool
    tag: bool
    verdict_field: bool
    verify_token: bool
    withdraws_any: frozenset[str] | None
    signed_address: bool = True


class Dialect(ABC):
    """One version of ITSM: how it is asked, what its answers mean, how it stores what it is given.

    A method that returns a ``Flow`` yields the requests of this version and returns the inner model. The others
    ask nobody. What is not abstract is what a version may go without.
    """

    name: ClassVar[str]
    capabilities: Capabilities
    codes: ClassVar[Codes]
    service_extra: ClassVar[str] = "service_id"
    """The entry of a connection's extra that names the service tickets are opened in by default."""

    # -- the connection --------------------------------------------------------------------------------------

    def for_connection(self, entry: Callable[[str], str | None]) -> Dialect:
        """Return this dialect as a connection sets it up.

        :param entry: returns an entry of the connection's extra as text; None where it is absent.
        :raises ItsmConfigurationError: an entry cannot be used.
        """
        return self

    def headers(self) -> Mapping[str, str]:
        """Return the headers that this version wants besides those of the gateway: never log them."""
        return {}

    def connection_report(self, *, app_code: str, service: str | None) -> Flow[str]:
        """Make harmless reads and return a sentence about what was seen, for the connection's Test button.

        :param service: the service that the connection names.
        :raises ItsmError: nobody could wait for an approval on this connection.
        """
        return _nothing(f"ITSM {self.name} is not asked")

    def probe(self, nobody: str) -> Flow[dict[str, Any]]:
        """Read what tells whether this version's assumptions hold: words, numbers, yes or no; nothing else.

        :param nobody: a text that no ticket's title holds.
        """
        raise self._lacks("was measured, and needs no probe")

    def probe_ticket(self, sn: str, now: datetime) -> Flow[dict[str, Any]]:
        """Read how a ticket of our own is shown, likewise."""
        raise self._lacks(f"was measured, and ticket {sn} is not looked at")

    def without_secret(self) -> Dialect | None:
        """Return this version as it asks without a secret of its own; None where it sends none.

        For a probe alone, which looks whether the secret is asked for.
        """
        return None

    def open_questions(self, found: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return what is not known of this version: what a probe has seen of each, and what to look at by hand."""
        return []

    def judge_probe(self, found: Mapping[str, Any]) -> dict[str, bool]:
        """Return which of this version's facts the results of a probe show to be right or wrong."""
        return {}

    # -- one ticket ------------------------------------------------------------------------------------------

    @abstractmethod
    def create(self, *, tag: str, creator: str, **request: Any) -> Flow[CreatedTicket]:
        """Open a ticket.

        :param request: ``service_id``, ``fast_approval``, ``fields`` (the title among them) and ``meta``.
        """

    def status(self, sn: str) -> Flow[TicketStatus]:
        """Read how far a ticket is; where no smaller question tells, with its form.

        :raises ItsmAmbiguousError: two tickets carry this number.
        """
        info = yield from self.info(sn)
        return TicketStatus(
            current_status=info.current_status,
            progress=info.progress,
            current_steps=info.current_steps,
            ticket_url=info.ticket_url,
            iframe_ticket_url=info.iframe_ticket_url,
        )

    @abstractmethod
    def info(self, sn: str) -> Flow[TicketInfo]:
        """Read a ticket with its form."""

    @abstractmethod
    def log(self, sn: str) -> Flow[TicketLog]:
        """Read who did and answered what."""

    @abstractmethod
    def operate(self, *, sn: str, action: TicketAction, operator: str, message: str) -> Flow[None]:
        """Do something to a ticket; whether it was done, the ticket's status says."""

    def hand_over(self, *, sn: str, step: Step, people: Sequence[str], operator: str, message: str) -> Flow[None]:
        """Have a step ask other people in place of those it asks; whether it does so, the ticket's status says.

        :param operator: in whose name: one whom the step asks.
        :raises ItsmConfigurationError: this version hands nothing over.
        """
        raise self._lacks(f"hands no step of ticket {sn} over to others")

    def comment(self, *, sn: str, stars: int, operator: str, comments: str) -> Flow[bool]:
        """Rate a finished ticket; False when it was rated before, which leaves that rating as it is.

        :param stars: 1 to 6.
        :raises ItsmConflictError: the ticket is still open, was withdrawn or terminated, or ITSM refused.
        :raises ItsmOutcomeUnknownError: the answer was lost, and the ticket is not rated (yet).
        :raises ItsmConfigurationError: this version takes no comments.
        """
        raise self._lacks(f"takes no comment on ticket {sn}")

    # -- many tickets ----------------------------------------------------------------------------------------

    @abstractmethod
    def states(self, sns: Sequence[str]) -> Flow[tuple[TicketState, ...]]:
        """Read the authoritative states of tickets of our own; unknown ones are left out.

        :raises ItsmUnexpectedAnswerError: some could not be read; the states of the others are its ``rows``.
        """

    @abstractmethod
    def summaries(self, sns: Sequence[str]) -> Flow[tuple[TicketSummary, ...]]:
        """Read tickets as a search lists them, with the time of their opening; unknown ones are left out."""

    @abstractmethod
    def find_tagged(self, tag: str, *, creator: str, since: datetime) -> Flow[tuple[TicketSummary, ...]]:
        """Search the tickets that may have been opened with a tag since a moment (aware); more than that may come.

        A version without tags searches for the tag's marker in the title
        (:func:`~airflow_provider_bkitsm.itsm.idempotency.marker`). Whose title does not end with it is left out
        by the caller.

        :param creator: in whose name they were asked for.
        """

    def opened_by(self, person: str, sns: Sequence[str]) -> Flow[frozenset[str]]:
        """Return which of these tickets were opened in a person's name; none where ITSM cannot say."""
        return _nothing(frozenset())

    def waiting_for(self, person: str, sns: Sequence[str]) -> Flow[frozenset[str]]:
        """Return which of these tickets wait for a person; none where ITSM cannot say."""
        return _nothing(frozenset())

    # -- services and forms ----------------------------------------------------------------------------------

    @abstractmethod
    def service_for(
        self, form: object, *, service_id: int | str | None, fast_approval: bool
    ) -> Flow[tuple[int | str | None, dict[str, Any]]]:
        """Check a form against the service it is for; return that service and the form as it is sent.

        :raises ItsmInvalidRequestError: no service is named, or it does not take this form.
        """

    def service(self, service_id: int | str) -> Flow[Service]:
        """Read a service by its number or name.

        :raises CollectItsmNotExists: there is no such service.
        """
        raise self._lacks(f"describes no service such as {service_id}")

    def services(self) -> Flow[tuple[ListedService, ...]]:
        """List the services in which an application may open tickets."""
        raise self._lacks("lists no services")

    def log_services(self) -> Flow[tuple[Service, ...]]:
        """Find the services that are made for log collectors.

        :raises CollectItsmNotExists: there is none.
        """
        raise self._lacks("has no services for log collectors")

    def import_service(self, export: Mapping[str, Any], *, catalog_id: int | None) -> Flow[Service]:
        """Make a service from its export.

        :param catalog_id: where it is put; None: where people see it, if that is one place.
        :raises ItsmConflictError: there is one of that name, or the catalogue has to be named; nothing was done.
        :raises ItsmConfigurationError: this version imports no services.
        """
        raise self._lacks("imports no services: make one there, and name it as service_id")

    def flow_steps(self, service: Service) -> Flow[tuple[tuple[FlowStep, ...] | None, str]]:
        """Read the steps people take in a service's flow; None, and why, where they cannot be read."""
        return _nothing((None, f"ITSM {self.name} shows no flow of service {service.service_id}"))

    def check_form(self, service: Service, form: object) -> dict[str, Any]:
        """Return a form as it is sent to a service.

        :raises ItsmInvalidRequestError: ITSM would refuse it; all problems are named.
        """
        return read_form(form)

    def question_form(self, fields: object) -> dict[str, Any]:
        """Return a form that is the same for every spelling of the same question; nobody is asked for types."""
        return read_form(fields)

    def form_as_sent(self, fields: object) -> dict[str, Any]:
        """Return a form as a request spells it."""
        return read_form(fields)

    title_type: ClassVar[str] = ""
    """The type of field as which ITSM stores a ticket's title."""
    title_limit: ClassVar[int] = 128
    """Most characters of a title. Where a version's own limit is not known, that of v2 keeps to it."""

    def title_length(self, title: str) -> int:
        """Return how many characters a title has for ITSM, no fewer than it has here."""
        return len(title)

    def text_as_sent(self, text: str, field_type: str) -> str:
        """Return a text as it has to be sent for people to see it as it is, with what looks like markup."""
        return text

    def readings(self, value: Any, field_type: str) -> Collection[Any]:
        """Return everything as which ITSM may show a value that it was given for a field of a type.

        :param value: as JSON has it.
        """
        return [value]

    def title_as_shown(self, title: str) -> str:
        """Return what is left of a title once ITSM has stored it."""
        return title

    def fitting_title(self, title: str, *, room_for: int) -> str:
        """Return a title cut so that ITSM takes it and as many further characters."""
        room = self.title_limit - room_for
        title = title[: max(0, room)]
        while title and self.title_length(title) > room:
            title = title[:-1]
        return title

    # -- callbacks -------------------------------------------------------------------------------------------

    @abstractmethod
    def read_callback(self, body: Mapping[str, Any]) -> CallbackBody | None:
        """Read a callback's body; None where it is none of this version."""

    def write_callback(self, sn: str, token: str) -> dict[str, Any]:
        """Return the smallest body that ``read_callback`` reads: what a callback of our own is tried with."""
        raise self._lacks(f"has no callback to be tried with, such as {sn}")

    @abstractmethod
    def verify_callback(self, body: CallbackBody) -> Flow[bool]:
        """Return whether this ITSM has sent a callback. It proves neither ticket nor decision nor time."""

    def _lacks(self, what: str) -> ItsmConfigurationError:
        return ItsmConfigurationError(f"ITSM {self.name}, which the connection names as its dialect, {what}")


@dataclass(frozen=True, kw_only=True)
class DialectCall(Generic[T]):
    """A question to whichever ITSM the connection leads to.

    :param of: the flow that answers it in a dialect.
    """

    of: Callable[[Dialect], Flow[T]]


# Questions in a row that lead to one result: yields questions, is sent the answers.
DialectFlow = Generator[DialectCall[Any], Any, T]
# What a hook runs: the core's questions, or a dialect's own requests.
AnyFlow = Generator[DialectCall[Any] | Call[Any], Any, T]


def ask(of: Callable[[Dialect], Flow[T]]) -> DialectFlow[T]:
    """Ask ITSM one question: ``state = yield from ask(lambda itsm: itsm.status(sn))``."""
    answer: T = yield DialectCall(of=of)
    return answer


def spoken_dialect() -> DialectFlow[Dialect]:
    """Return the connection's dialect, for what nobody has to be asked."""
    return (yield from ask(_itself))


def _itself(dialect: Dialect) -> Flow[Dialect]:
    return _nothing(dialect)


def _nothing(result: T) -> Flow[T]:
    """Return a result for which nobody is asked."""
    yield from ()
    return result
