# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls as methods, each with the name, parameters and result that its builder has.

They are listed twice because a method's type can say but one of the two: its result, or that one awaits it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from airflow_provider_bkitsm.itsm import calls, service_calls
from airflow_provider_bkitsm.itsm.protocol import Call

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class _Sends(Protocol):
    def send(self, call: Call[T]) -> T: ...


class _SendsAsync(Protocol):
    async def send(self, call: Call[T]) -> T: ...


def _sync(build: Callable[P, Call[T]]) -> Callable[Concatenate[_Sends, P], T]:
    """Turn a call's builder into the method that sends it."""

    def method(hook: _Sends, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return hook.send(build(*args, **kwargs))

    return _named(method, build)


def _async(build: Callable[P, Call[T]]) -> Callable[Concatenate[_SendsAsync, P], Awaitable[T]]:
    """Turn a call's builder into the coroutine method that sends it."""

    async def method(hook: _SendsAsync, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await hook.send(build(*args, **kwargs))

    return _named(method, build)


def _named(method: F, build: Callable[..., Any]) -> F:
    method.__doc__, method.__name__ = build.__doc__, build.__name__
    method.is_itsm_call = True  # type: ignore[attr-defined]
    return method


class ItsmCalls:
    """For a hook with ``send``."""

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
    get_services = _sync(service_calls.get_services)
    get_service_detail = _sync(service_calls.get_service_detail)
    get_service_catalogs = _sync(service_calls.get_service_catalogs)
    get_service_roles = _sync(service_calls.get_service_roles)
    get_workflow_detail = _sync(service_calls.get_workflow_detail)
    import_service = _sync(service_calls.import_service)
    update_service = _sync(service_calls.update_service)
    create_service_catalog = _sync(service_calls.create_service_catalog)


class ItsmAsyncCalls:
    """For a hook whose ``send`` is awaited."""

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
    get_services = _async(service_calls.get_services)
    get_service_detail = _async(service_calls.get_service_detail)
    get_service_catalogs = _async(service_calls.get_service_catalogs)
    get_service_roles = _async(service_calls.get_service_roles)
    get_workflow_detail = _async(service_calls.get_workflow_detail)
    import_service = _async(service_calls.import_service)
    update_service = _async(service_calls.update_service)
    create_service_catalog = _async(service_calls.create_service_catalog)
