# SPDX-License-Identifier: Apache-2.0
"""Writing a collector's ETL payload into the log platform, and looking until it is there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.collector import Collector
from airflow_provider_bkitsm.collectors.read_back import differences
from airflow_provider_bkitsm.hooks.bklog import BkLogHook, BkLogUnavailableError

# Seconds between the looks at what was written: an existing table is changed in the background
# (docs/log-platform-behaviour.md#changes-come-late).
READ_BACK_PAUSES = (0.5, 1.0, 2.0, 4.0)
_STILL_APPLYING = "3631504"


def provision(
    hook: BkLogHook,
    collector_config_id: int,
    payload: Mapping[str, Any],
    *,
    bk_biz_id: int,
    start: bool = True,
) -> dict[str, Any]:
    """Write a payload, read it back, and return the platform's answer with the table's name.

    Safe to do again: the platform takes the same payload twice without harm. It is read back from the collector's
    detail, since older platforms list a storage of ten minutes ago
    (docs/log-platform-behaviour.md#cache-of-the-list), and compared with what comes from the table itself.

    :param start: start a collector that was stopped; older platforms refuse the ETL of a stopped one.
    :raises BkLogError: the platform refuses.
    :raises BkLogUnavailableError: it cannot be reached, is applying for the collector itself, or does not show in
        time what it took.
    """
    collector = hook.get_collector(collector_config_id, bk_biz_id=bk_biz_id)
    _check_not_natively_applying(collector)
    if start and not collector.get("is_active", True):
        hook.start(collector_config_id)
    answer = hook.update_or_create_clean_config(collector_config_id, payload)
    for pause in (*READ_BACK_PAUSES, None):
        detail = hook.get_collector_detail(collector_config_id)
        found = [
            *differences(payload, detail),
            *([] if detail.get("index_set_id") else ["index_set_id is missing"]),
        ]
        if not found:
            return {**answer, "table_id": detail.table_id}
        if pause is not None:
            time.sleep(pause)
    raise BkLogUnavailableError(
        f"the log platform took the ETL but still shows something else: {'; '.join(found)}. Either it is slow, or"
        " its metadata refused the change behind it; it does not say which. A retry writes and looks again"
    )


def _check_not_natively_applying(collector: Collector) -> None:
    """The platform writes beside its own approval, and that approval, once given, replaces what we wrote.

    See docs/log-platform-behaviour.md#native-approval-beside-ours.
    """
    if collector.is_natively_applying:
        raise BkLogUnavailableError(
            f"the log platform itself is applying for collector {collector.number} (ticket"
            f" {collector.get('itsm_ticket_sn')}): when that is approved, the payload parked there would replace"
            " ours. Nothing was written; a retry goes on once that ticket has ended",
            code=_STILL_APPLYING,
        )
