# SPDX-License-Identifier: Apache-2.0
"""Airflow's hook for a component that starts: a triggerer imports what waits need before its event loop runs.

Airflow imports a trigger's module in the event loop, when the first trigger comes. That would stop all triggers of
the process for a tenth of a second, and for seconds on a busy machine. A triggerer calls ``on_starting`` before it
forks the process of the loop, which inherits what is imported here. So it does the garbage collection of all that,
which would come with the first waits. Where Airflow calls nothing here, the loop does both.
"""

from __future__ import annotations

import gc
import logging
from importlib import import_module

from airflow.listeners import hookimpl

log = logging.getLogger(__name__)

_TRIGGERER = "TriggererJob"
_NEEDED = (
    "airflow_provider_bkitsm.triggers.ticket",
    "airflow_provider_bkitsm.hooks.store",
    "airflow_provider_bkitsm.tickets.ownership_records",
    "airflow_provider_bkitsm.tickets.poller",
    "httpx",
)


@hookimpl
def on_starting(component: object) -> None:
    """Import what waits need, in a triggerer; whatever fails, the triggerer starts."""
    if getattr(component, "job_type", None) != _TRIGGERER:
        return
    for name in _NEEDED:
        try:
            import_module(name)
        except Exception:
            log.warning("%s could not be imported before the triggerer starts", name, exc_info=True)
    gc.collect()
