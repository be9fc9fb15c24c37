# SPDX-License-Identifier: Apache-2.0
"""Writing an ETL payload and looking until it is there: against the sandbox, and against what was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.hooks import bklog
from airflow_provider_bkitsm.hooks.bklog import BkLogError, BkLogHook, BkLogUnavailableError
from tests.hooks.bklog_stub import RecordedPlatform, hook_on
from tests.hooks.test_bklog import CLEAN
from tests.record import BKLOG


def provision(number: int = 1001, **more):
    return bklog.provision(BkLogHook(), number, CLEAN, bk_biz_id=2, **more)


def test_it_is_written_and_the_table_is_named(connections, sandbox):
    assert provision()["table_id"] == "2_bklog.app"
    assert sandbox.collector(1001)["etl_writes"] == 1


@pytest.mark.parametrize("start", [True, False])
def test_a_stopped_collector_is_started_if_wanted(connections, sandbox, start):
    provision(1003, start=start)
    assert sandbox.collector(1003)["is_active"] is start


def test_what_is_taken_but_not_shown_is_looked_for_and_then_an_error(connections, sandbox, monkeypatch):
    looks = iter([0.01, 0.01])
    monkeypatch.setattr(bklog, "READ_BACK_PAUSES", looks)
    monkeypatch.setattr(BkLogHook, "update_or_create_clean_config", lambda *_: {"index_set_id": 1})
    with pytest.raises(BkLogUnavailableError, match=r"table_id is unknown, not 'app'.*index_set_id is missing"):
        provision()
    assert next(looks, None) is None


# --- against what was recorded


def answer(name: str, **changed: Any) -> dict[str, Any]:
    """Return a recorded answer; ``changed`` is changed in its collector."""
    body = BKLOG[name]["body"]
    data = body["data"]
    if changed and "list" in data:
        data = data | {"list": [data["list"][0] | changed]}
    elif changed:
        data = data | changed
    return body | {"data": data}


def written(name: str, *details: dict[str, Any], row: str = "list_collectors__storage_before_change"):
    """Write a recorded payload; each look then sees one of these details, the last one for ever."""
    record = BKLOG[name]
    number = int(record["path"].split("/")[2])
    platform = RecordedPlatform([answer(row, collector_config_id=number), record["body"], *details])
    result = bklog.provision(hook_on(platform), number, record["request"], bk_biz_id=2)
    return result, platform


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Do not wait, but note for how long."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def test_a_change_that_comes_three_seconds_late_is_awaited(pauses):
    early, late = (
        answer("get_collector__storage_before_change"),
        answer("get_collector__storage_change_metadata_3s_late_after_4s"),
    )
    result, platform = written("clean_config__storage_change_accepted", early, early, early, late)
    assert sum(pauses) >= 3
    assert (result["table_id"], result["retention"]) == ("2_bklog.app_runtime", 30)
    assert len(platform.calls) == 6


def test_an_older_platforms_list_of_ten_minutes_ago_is_not_believed(pauses):
    result, platform = written(
        "clean_config__storage_change_list_cached", answer("get_collector__storage_change_list_cached")
    )
    assert (result["retention"], pauses) == (30, [])
    assert [call.path.count("/") for call in platform.calls] == [1, 3, 2]


def test_p3_a_change_that_metadata_refuses_is_told_with_the_old_and_the_new_value(pauses):
    with pytest.raises(BkLogUnavailableError) as caught:
        written(
            "clean_config__storage_change_metadata_refuses",
            answer("get_collector__storage_change_metadata_refuses"),
        )
    assert "still shows something else: retention is 7, not 30. Either it is slow, or its metadata" in str(
        caught.value
    )
    assert "A retry writes and looks again" in str(caught.value)
    assert sum(pauses) >= 3


def test_p3_a_change_of_kind_that_metadata_refuses_is_told(pauses):
    shown = answer("get_collector__kind_change_metadata_refuses")
    with pytest.raises(BkLogUnavailableError, match="etl_config is 'bk_log_json', not 'bk_log_text'"):
        written("clean_config__kind_change_metadata_refuses", shown)


def test_p3_a_storage_that_metadata_does_not_tell_is_not_taken_for_written(pauses):
    hiccup = answer("get_collector__metadata_storage_down")
    with pytest.raises(BkLogUnavailableError, match="retention is unknown, not 7"):
        written("clean_config__bk_log_text_created", hiccup)
    result, _ = written("clean_config__bk_log_text_created", hiccup, answer("get_collector__bk_log_text"))
    assert result["table_id"] == "2_bklog.app_runtime"


@pytest.mark.parametrize(
    "row", ["list_collectors__natively_applying", "list_collectors__natively_applying_after_write"]
)
def test_nothing_is_written_while_the_platform_itself_applies(row):
    with pytest.raises(BkLogUnavailableError, match=r"itself is applying.*Nothing was written") as caught:
        written("clean_config__natively_applying_without_need_assessment", row=row)
    assert caught.value.code == "3631504"
    assert caught.value.retry_safe


@pytest.mark.parametrize("code", ["3600500", "500001"])
def test_a_payload_that_crashes_the_platform_is_no_outage(code):
    refusal = {"result": False, "code": code, "message": "storage cluster is 95% full", "data": None}
    row = answer("list_collectors__bk_log_text", collector_config_id=1)
    with pytest.raises(BkLogError, match="95% full") as caught:
        bklog.provision(hook_on(RecordedPlatform([row, refusal])), 1, CLEAN, bk_biz_id=2)
    assert not caught.value.retry_safe
