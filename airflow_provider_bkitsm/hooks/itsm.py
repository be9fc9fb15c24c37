# SPDX-License-Identifier: Apache-2.0
"""``ItsmHook`` and ``ItsmAsyncHook``: an Airflow connection turned into a BK-ITSM client.

Both hooks offer ITSM's calls under ITSM's names, with the parameters of
:mod:`airflow_provider_bkitsm.itsm.v2.calls`. The calls are listed twice, because
the type of a method is either that of a function or that of a coroutine. What a call sends and what its answer
means is the same code. The hooks differ in the transport, and in how they share clients: the asynchronous hook has
one client for each connection and event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, Unpack

from airflow.sdk import BaseHook
from asgiref.sync import sync_to_async
from tenacity import AsyncRetrying, Retrying

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.hooks import pool
from airflow_provider_bkitsm.hooks.base import BlueKingHook
from airflow_provider_bkitsm.hooks.connection import DIALECTS, Gateway, read_gateway
from airflow_provider_bkitsm.hooks.connection_lookup import afind_connection
from airflow_provider_bkitsm.hooks.responses import (
    LEADS_NOWHERE,
    at_esb,
    falls_back,
    nowhere,
    policy,
    unanswered,
    understand,
)
from airflow_provider_bkitsm.hooks.transport import AsyncTransport, NoAnswerError, SyncTransport
from airflow_provider_bkitsm.itsm import errors, protocol
from airflow_provider_bkitsm.itsm.dialect import AnyFlow, Dialect, DialectCall
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2 import calls, four_byte, pagination
from airflow_provider_bkitsm.itsm.v2.models import R, TicketOfUser, TicketSummary
from airflow_provider_bkitsm.itsm.v2.validation import TicketFilters
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_PERHAPS_ANOTHER_DIALECT = (*LEADS_NOWHERE, errors.ItsmInvalidRequestError)


class _Sends(Protocol):
    def send(self, call: Call[T]) -> T: ...


class _SendsAsync(Protocol):
    async def send(self, call: Call[T]) -> T: ...


def _sync(build: Callable[P, Call[T]]) -> Callable[Concatenate[_Sends, P], T]:
    """Return the method that sends the call of a builder."""

    def method(hook: _Sends, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return hook.send(build(*args, **kwargs))

    return _named(method, build)


def _async(build: Callable[P, Call[T]]) -> Callable[Concatenate[_SendsAsync, P], Awaitable[T]]:
    """Return the coroutine method that sends the call of a builder."""

    async def method(hook: _SendsAsync, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await hook.send(build(*args, **kwargs))

    return _named(method, build)


def _named(method: F, build: Callable[..., Any]) -> F:
    method.__doc__, method.__name__ = build.__doc__, build.__name__
    method.is_itsm_call = True  # type: ignore[attr-defined]
    return method


class ItsmCalls:
    """ITSM's calls as methods of a hook with ``send``."""

    create_ticket = _sync(calls.create_ticket)
    get_ticket_status = _sync(calls.get_ticket_status)
    get_ticket_info = _sync(calls.get_ticket_info)
    get_ticket_logs = _sync(calls.get_ticket_logs)
    get_tickets = _sync(calls.get_tickets)
    ticket_approval_result = _sync(calls.ticket_approval_result)
    token_verify = _sync(calls.token_verify)
    operate_ticket = _sync(calls.operate_ticket)
    get_tickets_by_user = _sync(calls.get_tickets_by_user)
    callback_failed_ticket = _sync(calls.callback_failed_ticket)
    operate_node = _sync(calls.operate_node)
    approve = _sync(calls.approve)
    comment_ticket = _sync(calls.comment_ticket)
    get_approver = _sync(calls.get_approver)
    get_approve_node_result = _sync(calls.get_approve_node_result)
    get_services = _sync(calls.get_services)
    get_service_detail = _sync(calls.get_service_detail)
    get_service_catalogs = _sync(calls.get_service_catalogs)
    get_service_roles = _sync(calls.get_service_roles)
    get_workflow_detail = _sync(calls.get_workflow_detail)
    import_service = _sync(calls.import_service)
    update_service = _sync(calls.update_service)
    create_service_catalog = _sync(calls.create_service_catalog)


