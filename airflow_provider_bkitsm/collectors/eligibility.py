# SPDX-License-Identifier: Apache-2.0
"""Whether the log platform leaves a collector to us at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.errors import CollectItsmHasApply
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError


def check_eligible(collector: Mapping[str, Any]) -> None:
    """Refuse what would end in two tickets for one collector, or in an ETL that cannot be written.

    :param collector: as the log platform's list shows it.
    :raises CollectItsmHasApply: the platform's own approval of this collector is under way.
    :raises ItsmConfigurationError: its ETL is not the platform's.
    """
    number = collector.get("collector_config_id")
    if collector.get("itsm_ticket_status") == "applying":
        raise CollectItsmHasApply(
            f"the log platform itself is applying for collector {number} (ticket"
            f" {collector.get('itsm_ticket_sn')}). No ticket was opened; a retry succeeds once that one has"
            " ended"
        )
    if collector.get("etl_processor") == "bkbase":
        raise ItsmConfigurationError(
            f"collector {number} is cleaned by the data platform (etl_processor bkbase); only transfer is"
            " supported. No ticket was opened"
        )
