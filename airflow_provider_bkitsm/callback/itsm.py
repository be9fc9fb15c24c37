# SPDX-License-Identifier: Apache-2.0
"""What ITSM is asked about a callback: is its token real, and how does the ticket stand."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_bkitsm.callback.body import Notice
from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.errors import CollectItsmTokenIllega
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_source import read_verdict


class GatewayHook(ItsmAsyncHook):
    """The client of a connection that was read already: in an API server, Airflow's own database is asked."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.conn_id)
        self._gateway = gateway

    async def aread_gateway(self) -> Gateway:
        """Return the gateway that was given."""
        return self._gateway


async def read_verdicts(
    gateway: Gateway, notice: Notice, waiters: Iterable[Waiter]
) -> list[tuple[Waiter, Verdict]]:
    """Verify the token, then read the ticket once for each way its verdict is wanted.

    :raises CollectItsmTokenIllega: ITSM did not make the token.
    :raises ItsmError: ITSM could not be asked.
    """
    read: dict[VerdictPolicy, Verdict] = {}
    verdicts = []
    async with GatewayHook(gateway) as hook:
        if not (await hook.token_verify(notice.token)).is_passed:
            raise CollectItsmTokenIllega("its token was not made by ITSM; it changed nothing")
        for waiter in waiters:
            policy = await hook.verdict_policy(**waiter.verdict_settings)
            if policy not in read:
                read[policy] = await hook.run(read_verdict(notice.sn, policy))
            verdicts.append((waiter, read[policy]))
    return verdicts
