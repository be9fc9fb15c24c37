# SPDX-License-Identifier: Apache-2.0
"""Which collectors the log platform leaves to us."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.collectors.eligibility import check_eligible
from airflow_provider_bkitsm.collectors.errors import CollectItsmHasApply
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError


@pytest.mark.parametrize("status", [None, "", "not_apply", "fail_apply", "success_apply"])
def test_a_collector_nobody_is_applying_for_may_be_applied_for(status: str | None) -> None:
    check_eligible({"collector_config_id": 7, "itsm_ticket_status": status, "etl_processor": "transfer"})
    check_eligible({"collector_config_id": 7})


def test_p2_the_platforms_own_ticket_is_named() -> None:
    with pytest.raises(CollectItsmHasApply, match=r"collector 7 \(ticket SN1\)"):
        check_eligible({"collector_config_id": 7, "itsm_ticket_status": "applying", "itsm_ticket_sn": "SN1"})


def test_what_the_data_platform_cleans_is_not_ours() -> None:
    with pytest.raises(ItsmConfigurationError, match="collector 7 is cleaned by the data platform"):
        check_eligible({"collector_config_id": 7, "etl_processor": "bkbase"})
