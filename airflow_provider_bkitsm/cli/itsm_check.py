# SPDX-License-Identifier: Apache-2.0
"""The part of ``check`` that is about ITSM: route, application, grants one by one, verdict, clock."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow_provider_bkitsm.cli.fetch import CONNECT_SECONDS, READ_SECONDS, fetch, other_scheme
from airflow_provider_bkitsm.cli.findings import Finding, judge_clock, ok, warning, with_scheme, wrong
from airflow_provider_bkitsm.cli.itsm_findings import (
    Grant,
    judge_grant,
    judge_itsm_error,
    judge_post_eaten,
    judge_route,
    judge_service,
)
from airflow_provider_bkitsm.cli.trial_ticket import open_trial_ticket
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.responses import LEADS_NOWHERE
from airflow_provider_bkitsm.hooks.route import Route, find_route, tls_context
from airflow_provider_bkitsm.hooks.transport import SyncTransport
from airflow_provider_bkitsm.itsm.dialect import Dialect, ask
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAuthenticationError,
    ItsmConfigurationError,
    ItsmEndpointNotFoundError,
    ItsmError,
    ItsmPermissionError,
    ItsmTimeoutError,
)
from airflow_provider_bkitsm.itsm.models import CallbackBody
from airflow_provider_bkitsm.itsm.verdict_source import verdict_source
from airflow_provider_bkitsm.translation import Text, verbatim

_NOT_ALLOWED = (ItsmPermissionError, ItsmAuthenticationError, ItsmEndpointNotFoundError)

Look = Callable[[], Iterable[Finding]]


def _verification(itsm: Dialect, sn: str) -> Any:
    """Ask whether ITSM has made a token, where tokens are its own."""
    if not itsm.capabilities.verify_token:
        raise ItsmConfigurationError(f"ITSM {itsm.name} gives back a token of ours and is not asked about it")
    return itsm.verify_callback(CallbackBody(sn=sn, token="check", dialect=itsm.name))  # noqa: S106


_GRANTS: tuple[tuple[Grant, Callable[[Dialect, str], Any]], ...] = (
    (
        Grant(purpose=Text("read verdicts"), needed=True, lacking=Text("no task would learn of an approval")),
        lambda itsm, sn: itsm.states([sn]),
    ),
    (
        Grant(
            purpose=Text("read a ticket's status"),
            needed=True,
            lacking=Text("no task would learn how far its ticket is"),
        ),
        lambda itsm, sn: itsm.status(sn),
    ),
    (
        Grant(
            purpose=Text("read a ticket's form"),
            needed=True,
            lacking=Text("what was approved could not be compared"),
        ),
        lambda itsm, sn: itsm.info(sn),
    ),
    (
        Grant(
            purpose=Text("read a ticket's log"), needed=True, lacking=Text("an approval would have no evidence")
        ),
        lambda itsm, sn: itsm.log(sn),
    ),
    (
        Grant(
            purpose=Text("search tickets"),
            needed=True,
            lacking=Text("a ticket whose answer was lost could be opened twice"),
        ),
        lambda itsm, sn: itsm.summaries([sn]),
    ),
    (
        Grant(
            purpose=Text("verify a callback's token"), needed=True, lacking=Text("callbacks would resume nothing")
        ),
        _verification,
    ),
    (
        Grant(
            purpose=Text("list services"), needed=False, lacking=Text("services cannot be listed or found by name")
        ),
        lambda itsm, _sn: itsm.services(),
    ),
)


def _search(itsm: Dialect) -> Any:
    """Ask for tickets that nobody has: by POST, where a version of ITSM has reads by POST."""
    return itsm.summaries([f"check{secrets.token_hex(8)}"])


class ItsmCheck:
    """The checks of one ITSM. Each read is made once, with short times."""

    def __init__(self, gateway: Gateway) -> None:
        timeouts = (min(gateway.timeouts[0], CONNECT_SECONDS), min(gateway.timeouts[1], READ_SECONDS))
        self.gateway = replace(gateway, timeouts=timeouts, extra={**gateway.extra, "read_retries": 0})
        self.hook = ItsmHook.over(SyncTransport(self.gateway))
        self.hook.bkitsm_conn_id = gateway.conn_id
        self.has_route = self.answers = False

    def looks(self) -> Iterator[tuple[Text, Look]]:
        """Yield each check with its name; where ITSM does not answer at all, there are no more.

        Which checks come depends on what the earlier ones found: take one after the other.
        """
        yield Text("tls and proxy"), self._route
        if not self.has_route:
            return
        yield Text("itsm"), self._reached
        yield Text("clock of ITSM"), self._clock
        if not self.answers:
            return
        for grant, question in _GRANTS:
            yield grant.check, partial(self._grant, grant, question)
        yield Text("verdict"), self._service

    def _route(self) -> list[Finding]:
        route = self._way()
        if route.tls:
            tls_context(self.gateway, route, self.gateway.client_cert)
        self.has_route = True
        return judge_route(route)

    def _way(self) -> Route:
        return find_route(self.gateway, self.gateway.root, os.environ)

    def _reached(self) -> Iterator[Finding]:
        app_code, service = self.gateway.app_code, self.gateway.service
        try:
            report = self.hook.run(ask(lambda itsm: itsm.connection_report(app_code=app_code, service=service)))
        except ItsmError as error:
            yield self._why_not(error)
        else:
            self.answers = True
            yield ok(Text("itsm"), verbatim(report))

    def _why_not(self, error: ItsmError) -> Finding:
        """Return why the report failed; where other reads are answered, the grants say more."""
        lists = self._is_answered(lambda itsm: itsm.services())
        if isinstance(error, LEADS_NOWHERE) and lists and not self._is_answered(_search):
            return judge_post_eaten(error)
        self.answers = lists or (isinstance(error, _NOT_ALLOWED) and self._is_answered(_search))
        if self.answers and isinstance(error, _NOT_ALLOWED):
            text = Text("ITSM answers, and not to every read: {error}", error=error)
            return warning(Text("itsm"), text, Text("see the grants below"))
        _, message = self.hook.test_connection()
        found = judge_itsm_error(error, message=message, route=self._way())
        if self.answers or error.code is not None or isinstance(error, ItsmTimeoutError):
            return found
        other = other_scheme(self.gateway, self.gateway.root)
        return with_scheme(found, other, Text("the connection's host"))

    def _is_answered(self, question: Callable[[Dialect], Any]) -> bool:
        try:
            self.hook.run(ask(question))
        except ItsmError:
            return False
        return True

    def _clock(self) -> list[Finding]:
        try:
            got = fetch(self.gateway, self.gateway.root)
        except OSError as error:
            text = Text("not compared: no answer ({error})", error=error)
            return [warning(Text("clock of ITSM"), text, Text("mend the connection first"))]
        return [judge_clock(Text("clock of ITSM"), got.headers.get("date"), datetime.now(UTC))]

    def _grant(self, grant: Grant, question: Callable[[Dialect, str], Any]) -> Iterator[Finding]:
        error, sn = None, f"check{secrets.token_hex(8)}"
        try:
            self.hook.run(ask(lambda itsm: question(itsm, sn)))
        except ItsmError as problem:
            error = problem
        finding = judge_grant(grant, error, app_code=self.gateway.app_code)
        if finding is not None:
            yield finding

    def _service(self) -> Iterator[Finding]:
        policy, wanted = self.hook.verdict_policy(), self.gateway.service
        if wanted is None:
            text = Text(
                "no {extra} is set: each task names its service, or asks with fast_approval",
                extra=self.gateway.dialect.service_extra,
            )
            yield ok(Text("verdict"), text)
            return
        try:
            service = self.hook.run(ask(lambda itsm: itsm.service(wanted)))
            steps, unread = self.hook.run(ask(lambda itsm: itsm.flow_steps(service)))
        except ItsmError as error:
            yield judge_itsm_error(error, message=str(error), route=self._way(), check=Text("service"))
            return
        name = Text("service {id} ({name})", id=service.service_id, name=service.name)
        yield from judge_service(name, verdict_source(service, steps, policy), unread if steps is None else "")


def try_ticket(hook: ItsmHook, approver: str | None) -> Iterator[Finding]:
    """Open a test ticket and withdraw it: what only a write shows."""
    from airflow_provider_bkitsm.tickets.withdrawal import withdraw

    ticket = open_trial_ticket(hook, approver=approver or hook.gateway.username)
    check = Text("test ticket")
    yield ok(check, Text("ticket {sn} was opened", sn=ticket.sn))
    try:
        status = withdraw(hook, sn=ticket.sn, why="airflow bkitsm check")
    except ItsmError as error:
        cure = Text(
            "end it in ITSM; have the app granted operate_ticket, and make the flow revocable: tickets whose time"
            " is over stay open otherwise"
        )
        yield wrong(check, Text("ticket {sn} STAYS OPEN: {error}", sn=ticket.sn, error=error), cure)
        return
    given: dict[str, object] = {"sn": ticket.sn, "status": status.current_status}
    yield ok(check, Text("ticket {sn} was withdrawn: it is {status}", **given))
