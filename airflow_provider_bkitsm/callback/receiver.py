# SPDX-License-Identifier: Apache-2.0
"""Four locks, cheapest first: shape, signature, ITSM's token, and ITSM's own answer about the ticket.

Nothing of a callback is used for a decision but the ticket's number, and that only for tickets a task waits for
(promises P4 and P6). What ITSM then says has to be about the approval that the signature vouches for.
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
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import CollectItsmTokenIllega, ItsmConfigurationError, ItsmError
from airflow_provider_bkitsm.itsm.idempotency import is_marked
from airflow_provider_bkitsm.itsm.models import CallbackBody, TicketInfo
from airflow_provider_bkitsm.itsm.read_back import as_asked, confirmed
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.verdict_source import read_verdict

log = logging.getLogger(__name__)
T = TypeVar("T")

# ITSM waits for the answer without a limit of its own, and holds one of its workers while it does
# (docs/itsm-behaviour.md#sent-once).
ITSM_SECONDS = 4.0
# Once answered nobody waits, but ITSM may still be busy with the call this callback came from.
BACKGROUND_SECONDS = 60.0
BACKGROUND_LIMIT = 100
# How many talk to ITSM at once. More would take longer: what one request costs grows with the others under way.
TURNS = 8
_NO_KEYS = (bytes(32),)


@dataclass(frozen=True, kw_only=True)
class CallbackRequest:
    """A callback as it arrived: the parts of its address, its signature header, its raw body."""

    conn_id: str
    tag: str
    expires: str
    signature: str = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Registrations:
    """Who registered for a ticket: those who still wait, and whether anybody ever did.

    :param request: what was sent to open the ticket; None where no record says.
    """

    waiters: tuple[Waiter, ...] = ()
    known: bool = False
    request: Mapping[str, Any] | None = field(default=None, repr=False)


class MetadataPort(Protocol):
    """What Airflow knows; every method blocks."""

    def gateway(self, conn_id: str) -> Gateway | None:
        """Return a connection of type ``bkitsm``."""

    def waiting(self, sn: str, conn_id: str) -> Registrations:
        """Return who waits for a ticket on a connection."""

    def resume(self, waiter: Waiter, verdict: Verdict) -> bool:
        """Resume a task if it still waits; True for exactly one caller."""


class Run(Protocol):
    """Runs a blocking function outside the event loop."""

    def __call__(self, blocking: Callable[[], T], /) -> Awaitable[T]:
        """Return what the function returns."""


class Receiver:
    """Receives callbacks, in one event loop.

    :param metadata: Airflow's side.
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

    async def receive(self, arrived: CallbackRequest) -> Result:
        """Check a callback and resume whoever waits for it; never raises."""
        claim = read_claim(conn_id=arrived.conn_id, tag=arrived.tag, expires=arrived.expires)
        notice = read_notice(arrived.body)
        if claim is None or notice is None:
            return self._said(Result.REFUSED_SHAPE)
        try:
            return await self._receive(claim, notice, arrived.signature)
        except Exception as error:
            return self._said(Result.FAILED, notice, type(error).__name__)

    async def _receive(self, claim: Claim, notice: CallbackBody, signature: str) -> Result:
        found = await self._run(partial(self._look, claim, notice.sn, signature))
        if isinstance(found, Result):
            return self._said(found)
        gateway, waiting = found
        if notice.dialect != gateway.dialect.name:
            return self._said(Result.REFUSED_SHAPE)
        if not waiting.waiters:
            return self._said(Result.DUPLICATE if waiting.known else Result.UNKNOWN, notice)
        settle = partial(self._settle, gateway, claim, notice, waiting)
        if notice.inside_a_call:
            return self._said(self._later(settle, notice), notice)
        return await settle(turns=self._turns, seconds=ITSM_SECONDS)

    def _look(self, claim: Claim, sn: str, signature: str) -> tuple[Gateway, Registrations] | Result:
        """Check the signature, and only then look for who waits."""
        gateway = self._metadata.gateway(claim.conn_id)
        refusal = _refusal(gateway, claim, signature, now=self._clock())
        if refusal or gateway is None:
            return refusal or Result.REFUSED_SIGNATURE
        return gateway, self._metadata.waiting(sn, claim.conn_id)

    async def _settle(
        self,
        gateway: Gateway,
        claim: Claim,
        notice: CallbackBody,
        waiting: Registrations,
        *,
        turns: asyncio.Semaphore,
        seconds: float,
    ) -> Result:
        try:
            async with asyncio.timeout(seconds), turns:
                verdicts = await _read_verdicts(gateway, notice, waiting.waiters, waiting.request)
        except CollectItsmTokenIllega as error:
            return self._said(Result.REFUSED_TOKEN, notice, str(error))
        except (ItsmError, TimeoutError) as error:
            return self._said(Result.UNAVAILABLE, notice, str(error) or f"no answer in {seconds:g} s")
        if not all(is_marked(verdict.title, claim.tag) for _, verdict in verdicts):
            return self._said(Result.REFUSED_MISDIRECTED, notice, "its signature is another approval's")
        now = datetime.fromtimestamp(self._clock(), UTC)
        decided = [(who, said.seen("callback", now)) for who, said in verdicts if said.outcome.is_final]
        return self._said(await self._resume(decided), notice)

    async def _resume(self, decided: list[tuple[Waiter, Verdict]]) -> Result:
        """Resume them all; what goes wrong with one is raised after the others had their turn."""
        turns = (self._run(partial(self._metadata.resume, who, said)) for who, said in decided)
        resumed = await asyncio.gather(*turns, return_exceptions=True)
        for one in resumed:
            if isinstance(one, BaseException):
                raise one
        if any(resumed):
            return Result.RESUMED
        return Result.LEFT_TO_POLL if decided else Result.STILL_OPEN

    def _later(self, settle: Callable[..., Awaitable[Result]], notice: CallbackBody) -> Result:
        """Settle after the answer: ITSM may answer none of our calls until its callback is answered.

        See docs/itsm-behaviour.md#callback-inside-the-call.
        """
        if len(self._background) >= BACKGROUND_LIMIT:
            return Result.LEFT_TO_POLL

        async def settled() -> None:
            try:
                await settle(turns=self._background_turns, seconds=BACKGROUND_SECONDS)
            except Exception as error:
                self._said(Result.FAILED, notice, type(error).__name__)

        task = asyncio.create_task(settled())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return Result.ANSWERED_FIRST

    def _said(self, result: Result, notice: CallbackBody | None = None, why: str = "") -> Result:
        """Count, and write the one line of log; of a callback that has proved nothing, nothing is repeated."""
        about = f" for ticket {notice.sn}" if notice else ""
        failed = result is Result.FAILED
        level = logging.ERROR if failed else logging.WARNING if why else logging.INFO
        log.log(level, "callback%s: %s%s", about, result, why and f" ({why})", exc_info=failed)
        self._count(result)
        return result


