# SPDX-License-Identifier: Apache-2.0
"""``ItsmHook`` and ``ItsmAsyncHook``: an Airflow connection turned into a BK-ITSM client.

Both offer ITSM's calls under ITSM's names, with the parameters of :mod:`airflow_provider_bkitsm.itsm.calls`;
they differ in nothing but the transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar, Unpack

from airflow.sdk import BaseHook
from asgiref.sync import sync_to_async
from tenacity import AsyncRetrying, Retrying

from airflow_provider_bkitsm.hooks import sharing
from airflow_provider_bkitsm.hooks.answers import unanswered, understand
from airflow_provider_bkitsm.hooks.base import BlueKingHook
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.exchange import NoAnswerError
from airflow_provider_bkitsm.hooks.itsm_calls import ItsmAsyncCalls, ItsmCalls
from airflow_provider_bkitsm.hooks.retrying import LEADS_NOWHERE, at_esb, falls_back, nowhere, policy
from airflow_provider_bkitsm.hooks.transport import AsyncTransport
from airflow_provider_bkitsm.itsm import batches, calls, errors, models, paging, service_calls
from airflow_provider_bkitsm.itsm.filters import TicketFilters
from airflow_provider_bkitsm.itsm.models import R, TicketOfUser, TicketSummary
from airflow_provider_bkitsm.itsm.protocol import Call, Flow
from airflow_provider_bkitsm.itsm.v2 import four_byte
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy

T = TypeVar("T")


class ItsmHook(ItsmCalls, BlueKingHook):
    """Synchronous BK-ITSM client.

    :param bkitsm_conn_id: connection of type ``bkitsm``. It is read at the first call, not before.
    """

    conn_name_attr = "bkitsm_conn_id"
    default_conn_name = "bkitsm_default"
    conn_type = "bkitsm"
    hook_name = "BlueKing ITSM"

    def __init__(self, bkitsm_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.bkitsm_conn_id = bkitsm_conn_id

    def send(self, call: Call[T]) -> T:
        """Send one call and parse its answer; a read is tried again while that may help.

        Emoji and rare Han in a write's texts are sent as the connection's extra ``four_byte`` says.

        :raises ItsmError: see :mod:`airflow_provider_bkitsm.itsm.errors`.
        """
        call = four_byte.prepared(call, self.gateway.four_byte)
        size = batch_size(self.gateway)
        if batches.is_too_large(call, size):
            return self.run(batches.in_batches(call, size))
        try:
            answer: T = Retrying(**policy(call, self.gateway))(self._once, call)
        except errors.ItsmError as error:
            if not falls_back(call, self.gateway):
                raise
            return self._at_esb(call, error)
        return answer

    def _at_esb(self, call: Call[T], failure: errors.ItsmError) -> T:
        try:
            return self.send(at_esb(call, failure))
        except LEADS_NOWHERE as error:
            raise nowhere(call, failure, error) from error

    def _once(self, call: Call[T]) -> T:
        try:
            reply = self.get_conn().send(call)
        except NoAnswerError as error:
            raise unanswered(call, error) from None
        return understand(call, reply)

    def run(self, flow: Flow[T]) -> T:
        """Send a flow's calls one after the other and return its result."""
        try:
            call = next(flow)
            while True:
                try:
                    answer = self.send(call)
                except errors.ItsmError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def iter_tickets(self, **filters: Unpack[TicketFilters]) -> Iterator[TicketSummary]:
        """Yield every ticket ``get_tickets`` finds, newest first, each once, reading a page when it is needed.

        :param filters: see :class:`~airflow_provider_bkitsm.itsm.filters.TicketFilters`; many ``sns`` are
            searched for in pieces, as ``ticket_approval_result`` does.
        """
        return self._rows(paging.tickets(batch_size=batch_size(self.gateway), **filters))

    def iter_tickets_by_user(
        self, *, user: str, view_type: calls.UserView | str, service_id: int | None = None
    ) -> Iterator[TicketOfUser]:
        """Yield every ticket ``get_tickets_by_user`` finds, newest first, each once, reading pages as needed."""
        return self._rows(paging.tickets_by_user(user=user, view_type=view_type, service_id=service_id))

    def _rows(self, pages: paging.Pages[R]) -> Iterator[R]:
        while pages.more:
            yield from self.run(pages.next())

    def verdict_policy(self, **of_the_task: Any) -> VerdictPolicy:
        """Return the task's verdict policy; what it leaves at None comes from the connection's extra."""
        return _verdict_policy(self.gateway, of_the_task)

    def _report(self) -> str:
        """Make two reads: one that needs the app, one that needs its user to be verified."""
        seen = _visible(self.gateway, self._once(service_calls.get_services()))
        try:
            self._once(calls.ticket_approval_result(["connection-test"]))
        except errors.ItsmAuthenticationError as error:
            raise _no_verdicts(error, seen) from None
        return f"ITSM answers: {seen}, and verdicts can be read"