class ItsmAsyncCalls:
    """ITSM's calls as coroutine methods of a hook whose ``send`` is awaited."""

    create_ticket = _async(calls.create_ticket)
    get_ticket_status = _async(calls.get_ticket_status)
    get_ticket_info = _async(calls.get_ticket_info)
    get_ticket_logs = _async(calls.get_ticket_logs)
    get_tickets = _async(calls.get_tickets)
    ticket_approval_result = _async(calls.ticket_approval_result)
    token_verify = _async(calls.token_verify)
    operate_ticket = _async(calls.operate_ticket)
    get_tickets_by_user = _async(calls.get_tickets_by_user)
    callback_failed_ticket = _async(calls.callback_failed_ticket)
    operate_node = _async(calls.operate_node)
    approve = _async(calls.approve)
    comment_ticket = _async(calls.comment_ticket)
    get_approver = _async(calls.get_approver)
    get_approve_node_result = _async(calls.get_approve_node_result)
    get_services = _async(calls.get_services)
    get_service_detail = _async(calls.get_service_detail)
    get_service_catalogs = _async(calls.get_service_catalogs)
    get_service_roles = _async(calls.get_service_roles)
    get_workflow_detail = _async(calls.get_workflow_detail)
    import_service = _async(calls.import_service)
    update_service = _async(calls.update_service)
    create_service_catalog = _async(calls.create_service_catalog)


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
        """Send one call and parse its answer. A read is repeated while a repetition may help.

        Emoji and rare Han in the texts of a write are sent as the connection's extra ``four_byte`` says.

        :raises ItsmError: see :mod:`airflow_provider_bkitsm.itsm.errors`.
        """
        call = four_byte.prepared(call, self.gateway.four_byte)
        size = batch_size(self.gateway)
        if protocol.is_too_large(call, size):
            return self.run(protocol.in_batches(call, size))
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

    def run(self, flow: AnyFlow[T]) -> T:
        """Answer the questions of a flow one after the other, and return the flow's result."""
        return _taken(flow, self._answer)

    def _answer(self, step: Call[Any] | DialectCall[Any]) -> Any:
        """Send a call; hand a question to the connection's dialect."""
        return self.run(step.of(self.gateway.dialect)) if isinstance(step, DialectCall) else self.send(step)

    def iter_tickets(self, **filters: Unpack[TicketFilters]) -> Iterator[TicketSummary]:
        """Yield every ticket ``get_tickets`` finds, newest first, each once, reading a page when it is needed.

        :param filters: see :class:`~airflow_provider_bkitsm.itsm.v2.validation.TicketFilters`; many ``sns`` are
            searched for in pieces, as ``ticket_approval_result`` does.
        """
        return self._rows(pagination.tickets(batch_size=batch_size(self.gateway), **filters))

    def iter_tickets_by_user(
        self, *, user: str, view_type: calls.UserView | str, service_id: int | None = None
    ) -> Iterator[TicketOfUser]:
        """Yield every ticket ``get_tickets_by_user`` finds, newest first, each once, reading pages as needed."""
        return self._rows(pagination.tickets_by_user(user=user, view_type=view_type, service_id=service_id))

    def _rows(self, pages: pagination.Pages[R]) -> Iterator[R]:
        while pages.more:
            yield from self.run(pages.next())

    def verdict_policy(self, **of_the_task: Any) -> VerdictPolicy:
        """Return a task's verdict policy. A value that the task leaves at None is the connection's.

        :raises ItsmConfigurationError: the connection's version of ITSM can read no such verdict.
        """
        return _verdict_policy(self.gateway, of_the_task)

    def _report(self) -> str:
        """Make the reads that a wait needs; where they lead nowhere, see whether another dialect answers there."""
        gateway = self.gateway
        self.verdict_policy()
        try:
            return self._report_in(gateway.dialect)
        except _PERHAPS_ANOTHER_DIALECT as error:
            for other in DIALECTS.values():
                if other.name != gateway.dialect.name and self._answers_in(other):
                    raise errors.ItsmConfigurationError(
                        f"ITSM {other.name} answers at this address, and the connection's extra dialect says"
                        f" {gateway.dialect.name}: set it to {other.name} ({error})"
                    ) from error
            raise

    def _answers_in(self, dialect: Dialect) -> bool:
        try:
            self._report_in(dialect.for_connection(lambda _name: None))
        except errors.ItsmError:
            return False
        return True

    def _report_in(self, dialect: Dialect) -> str:
        """Send each call of a dialect's report once."""
        gateway = replace(self.gateway, dialect=dialect)
        transport = SyncTransport(gateway)

        def send(call: Call[T]) -> T:
            try:
                return understand(call, transport.send(call))
            except NoAnswerError as error:
                raise unanswered(call, error) from None

        try:
            return _taken(dialect.connection_report(app_code=gateway.app_code, service=gateway.service), send)
        finally:
            transport.close()


