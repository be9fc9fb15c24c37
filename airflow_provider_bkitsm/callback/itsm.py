# SPDX-License-Identifier: Apache-2.0
"""The two questions to ITSM about a callback: did ITSM make its token, and how does the ticket stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from airflow_provider_bkitsm.callback.messages import CallbackBody
from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.errors import CollectItsmTokenIllega
from airflow_provider_bkitsm.itsm.outcome import ENDED
from airflow_provider_bkitsm.itsm.read_back import as_asked, confirmed
from airflow_provider_bkitsm.itsm.v2.models import TicketInfo
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.verdict_source import read_verdict

T = TypeVar("T")


class GatewayHook(ItsmAsyncHook):
    """An ITSM client for a gateway that was read before; in an API server, connections come from the database."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.conn_id)
        self._gateway = gateway

    async def aread_gateway(self) -> Gateway:
        """Return the gateway this hook was made for."""
        return self._gateway


async def read_verdicts(
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
    async with GatewayHook(gateway) as hook:
        verified, verdicts, info = await asyncio.gather(
            hook.token_verify(notice.token),
            _read_verdicts(hook, notice.sn, waiters, request),
            _read_form(hook, notice.sn, request),
            return_exceptions=True,
        )
        if not _value(verified).is_passed:
            raise CollectItsmTokenIllega("its token was not made by ITSM; it changed nothing")
        form = _value(info)
        if form is not None and form.current_status not in ENDED:
            # The form was read before the ticket ended. Until its end a ticket can be edited: read the form again.
            form = await hook.get_ticket_info(notice.sn)
    return [(waiter, confirmed(verdict, request, form)) for waiter, verdict in _value(verdicts)]


async def _read_verdicts(
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
    return None if request is None else await hook.get_ticket_info(sn)


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