class ItsmAsyncHook(ItsmAsyncCalls, BaseHook):
    """Asynchronous BK-ITSM client, for triggers. Use as ``async with``, in one event loop.

    All hooks of one connection in one event loop share one pool of HTTP connections; the last that leaves its
    ``async with`` closes it.

    :param bkitsm_conn_id: connection of type ``bkitsm``. It is read at the first call, not before.
    """

    def __init__(self, bkitsm_conn_id: str = ItsmHook.default_conn_name) -> None:
        super().__init__()
        self.bkitsm_conn_id = bkitsm_conn_id
        self._shared: sharing.Shared | None = None

    async def __aenter__(self) -> ItsmAsyncHook:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._use(None)

    async def forget_connection(self) -> None:
        """Read the Airflow connection anew at the next call, a rotated secret included.

        Other hooks that share this one's client are not disturbed.
        """
        if self._shared is not None:
            self._shared.doubt()
        await self._use(None)

    async def aget_conn(self) -> AsyncTransport:
        """Return the transport of this hook's connection, opened once."""
        return (await self._join()).transport

    async def _join(self) -> sharing.Shared:
        if self._shared is not None:
            return self._shared
        shared = await sharing.join(self.bkitsm_conn_id, self.aread_gateway)
        await self._use(shared)
        return shared

    async def _use(self, shared: sharing.Shared | None) -> None:
        """Leave the client in use, which another task of this hook may just have joined, for this one."""
        before, self._shared = self._shared, shared
        if before is not None:
            await before.leave()

    async def aread_gateway(self) -> Gateway:
        """Read the gateway from the Airflow connection; asked once for all hooks that share a client."""
        connection = await self.aget_connection(self.bkitsm_conn_id)
        # In a thread: reading it tells Airflow's supervisor what to mask, which waits for an answer.
        return await sync_to_async(read_gateway)(connection)

    async def send(self, call: Call[T]) -> T:
        """Send one call and parse its answer; a read is tried again while that may help.

        Emoji and rare Han in a write's texts are sent as the connection's extra ``four_byte`` says.

        :raises ItsmError: see :mod:`airflow_provider_bkitsm.itsm.errors`.
        """
        gateway = (await self.aget_conn()).gateway
        call = four_byte.prepared(call, gateway.four_byte)
        size = batch_size(gateway)
        if batches.is_too_large(call, size):
            return await self.run(batches.in_batches(call, size))
        try:
            return await AsyncRetrying(**policy(call, gateway))(self._once, call)
        except errors.ItsmError as error:
            if not falls_back(call, gateway):
                raise
            return await self._at_esb(call, error)

    async def _at_esb(self, call: Call[T], failure: errors.ItsmError) -> T:
        try:
            return await self.send(at_esb(call, failure))
        except LEADS_NOWHERE as error:
            raise nowhere(call, failure, error) from error

    async def _once(self, call: Call[T]) -> T:
        try:
            async with (await self._join()).in_use() as transport:
                reply = await transport.send(call)
        except NoAnswerError as error:
            raise unanswered(call, error) from None
        return understand(call, reply)

    async def run(self, flow: Flow[T]) -> T:
        """Send a flow's calls one after the other and return its result."""
        try:
            call = next(flow)
            while True:
                try:
                    answer = await self.send(call)
                except errors.ItsmError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def iter_tickets(self, **filters: Unpack[TicketFilters]) -> AsyncIterator[TicketSummary]:
        """Yield every ticket ``get_tickets`` finds, newest first, each once, reading a page when it is needed.

        :param filters: see :class:`~airflow_provider_bkitsm.itsm.filters.TicketFilters`; many ``sns`` are
            searched for in pieces, as ``ticket_approval_result`` does.
        """
        size = batch_size((await self.aget_conn()).gateway)
        async for row in self._rows(paging.tickets(batch_size=size, **filters)):
            yield row

    def iter_tickets_by_user(
        self, *, user: str, view_type: calls.UserView | str, service_id: int | None = None
    ) -> AsyncIterator[TicketOfUser]:
        """Yield every ticket ``get_tickets_by_user`` finds, newest first, each once, reading pages as needed."""
        return self._rows(paging.tickets_by_user(user=user, view_type=view_type, service_id=service_id))

    async def _rows(self, pages: paging.Pages[R]) -> AsyncIterator[R]:
        while pages.more:
            for row in await self.run(pages.next()):
                yield row

    async def verdict_policy(self, **of_the_task: Any) -> VerdictPolicy:
        """Return the task's verdict policy; what it leaves at None comes from the connection's extra."""
        return _verdict_policy((await self.aget_conn()).gateway, of_the_task)


def batch_size(gateway: Gateway) -> int:
    """Return how many tickets one call may ask for: the connection's extra ``batch_size``."""
    return gateway.whole("batch_size", batches.DEFAULT_SIZE, least=1)


def _visible(gateway: Gateway, services: tuple[models.Service, ...]) -> str:
    wanted = gateway.text("service_id")
    known = {str(one.id) for one in services} | {one.name for one in services}
    lacks = "" if wanted is None or wanted in known else f", though not service {wanted}"
    return f"app {gateway.app_code!r} is accepted, {len(services)} services are visible{lacks}"


def _no_verdicts(error: errors.ItsmAuthenticationError, seen: str) -> errors.ItsmAuthenticationError:
    return errors.ItsmAuthenticationError(
        f"{seen}, but no verdict can be read, so no task would learn of an approval: {error.message}",
        code=error.code,
        request_id=error.request_id,
    )


def _verdict_policy(gateway: Gateway, of_the_task: dict[str, Any]) -> VerdictPolicy:
    of_the_connection = {
        "verdict_field": gateway.text("verdict_field"),
        "verdict_value": gateway.text("verdict_value") or "true",
        "require_evidence": gateway.flag("require_evidence", True),
        "accept_automatic": gateway.flag("accept_automatic", False),
    }
    chosen = {key: value for key, value in of_the_task.items() if value is not None}
    return VerdictPolicy(**of_the_connection | chosen)
