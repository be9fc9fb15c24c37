# SPDX-License-Identifier: Apache-2.0
"""Asking ITSM to call back: the configured address, added to the ``meta`` of a ticket that is being opened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.hooks.callback_address import callback_meta
from airflow_provider_bkitsm.version_compat import airflow_conf

if TYPE_CHECKING:
    from airflow_provider_bkitsm.hooks.connection import Gateway

log = logging.getLogger(__name__)


def callbacks_wanted() -> bool:
    """Whether ``[bkitsm] callback`` is on."""
    return bool(airflow_conf().getboolean("bkitsm", "callback", fallback=True))


def with_callback(meta: Mapping[str, Any] | None, *, gateway: Gateway, tag: str) -> dict[str, Any] | None:
    """Return a ticket's ``meta`` with this Airflow's callback added, where one is wanted and possible.

    :raises ItsmConfigurationError: the connection's signing keys cannot be used.
    """
    base = callback_base()
    if base is None:
        return dict(meta) if meta else None
    return callback_meta(meta, base=base, gateway=gateway, tag=tag, now=datetime.now(UTC))


def callback_base() -> str | None:
    """Return the public URL of the API server; None when there is none or callbacks are switched off."""
    if not callbacks_wanted():
        return None
    conf = airflow_conf()
    own = conf.get("bkitsm", "callback_base_url", fallback="") or ""
    base = str(own or conf.get("api", "base_url", fallback="") or "").strip()
    if base.startswith(("http://", "https://")):
        return base
    _say_that_there_is_none(base)
    return None


@cache
def _say_that_there_is_none(base: str) -> None:
    log.warning(
        "ITSM will not call back, decisions are found by polling: neither [bkitsm] callback_base_url nor [api]"
        " base_url is an http(s) address (%r)",
        base,
    )