def _taken(flow: AnyFlow[T], answer_to: Callable[[Any], Any]) -> T:
    """Take a flow's questions one after the other and return its result."""
    try:
        step = next(flow)
        while True:
            try:
                answer = answer_to(step)
            except errors.ItsmError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


class ItsmAsyncHook(ItsmAsyncCalls, BaseHook):
    """Asynchronous BK-ITSM client, for triggers. Use as ``async with``, in one event loop.

    All hooks of one connection in one event loop share one pool of HTTP connections. The last hook that leaves its
    ``async with`` closes the pool.

    :param bkitsm_conn_id: connection of type ``bkitsm``. It is read at the first call, not before.
    :param repeats: False sends each read once, whatever the connection's ``read_retries``.
    """

    def __init__(self, bkitsm_conn_id: str = ItsmHook.default_conn_name, *, repeats: bool = True) -> None:
        super().__init__()
        self.bkitsm_conn_id = bkitsm_conn_id
        self._gateway: Gateway | None = None
        self._repeats = repeats
        self._shared: pool.SharedClient | None = None

    @classmethod
    def for_gateway(cls, gateway: Gateway) -> Self:
        """Return a client for a gateway that is read already: API servers read connections from their database."""
        hook = cls(gateway.conn_id)
        hook._gateway = gateway
        return hook

    async def __aenter__(self) -> ItsmAsyncHook:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._use(None)

    async def forget_connection(self) -> None:
        """Read the Airflow connection again at the next call: a secret may have been rotated.

        Other hooks that share the client of this hook are not disturbed.
        """
        if self._shared is not None:
            self._shared.invalidate()
        await self._use(None)

    async def aget_conn(self) -> AsyncTransport:
        """Return the transport of this hook's connection, opened once."""
        return (await self._join()).transport

    async def _join(self) -> pool.SharedClient:
        if self._shared is not None:
            return self._shared
        shared = await pool.join(self.bkitsm_conn_id, self.aread_gateway, self._gateway)
        await self._use(shared)
        return shared

    async def _use(self, shared: pool.SharedClient | None) -> None:
        """Leave the client in use, which another asyncio task of this hook may have joined, for this client."""
        before, self._shared = self._shared, shared
        if before is not None:
            await before.leave()

    async def aread_gateway(self) -> Gateway:
        """Read the gateway from the Airflow connection, once for all hooks that share a client."""
        if self._gateway is not None:
            return self._gateway
        connection = await afind_connection(self.bkitsm_conn_id)
        # In a thread: reading the gateway sends the supervisor the secrets to mask, and waits for its answer.
        return await sync_to_async(read_gateway)(connection)

    async def send(self, call: Call[T]) -> T:
        """Send one call and parse its answer. A read is repeated while a repetition may help.

        Emoji and rare Han in the texts of a write are sent as the connection's extra ``four_byte`` says.

        :raises ItsmError: see :mod:`airflow_provider_bkitsm.itsm.errors`.
        """
        gateway = (await self.aget_conn()).gateway
        call = four_byte.prepared(call, gateway.four_byte)
        size = batch_size(gateway)
        if protocol.is_too_large(call, size):
            return await self.run(protocol.in_batches(call, size))
        try:
            return await self._repeatedly(call, gateway)
        except errors.ItsmError as error:
            if not falls_back(call, gateway):
                raise
            return await self._at_esb(call, error)

    async def _repeatedly(self, call: Call[T], gateway: Gateway) -> T:
        """Tenacity comes in after a failure: its first try takes as much CPU as the rest of a call."""
        failures: list[errors.ItsmError] = []
        try:
            return await self._once(call)
        except errors.ItsmError as error:
            failures.append(error)

        async def attempt() -> T:
            if failures:
                raise failures.pop()
            return await self._once(call)

        return await AsyncRetrying(**policy(call, gateway, repeats=self._repeats))(attempt)

    async def _at_esb(self, call: Call[T], failure: errors.ItsmError) -> T:
        try:
            return await self.send(at_esb(call, failure))
        except LEADS_NOWHERE as error:
            raise nowhere(call, failure, error) from error

    async def _once(self, call: Call[T]) -> T:
        try:
            async with await self._join() as transport:
                reply = await transport.send(call)
        except NoAnswerError as error:
            raise unanswered(call, error) from None
        return understand(call, reply)

    async def run(self, flow: AnyFlow[T]) -> T:
        """Answer the questions of a flow one after the other, and return the flow's result."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._answer(step)
                except errors.ItsmError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _answer(self, step: Call[Any] | DialectCall[Any]) -> Any:
        """Send a call; hand a question to the connection's dialect."""
        if not isinstance(step, DialectCall):
            return await self.send(step)
        return await self.run(step.of((await self.aget_conn()).gateway.dialect))

    async def iter_tickets(self, **filters: Unpack[TicketFilters]) -> AsyncIterator[TicketSummary]:
        """Yield every ticket ``get_tickets`` finds, newest first, each once, reading a page when it is needed.

        :param filters: see :class:`~airflow_provider_bkitsm.itsm.v2.validation.TicketFilters`; many ``sns`` are
            searched for in pieces, as ``ticket_approval_result`` does.
        """
        size = batch_size((await self.aget_conn()).gateway)
        async for row in self._rows(pagination.tickets(batch_size=size, **filters)):
            yield row

    def iter_tickets_by_user(
        self, *, user: str, view_type: calls.UserView | str, service_id: int | None = None
    ) -> AsyncIterator[TicketOfUser]:
        """Yield every ticket ``get_tickets_by_user`` finds, newest first, each once, reading pages as needed."""
        return self._rows(pagination.tickets_by_user(user=user, view_type=view_type, service_id=service_id))

    async def _rows(self, pages: pagination.Pages[R]) -> AsyncIterator[R]:
        while pages.more:
            for row in await self.run(pages.next()):
                yield row

    async def verdict_policy(self, **of_the_task: Any) -> VerdictPolicy:
        """Return a task's verdict policy. A value that the task leaves at None is the connection's.

        :raises ItsmConfigurationError: the connection's version of ITSM can read no such verdict.
        """
        return _verdict_policy((await self.aget_conn()).gateway, of_the_task)


