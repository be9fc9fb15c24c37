# SPDX-License-Identifier: Apache-2.0
"""Writing a collector's ETL payload into the log platform, and looking until it is there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.payload import bare_table_id
from airflow_provider_bkitsm.collectors.storage import present_clean_config
from airflow_provider_bkitsm.hooks.bklog import BkLogHook, BkLogUnavailableError, Collector

# Seconds between the looks at what was written.
READ_BACK_PAUSES = (0.5, 1.0, 2.0, 4.0)
_COMPARED = ("etl_config", "storage_cluster_id", "retention")


def provision(
    hook: BkLogHook,
    collector_config_id: int,
    payload: Mapping[str, Any],
    *,
    bk_biz_id: int,
    start: bool = True,
    also: Iterable[str] = (),
) -> dict[str, Any]:
    """Write a payload, read it back, and return the platform's answer with the table's name.

    Safe to do again: the platform takes the same payload twice without harm.

    :param start: start a collector that was stopped; older platforms refuse the ETL of a stopped one.
    :param also: further keys of the payload to read back, from the collector's detail. Not every version of the
        platform shows all of them as they were written, so only name what has to be certain.
    :raises BkLogError: the platform refuses.
    :raises BkLogUnavailableError: it cannot be reached, or does not show in time what it took.
    """
    if start and not hook.get_collector(collector_config_id, bk_biz_id=bk_biz_id).get("is_active", True):
        hook.start(collector_config_id)
    written = hook.update_or_create_clean_config(collector_config_id, payload)
    for pause in (*READ_BACK_PAUSES, None):
        shown = hook.get_collector(collector_config_id, bk_biz_id=bk_biz_id)
        wrong = _not_shown(payload, shown) or _not_in_detail(hook, collector_config_id, payload, also)
        if not wrong:
            return {**written, "table_id": shown["table_id"]}
        if pause is not None:
            time.sleep(pause)
    raise BkLogUnavailableError(
        f"the log platform took the ETL but still shows something else: {', '.join(wrong)}"
    )


def _not_shown(payload: Mapping[str, Any], shown: Collector) -> list[str]:
    """Return what the collector's row shows otherwise than written; keys a platform does not list are not.

    An existing table is changed in the background, so this may be so for a moment (reference 3.2).
    """
    wrong = [key for key in _COMPARED if shown.get(key) is not None and shown[key] != payload[key]]
    if bare_table_id(shown) != payload["table_id"]:
        wrong.append("table_id")
    if not shown.get("index_set_id"):
        wrong.append("index_set_id")
    return wrong


def _not_in_detail(hook: BkLogHook, number: int, payload: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    keys = list(keys)
    present = present_clean_config(hook.get_collector_detail(number)) if keys else {}
    return [key for key in keys if present.get(key) != payload.get(key)]
