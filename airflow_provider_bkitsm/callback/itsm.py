# SPDX-License-Identifier: Apache-2.0
"""What ITSM is asked about a callback: is its token real, and how does the ticket stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import CollectItsmTokenIllega
from airflow_provider_bkitsm.itsm.models import CallbackBody, TicketInfo
from airflow_provider_bkitsm.itsm.read_back import confirmed
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_source import read_verdict

T = TypeVar("T")


class GatewayHook(ItsmAsyncHook):
    """The client of a connection that was read already: in an API server, Airflow's own database is asked."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.conn_id)
        self._gateway = gateway

    async def aread_gateway(self) -> Gateway:
        """Return the gateway that was given."""
        return self._gateway


async def read_verdicts(
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
    async with GatewayHook(gateway) as hook:
        verified, verdicts, info = await asyncio.gather(
            hook.run(ask(lambda itsm: itsm.verify_callback(notice))),
            _read_verdicts(hook, notice.sn, waiters),
            _read_form(hook, notice.sn, request),
            return_exceptions=True,
        )
    if not _value(verified):
        raise CollectItsmTokenIllega("its token was not made by ITSM; it changed nothing")
    form = _value(info)
    return [(waiter, confirmed(verdict, request, form, gateway.dialect)) for waiter, verdict in _value(verdicts)]


async def _read_verdicts(hook: ItsmAsyncHook, sn: str, waiters: Iterable[Waiter]) -> list[tuple[Waiter, Verdict]]:
    read: dict[VerdictPolicy, Verdict] = {}
    verdicts = []
    for waiter in waiters:
        policy = await hook.verdict_policy(**waiter.verdict_settings)
        if policy not in read:
            read[policy] = await hook.run(read_verdict(sn, policy))
        verdicts.append((waiter, read[policy]))
    return verdicts


async def _read_form(hook: ItsmAsyncHook, sn: str, request: Mapping[str, Any] | None) -> TicketInfo | None:
    return None if request is None else await hook.run(ask(lambda itsm: itsm.info(sn)))


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