def _refusal(gateway: Gateway | None, claim: Claim, signature: str, *, now: float) -> Result | None:
    """Check a signature; an unknown connection takes the same steps as a known one."""
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
    """Verify the token, and meanwhile read the ticket: once for each way its verdict is wanted, and its form.

    :param request: what was sent to open the ticket: an approval counts only if it shows that still.
    :raises CollectItsmTokenIllega: ITSM did not make the token.
    :raises ItsmError: ITSM could not be asked.
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
            # Read before the ticket ended: until then it could be edited, and show its approvers something else.
            form = await hook.run(ask(lambda itsm: itsm.info(notice.sn)))
    return [(waiter, confirmed(verdict, request, form, gateway.dialect)) for waiter, verdict in _value(verdicts)]


async def _verdicts_of(
    hook: ItsmAsyncHook, sn: str, waiters: Iterable[Waiter], request: Mapping[str, Any] | None
) -> list[tuple[Waiter, Verdict]]:
    read: dict[tuple[Any, ...], Verdict] = {}
    verdicts = []
    for waiter in waiters:
        settings = waiter.verdict_settings
        wanted = tuple(settings.items())
        if wanted not in read:
            verdict = await hook.run(read_verdict(sn, await hook.verdict_policy(**settings)))
            read[wanted] = await hook.run(as_asked(verdict, request, settings))
        verdicts.append((waiter, read[wanted]))
    return verdicts


async def _read_form(hook: ItsmAsyncHook, sn: str, request: Mapping[str, Any] | None) -> TicketInfo | None:
    return None if request is None else await hook.run(ask(lambda itsm: itsm.info(sn)))


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
