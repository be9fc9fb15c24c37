# SPDX-License-Identifier: Apache-2.0
"""Writing an ETL payload and looking until it is there."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks import provisioning
from airflow_provider_bkitsm.hooks.bklog import BkLogHook, BkLogUnavailableError
from tests.hooks.test_bklog import CLEAN


def provision(number: int = 1001, **more):
    return provisioning.provision(BkLogHook(), number, CLEAN, bk_biz_id=2, **more)


def test_it_is_written_and_the_table_is_named(connections, sandbox):
    assert provision()["table_id"] == "2_bklog.app"
    assert sandbox.collector(1001)["etl_writes"] == 1


@pytest.mark.parametrize("start", [True, False])
def test_a_stopped_collector_is_started_if_wanted(connections, sandbox, start):
    provision(1003, start=start)
    assert sandbox.collector(1003)["is_active"] is start


def test_what_is_taken_but_not_shown_is_looked_for_and_then_an_error(connections, sandbox, monkeypatch):
    looks = iter([0.01, 0.01])
    monkeypatch.setattr(provisioning, "READ_BACK_PAUSES", looks)
    monkeypatch.setattr(BkLogHook, "update_or_create_clean_config", lambda *_: {"index_set_id": 1})
    with pytest.raises(BkLogUnavailableError, match="table_id, index_set_id"):
        provision()
    assert next(looks, None) is None