def batch_size(gateway: Gateway) -> int:
    """Return how many tickets one call may ask about: the connection's extra ``batch_size``."""
    return gateway.whole("batch_size", protocol.DEFAULT_SIZE, least=1)


def _verdict_policy(gateway: Gateway, of_the_task: dict[str, Any]) -> VerdictPolicy:
    of_the_connection = {
        "verdict_field": gateway.text("verdict_field"),
        "verdict_value": gateway.text("verdict_value") or "true",
        "require_evidence": gateway.flag("require_evidence", True),
        "accept_automatic": gateway.flag("accept_automatic", False),
    }
    chosen = {key: value for key, value in of_the_task.items() if value is not None}
    if "forbid_self_approval" not in chosen:
        chosen["forbid_self_approval"] = settings.forbid_self_approval()
    policy = VerdictPolicy(**of_the_connection | chosen)
    if not policy.forbid_self_approval:
        policy = replace(policy, requester=None)
    if policy.verdict_field is not None and not gateway.dialect.capabilities.verdict_field:
        raise errors.ItsmConfigurationError(
            f"ITSM {gateway.dialect.name} shows no form in a ticket's log, so nobody's answer in the verdict_field"
            f" {policy.verdict_field!r} could be proved: nothing would ever be approved. Leave verdict_field out"
            f" of the task and of connection {gateway.conn_id!r}, and let an approval step of the workflow decide."
            " No ticket was opened or changed"
        )
    return policy
