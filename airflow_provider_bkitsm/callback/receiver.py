# SPDX-License-Identifier: Apache-2.0
"""Checks a callback in four steps, cheapest first: its shape, its signature, ITSM's token, ITSM's own verdict.

The ticket's number is all that a callback contributes to a decision, and it counts only for tickets that a task
waits for (promises P4 and P6). The ticket that ITSM then shows has to carry the tag that was signed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import time
from typing import Any, Protocol, TypeVar

from airflow_provider_bkitsm.callback.messages import Result, read_notice
from airflow_provider_bkitsm.callback.signature import Claim, is_signed, read_claim, signing_keys
from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.confirmation import as_asked, confirmed, ticket_differences
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import CollectItsmTokenIllega, ItsmConfigurationError, ItsmError
from airflow_provider_bkitsm.itsm.idempotency import is_marked
from airflow_provider_bkitsm.itsm.models import CallbackBody, TicketInfo
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict

log = logging.getLogger(__name__)
T = TypeVar("T")

# ITSM waits for the answer without a limit of its own, and holds one of its workers while it does
# (docs/itsm-behaviour.md#sent-once).
ITSM_SECONDS = 4.0
# After the answer nobody waits, but ITSM may still be busy with the call that caused this callback.
BACKGROUND_SECONDS = 60.0
BACKGROUND_LIMIT = 100
# How many callbacks are checked with ITSM at once. Each request gets slower with the number of the others.
TURNS = 8
_NO_KEYS = (bytes(32),)


@dataclass(frozen=True, kw_only=True)
class CallbackRequest:
    """A callback as HTTP delivers it: the parts of its address, its signature header, its raw body."""

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

    def lost(self, tag: str, conn_id: str) -> LostTicket | None:
        """Return the ticket of a tag, if it was asked for and its answer was lost."""

    def resume(self, waiter: Waiter, verdict: Verdict) -> bool:
        """Resume a task if it still waits; True for exactly one caller."""


class Run(Protocol):
    """Runs a blocking function outside the event loop."""

    def __call__(self, blocking: Callable[[], T], /) -> Awaitable[T]:
        """Return what the function returns."""


class Receiver:
    """Receives callbacks, in one event loop.

    :param metadata: Airflow's connections and waiting tasks.
    :param run: keeps blocking functions off the event loop.
    :param count: counts results.
    :param clock: seconds since 1970.
    """

    def __init__(
        self,
        *,
        metadata: MetadataPort,
        run: Run = asyncio.to_thread,
        count: Callable[[Result], object] = lambda _result: None,
        clock: Callable[[], float] = time,
    ) -> None:
        self._metadata = metadata
        self._run = run
        self._count = count
        self._clock = clock
        self._background: set[asyncio.Task[None]] = set()
        self._turns, self._background_turns = asyncio.Semaphore(TURNS), asyncio.Semaphore(TURNS)

    async def receive(self, request: CallbackRequest) -> Result:
        """Check a callback and resume the tasks that wait for its ticket; never raises."""
        claim = read_claim(conn_id=request.conn_id, tag=request.tag, expires=request.expires)
        notice = read_notice(request.body)
        if claim is None or notice is None:
            return self._record_result(Result.REFUSED_SHAPE)
        try:
            return await self._receive(claim, notice, request.signature)
        except Exception as error:
            return self._record_result(Result.FAILED, notice, type(error).__name__)

    async def _receive(self, claim: Claim, notice: CallbackBody, signature: str) -> Result:
        found = await self._run(partial(self._find_registrations, claim, notice, signature))
        if isinstance(found, Result):
            return self._record_result(found)
        gateway, registrations = found
        if notice.dialect != gateway.dialect.name:
            return self._record_result(Result.REFUSED_SHAPE)
        if not registrations.waiters:
            result = Result.DUPLICATE if registrations.ever_registered else Result.UNKNOWN
            if result is Result.UNKNOWN and not gateway.dialect.capabilities.tag:
                await self._adopt(gateway, claim, notice)
            return self._record_result(result, notice)
        settle = partial(self._settle, gateway, claim, notice, registrations)
        if notice.inside_a_call:
            return self._record_result(self._settle_later(settle, notice), notice)
        return await settle(turns=self._turns, seconds=ITSM_SECONDS)

    def _find_registrations(
        self, claim: Claim, notice: CallbackBody, signature: str
    ) -> tuple[Gateway, Registrations] | Result:
        """Check the signature, and only then read who waits for the ticket.

        Where ITSM makes no token of its own, the token in the body is the signature.
        """
        gateway = self._metadata.gateway(claim.conn_id)
        if gateway is not None and _makes_no_token(gateway, notice):
            signature = notice.token
        refusal = _refusal(gateway, claim, signature, now=self._clock())
        if refusal or gateway is None:
            return refusal or Result.REFUSED_SIGNATURE
        return gateway, self._metadata.waiting(notice.sn, claim.conn_id)

    async def _settle(
        self,
        gateway: Gateway,
        claim: Claim,
        notice: CallbackBody,
        registrations: Registrations,
        *,
        turns: asyncio.Semaphore,
        seconds: float,
    ) -> Result:
        try:
            async with asyncio.timeout(seconds), turns:
                verdicts = await _read_verdicts(gateway, notice, registrations.waiters, registrations.request)
        except CollectItsmTokenIllega as error:
            return self._record_result(Result.REFUSED_TOKEN, notice, str(error))
        except (ItsmError, TimeoutError) as error:
            return self._record_result(Result.UNAVAILABLE, notice, str(error) or f"no answer in {seconds:g} s")
        if not all(is_marked(verdict.title, claim.tag) for _, verdict in verdicts):
            return self._record_result(Result.REFUSED_MISDIRECTED, notice, "its signature is another approval's")
        now = datetime.fromtimestamp(self._clock(), UTC)
        decided = [
            (waiter, verdict.seen("callback", now)) for waiter, verdict in verdicts if verdict.outcome.is_final
        ]
        return self._record_result(await self._resume(decided), notice)

    async def _adopt(self, gateway: Gateway, claim: Claim, notice: CallbackBody) -> None:
        """Store the number of a ticket whose create answer was lost, for the next try: its callback names it (P2).

        The ticket has to carry the tag that was signed, and to ask what was sent. Where a version finds tickets
        by their tag this is not needed.
        """
        lost = await self._run(partial(self._metadata.lost, claim.tag, claim.conn_id))
        if lost is None:
            return
        try:
            async with asyncio.timeout(ITSM_SECONDS), self._turns, ItsmAsyncHook.for_gateway(gateway) as hook:
                info = await hook.run(ask(lambda itsm: itsm.info(notice.sn)))
        except (ItsmError, TimeoutError) as error:
            log.warning("the ticket of a lost answer was not read, its task looks for it: %s", error)
            return
        if is_marked(info.title, claim.tag) and not ticket_differences(lost.request, info, gateway.dialect):
            await self._run(partial(lost.found, info.sn, info.ticket_url))
            log.info("ticket %s of a lost answer was found by its callback", info.sn)

    async def _resume(self, decided: list[tuple[Waiter, Verdict]]) -> Result:
        """Resume every waiter. The error of one waiter is raised only after all the others were tried."""
        calls = (self._run(partial(self._metadata.resume, waiter, verdict)) for waiter, verdict in decided)
        resumed = await asyncio.gather(*calls, return_exceptions=True)
        for attempt in resumed:
            if isinstance(attempt, BaseException):
                raise attempt
        if any(resumed):
            return Result.RESUMED
        return Result.LEFT_TO_POLL if decided else Result.STILL_OPEN

    def _settle_later(self, settle: Callable[..., Awaitable[Result]], notice: CallbackBody) -> Result:
        """Settle after the callback is answered: until then ITSM may answer none of our calls.

        See docs/itsm-behaviour.md#callback-inside-the-call.
        """
        if len(self._background) >= BACKGROUND_LIMIT:
            return Result.LEFT_TO_POLL

        async def settled() -> None:
            try:
                await settle(turns=self._background_turns, seconds=BACKGROUND_SECONDS)
            except Exception as error:
                self._record_result(Result.FAILED, notice, type(error).__name__)

        task = asyncio.create_task(settled())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return Result.ANSWERED_FIRST

    def _record_result(self, result: Result, notice: CallbackBody | None = None, why: str = "") -> Result:
        """Count and log a result, and return it. Nothing that an unproved callback holds is logged."""
        about = f" for ticket {notice.sn}" if notice else ""
        failed = result is Result.FAILED
        level = logging.ERROR if failed else logging.WARNING if why else logging.INFO
        log.log(level, "callback%s: %s%s", about, result, why and f" ({why})", exc_info=failed)
        self._count(result)
        return result


def _makes_no_token(gateway: Gateway, notice: CallbackBody) -> bool:
    return notice.dialect == gateway.dialect.name and not gateway.dialect.capabilities.verify_token


def _refusal(gateway: Gateway | None, claim: Claim, signature: str, *, now: float) -> Result | None:
    """Return why a claim is refused, or None. A missing connection takes the same steps as an existing one."""
    try:
        keys = signing_keys(gateway) if gateway else _NO_KEYS
    except ItsmConfigurationError as error:
        log.error("%s", error)
        keys, gateway = _NO_KEYS, None
    if not is_signed(keys, claim, signature) or gateway is None:
        return Result.REFUSED_SIGNATURE
    return Result.REFUSED_EXPIRED if claim.expires < now else None


async def _read_verdicts(
    gateway: Gateway,
    notice: CallbackBody,
    waiters: Iterable[Waiter],
    request: Mapping[str, Any] | None = None,
) -> list[tuple[Waiter, Verdict]]:
    """Verify the token and read the ticket at the same time: one verdict for each verdict policy, and the form.

    :param request: what was sent to open the ticket: an approval counts only while the ticket still shows it.
    :raises CollectItsmTokenIllega: ITSM did not make the token.
    :raises ItsmError: ITSM did not answer.
    """
    async with ItsmAsyncHook.for_gateway(gateway) as hook:
        verified, verdicts, info = await asyncio.gather(
            hook.run(ask(lambda itsm: itsm.verify_callback(notice))),
            _verdicts_of(hook, notice.sn, waiters, request),
            _read_form(hook, notice.sn, request),
            return_exceptions=True,
        )
        if not _value(verified):
            raise CollectItsmTokenIllega("its token was not made by ITSM; it changed nothing")
        form = _value(info)
        if form is not None and not form.progress.has_ended:
            # The form was read before the ticket ended. Until its end a ticket can be edited: read the form again.
            form = await hook.run(ask(lambda itsm: itsm.info(notice.sn)))
    return [(waiter, confirmed(verdict, request, form, gateway.dialect)) for waiter, verdict in _value(verdicts)]


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
