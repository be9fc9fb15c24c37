# SPDX-License-Identifier: Apache-2.0
"""Receives callbacks: shape and signature are checked, ITSM gets its answer, and then its ticket is read.

ITSM calls back once, waits for the answer as long as it takes, and holds one of its workers meanwhile. It does
nothing about a failure that it reads in the answer (docs/itsm-behaviour.md#sent-once). So whatever is signed gets
its answer at once, and is checked after the answer.

The ticket's number is all that a callback contributes to a decision, and it counts only for tickets that a task
waits for (promises P4 and P6). The ticket that ITSM then shows has to carry the tag that was signed.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from time import time
from typing import Any, Protocol, TypeVar

from airflow_provider_bkitsm.callback.checks import REST_SECONDS, RETRY_SECONDS, Check, Ticket, TicketChecks
from airflow_provider_bkitsm.callback.connections import Connections, RememberedConnection, TooManyLookupsError
from airflow_provider_bkitsm.callback.messages import Result, read_notice
from airflow_provider_bkitsm.callback.signature import (
    Claim,
    digest_of,
    is_one_of,
    is_signed,
    read_claim,
    read_signature,
)
from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.hooks.connection import DIALECTS, Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.confirmation import as_asked, confirmed, ticket_differences
from airflow_provider_bkitsm.itsm.dialect import ask, stored_dialect
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.idempotency import is_marked
from airflow_provider_bkitsm.itsm.models import CallbackBody, TicketInfo
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict

log = logging.getLogger(__name__)
T = TypeVar("T")

# For one reading of a ticket. ITSM may still be busy with the call that caused the callback.
ITSM_SECONDS = 60.0
# A refusal that made Airflow read a connection is answered this long after its arrival, whatever was found.
_LOOKUP_SECONDS = 0.1
# How often the same refusal is logged; each is counted.
_LOG_SECONDS = 1.0
# How many callbacks are received at once. More are answered "not now" before anything is read.
RECEIVED_LIMIT = 500


@dataclass(frozen=True, kw_only=True)
class CallbackRequest:
    """A callback as HTTP delivers it: the parts of its address, its signature, its raw body.

    :param signature: of a header, or of the address's query.
    """

    conn_id: str
    tag: str
    expires: str
    signature: str = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Registrations:
    """The waits registered for a ticket.

    :param waiters: those that still wait.
    :param ever_registered: whether any wait was ever registered, those that have ended included.
    :param request: what was sent to open the ticket; None without a record of it.
    """

    waiters: tuple[Waiter, ...] = ()
    ever_registered: bool = False
    request: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class LostTicket:
    """A ticket that was asked for, and whose number is not known.

    :param request: what was sent to open it.
    :param found: stores its number and address; blocks.
    """

    request: Mapping[str, Any] = field(repr=False)
    found: Callable[[str, str], None] = field(repr=False)


class MetadataPort(Protocol):
    """What the receiver needs of Airflow's metadata database; every method blocks."""

    def gateway(self, conn_id: str) -> Gateway | None:
        """Return a connection of type ``bkitsm``."""

    def waiting(self, sn: str, conn_id: str) -> Registrations:
        """Return who waits for a ticket on a connection."""

    def token_digests(self, tag: str, conn_id: str) -> Collection[str]:
        """Return the digests of the tokens that were chosen for the ticket of a tag."""

    def lost(self, tag: str, conn_id: str) -> LostTicket | None:
        """Return the ticket of a tag, if it was asked for and its answer was lost."""

    def resume(self, waiter: Waiter, verdict: Verdict) -> bool:
        """Resume a task if it still waits; True for exactly one caller."""


