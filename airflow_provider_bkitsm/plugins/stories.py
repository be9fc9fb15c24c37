# SPDX-License-Identifier: Apache-2.0
"""Asking ITSM for everything about one ticket, within a short time."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_provider_bkitsm.approvals.story import story_of
from airflow_provider_bkitsm.callback.itsm import GatewayHook
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmError

_SECONDS = 5.0


async def read_story(gateway: Gateway, sn: str) -> tuple[dict[str, Any] | None, str]:
    """Return a ticket's story and why there is none; exactly one of the two is empty."""
    try:
        async with asyncio.timeout(_SECONDS), GatewayHook(gateway) as hook:
            answers = await asyncio.gather(
                hook.get_ticket_info(sn), hook.get_ticket_logs(sn), hook.get_ticket_status(sn)
            )
    except TimeoutError:
        return None, f"no answer in {_SECONDS:g} s"
    except ItsmError as error:
        return None, str(error)
    return story_of(*answers).as_dict(), ""