class Run(Protocol):
    """Runs a blocking function outside the event loop."""

    def __call__(self, blocking: Callable[[], T], /) -> Awaitable[T]:
        """Return what the function returns."""


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What a callback contributes: the approval that its address is for, the number and the token.

    :param token_is_proved: whether nobody else can have made this token; else its digest has to be a kept one, or
        ITSM has to know it.
    """

    tag: str
    token_is_proved: bool = False
    notice: CallbackBody = field(repr=False)
    gateway: Gateway = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Reception:
    """The result on which ITSM is answered, and the check that follows the answer; None where none follows."""

    result: Result
    check: asyncio.Future[Check] | None = None


class Receiver:
    """Receives callbacks, in one event loop.

    :param metadata: Airflow's connections and waiting tasks.
    :param run: keeps blocking functions off the event loop.
    :param count: counts results.
    :param clock: seconds since 1970.
    :param rest: how long a ticket rests after its check, in seconds.
    :param retries: pauses before the repetitions of a check, in seconds.
    """

    def __init__(
        self,
        *,
        metadata: MetadataPort,
        run: Run = asyncio.to_thread,
        count: Callable[[Result], object] = lambda _result: None,
        clock: Callable[[], float] = time,
        rest: float = REST_SECONDS,
        retries: tuple[float, ...] = RETRY_SECONDS,
    ) -> None:
        self._metadata = metadata
        self._run = run
        self._count = count
        self._clock = clock
        self._received = 0
        self._logged: dict[Result, float] = {}
        self._connections = Connections(lambda conn_id: run(partial(metadata.gateway, conn_id)))
        self._checks: TicketChecks[Hint] = TicketChecks(
            self._check, record=self._record_check, rest=rest, retries=retries
        )

    async def receive(self, request: CallbackRequest) -> Reception:
        """Return the answer to a callback, and let its ticket be checked; never raises."""
        if self._received >= RECEIVED_LIMIT:
            return self._answer(Result.BUSY)
        self._received += 1
        try:
            return await self._receive(request)
        except TooManyLookupsError:
            return self._answer(Result.BUSY)
        except Exception as error:
            return self._answer(Result.FAILED, error)
        finally:
            self._received -= 1

    async def _receive(self, request: CallbackRequest) -> Reception:
        claim = read_claim(conn_id=request.conn_id, tag=request.tag, expires=request.expires)
        notice = read_notice(request.body) if claim else None
        if claim is None or notice is None:
            return self._answer(Result.REFUSED_SHAPE)
        proof = _proof_of(request, claim, notice)
        connection = await self._prover(proof, notice)
        if connection is None or connection.gateway is None:
            return self._answer(Result.REFUSED_SIGNATURE)
        if claim.expires < self._clock():
            return self._answer(Result.REFUSED_EXPIRED)
        if notice.dialect != connection.gateway.dialect.name:
            return self._answer(Result.REFUSED_SHAPE)
        is_proved = proof.signature == notice.token
        hint = Hint(tag=claim.tag, token_is_proved=is_proved, notice=notice, gateway=connection.gateway)
        check = self._checks.add(Ticket(claim.conn_id, notice.sn), hint)
        return self._answer(Result.BUSY if check is None else Result.ANSWERED_FIRST, check=check)

    async def _prover(self, proof: Proof, notice: CallbackBody) -> RememberedConnection | None:
        """Return the connection that a callback is proved to be for; None where nothing proves it."""
        if proof.signature is not None:
            return await self._signer(proof.claim, proof.signature, notice.sn)
        if DIALECTS[notice.dialect].capabilities.verify_token:
            return None
        return await self._unsigned(proof.claim, notice)

    async def _unsigned(self, claim: Claim, notice: CallbackBody) -> RememberedConnection | None:
        """Return a connection whose site takes no signed address, if the token was chosen for this tag."""
        connection = await self._connection(claim.conn_id, sn=notice.sn)
        needs_none = connection.gateway and not connection.gateway.dialect.capabilities.signed_address
        if needs_none and await self._was_chosen(claim.conn_id, claim.tag, notice.token):
            return connection
        await self._connections.conceal(connection, _LOOKUP_SECONDS)
        return None

    async def _was_chosen(self, conn_id: str, tag: str, token: str) -> bool:
        """Whether a token was chosen for a ticket before it was opened."""
        return is_one_of(await self._run(partial(self._metadata.token_digests, tag, conn_id)), token)

    async def _signer(self, claim: Claim, signature: str, sn: str) -> RememberedConnection | None:
        """Return the connection whose key made a signature; None where there is none."""
        for read in (partial(self._connection, sn=sn), self._connections.get_doubted):
            connection = await read(claim.conn_id)
            if is_signed(connection.keys, claim, signature):
                return connection
        await self._connections.conceal(connection, _LOOKUP_SECONDS)
        return None

    async def _connection(self, conn_id: str, *, sn: str) -> RememberedConnection:
        """Return a connection. One that a waiting task has named is found in a flood of made-up ones too."""
        try:
            return await self._connections.get(conn_id)
        except TooManyLookupsError:
            registrations = await self._run(partial(self._metadata.waiting, sn, conn_id))
            return await self._connections.get(conn_id, is_awaited=registrations.ever_registered)

    async def _check(self, ticket: Ticket, hints: tuple[Hint, ...]) -> Check:
        """Read a ticket from ITSM and resume the tasks that wait for it; never raises."""
        try:
            hints = await self._with_our_token(hints)
            if not hints:
                return Check(result=Result.REFUSED_TOKEN, why="its token was never chosen; it changed nothing")
            registrations = await self._run(partial(self._metadata.waiting, ticket.sn, ticket.conn_id))
            if registrations.waiters:
                return await self._read_and_resume(hints, registrations)
            if registrations.ever_registered:
                return Check(result=Result.DUPLICATE)
            for hint in hints:
                await self._adopt(hint)
            return Check(result=Result.UNKNOWN)
        except (ItsmError, TimeoutError) as error:
            why = str(error) or f"no answer in {ITSM_SECONDS:g} s"
            return Check(result=Result.UNAVAILABLE, why=why, again=True)
        except Exception as error:
            return Check(result=Result.FAILED, why=type(error).__name__, again=True, error=error)

    async def _with_our_token(self, hints: tuple[Hint, ...]) -> tuple[Hint, ...]:
        """Return the callbacks whose token was chosen for their ticket; ITSM's own tokens ITSM is asked about."""
        found = []
        for hint in hints:
            is_known = hint.token_is_proved or hint.gateway.dialect.capabilities.verify_token
            if is_known or await self._was_chosen(hint.gateway.conn_id, hint.tag, hint.notice.token):
                found.append(hint)
        return tuple(found)

    async def _read_and_resume(self, hints: tuple[Hint, ...], registrations: Registrations) -> Check:
        async with asyncio.timeout(ITSM_SECONDS):
            tags, verdicts = await _read_verdicts(hints, registrations)
        if not tags:
            return Check(result=Result.REFUSED_TOKEN, why="its token was not made by ITSM; it changed nothing")
        if not all(any(is_marked(verdict.title, tag) for tag in tags) for _, verdict in verdicts):
            return Check(result=Result.REFUSED_MISDIRECTED, why="its signature is another approval's")
        now = datetime.fromtimestamp(self._clock(), UTC)
        decided = [
            (waiter, verdict.seen("callback", now)) for waiter, verdict in verdicts if verdict.outcome.is_final
        ]
        return await self._resume(decided)

    async def _adopt(self, hint: Hint) -> None:
        """Store the number of a ticket whose create answer was lost, for the next try: its callback names it (P2).

        The ticket has to carry the tag that was signed, and to ask what was sent. Where a version finds tickets
        by their tag this is not needed.
        """
        if hint.gateway.dialect.capabilities.tag:
            return
        lost = await self._run(partial(self._metadata.lost, hint.tag, hint.gateway.conn_id))
        if lost is None or stored_dialect(lost.request) != hint.gateway.dialect.name:
            return
        async with asyncio.timeout(ITSM_SECONDS), ItsmAsyncHook.for_gateway(hint.gateway) as hook:
            info = await hook.run(ask(lambda itsm: itsm.info(hint.notice.sn)))
        wrong = "; ".join(ticket_differences(lost.request, info, hint.gateway.dialect))
        if not is_marked(info.title, hint.tag):
            wrong = "its title has another mark"
        if wrong:
            log.error(
                "ticket %s of a callback is not taken for the lost one that was asked for: %s", info.sn, wrong
            )
            return
        await self._run(partial(lost.found, info.sn, info.ticket_url))
        log.info("ticket %s of a lost answer was found by its callback", info.sn)

    async def _resume(self, decided: list[tuple[Waiter, Verdict]]) -> Check:
        """Resume every waiter. The error of one waiter is raised only after all the others were tried."""
        calls = (self._run(partial(self._metadata.resume, waiter, verdict)) for waiter, verdict in decided)
        resumed = await asyncio.gather(*calls, return_exceptions=True)
        for attempt in resumed:
            if isinstance(attempt, BaseException):
                raise attempt
        if any(resumed):
            return Check(result=Result.RESUMED, again=not all(resumed))
        return Check(result=Result.LEFT_TO_POLL, again=True) if decided else Check(result=Result.STILL_OPEN)

    def _answer(
        self, result: Result, error: Exception | None = None, *, check: asyncio.Future[Check] | None = None
    ) -> Reception:
        """Count and log the result on which ITSM is answered. Nothing that an unproved callback holds is logged.

        So of an error only its type and its lines of code are: its text may quote what the callback holds.
        A flood of refusals is counted, and logged once in ``_LOG_SECONDS``.
        """
        now, why = self._clock(), f" ({type(error).__name__})" if error else ""
        if check is None and now - self._logged.get(result, 0.0) >= _LOG_SECONDS:
            self._logged[result] = now
            where = "".join(traceback.format_tb(error.__traceback__)).rstrip() if error else ""
            log.log(
                logging.ERROR if error else logging.INFO, "callback: %s%s%s", result, why, where and f"\n{where}"
            )
        self._count(result)
        return Reception(result=result, check=check)

    def _record_check(self, ticket: Ticket, check: Check) -> None:
        """Count and log what became of a ticket's callbacks."""
        level = logging.ERROR if check.error else logging.WARNING if check.why else logging.INFO
        why = f" ({check.why})" if check.why else ""
        log.log(level, "callback for ticket %s: %s%s", ticket.sn, check.result, why, exc_info=check.error)
        self._count(check.result)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What proves that a callback is for an approval.

    :param claim: what the signature vouches for.
    :param signature: None: there is none.
    """

    claim: Claim
    signature: str | None = field(repr=False)


def _proof_of(request: CallbackRequest, claim: Claim, notice: CallbackBody) -> Proof:
    if DIALECTS[notice.dialect].capabilities.verify_token:
        return Proof(claim=claim, signature=read_signature(request.signature))
    # Tickets that 0.2.0 has opened have no other token than the signature itself, for 60 days (``LIFE``). To be
    # removed after 2027-06-30. A token that is chosen now never has a signature's shape.
    if earlier := read_signature(notice.token):
        return Proof(claim=claim, signature=earlier)
    signed = replace(claim, token_digest=digest_of(notice.token))
    return Proof(claim=signed, signature=read_signature(request.signature))


async def _read_verdicts(
    hints: tuple[Hint, ...], registrations: Registrations
) -> tuple[frozenset[str], list[tuple[Waiter, Verdict]]]:
    """Verify the tokens and read the ticket at the same time: one verdict for each verdict policy, and the form.

    An approval counts only while the ticket still shows what was sent to open it.

    :return: the tags whose callbacks' tokens ITSM made, and the verdicts; no tags, no verdicts.
    :raises ItsmError: ITSM did not answer.
    """
    gateway, sn, request = hints[-1].gateway, hints[-1].notice.sn, registrations.request
    async with ItsmAsyncHook.for_gateway(gateway) as hook:
        tags, verdicts, info = await asyncio.gather(
            _verified(hook, hints),
            _verdicts_of(hook, sn, registrations.waiters, request),
            _read_form(hook, sn, request),
            return_exceptions=True,
        )
        if not _value(tags):
            return frozenset(), []
        form = _value(info)
        if form is not None and not form.progress.has_ended:
            # The form was read before the ticket ended. Until its end a ticket can be edited: read the form again.
            form = await hook.run(ask(lambda itsm: itsm.info(sn)))
    judged = [(waiter, confirmed(verdict, request, form, gateway.dialect)) for waiter, verdict in _value(verdicts)]
    return _value(tags), judged


async def _verified(hook: ItsmAsyncHook, hints: Collection[Hint]) -> frozenset[str]:
    """Return the tags of the callbacks whose token ITSM made.

    :raises ItsmError: ITSM did not answer, and none is known to be made by it.
    """
    checks = (hook.run(ask(partial(_verification, hint.notice))) for hint in hints)
    made = await asyncio.gather(*checks, return_exceptions=True)
    tags = frozenset(hint.tag for hint, is_made in zip(hints, made, strict=True) if is_made is True)
    if not tags:
        for is_made in made:
            _value(is_made)
    return tags


def _verification(notice: CallbackBody, itsm: Any) -> Any:
    return itsm.verify_callback(notice)


async def _verdicts_of(
    hook: ItsmAsyncHook, sn: str, waiters: Iterable[Waiter], request: Mapping[str, Any] | None
) -> list[tuple[Waiter, Verdict]]:
    by_settings: dict[tuple[Any, ...], Verdict] = {}
    verdicts = []
    for waiter in waiters:
        settings = waiter.verdict_settings
        key = tuple(settings.items())
        if key not in by_settings:
            verdict = await hook.run(read_verdict(sn, await hook.verdict_policy(**settings)))
            by_settings[key] = await hook.run(as_asked(verdict, request, settings))
        verdicts.append((waiter, by_settings[key]))
    return verdicts


async def _read_form(hook: ItsmAsyncHook, sn: str, request: Mapping[str, Any] | None) -> TicketInfo | None:
    return None if request is None else await hook.run(ask(lambda itsm: itsm.info(sn)))


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
