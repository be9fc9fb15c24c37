# SPDX-License-Identifier: Apache-2.0
"""The log platform's client against a running sandbox."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.bklog import (
    BkLogCollectorNotFoundError,
    BkLogError,
    BkLogHook,
    BkLogUnavailableError,
)
from tests.hooks.bklog_stub import RecordedPlatform, hook_on

CLEAN = {
    "table_id": "app",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}


@pytest.fixture
def hook(connections) -> BkLogHook:
    return BkLogHook()


def test_a_collector_is_read_from_the_list(hook, sandbox):
    assert hook.get_collector(1001, bk_biz_id=2)["collector_config_name"] == "app-runtime"
    assert [one["method"] for one in sandbox.requests("/1001/")] == []


def test_all_collectors_of_a_business_are_listed(hook):
    rows = hook.list_collectors(bk_biz_id=2)
    assert sorted(row["collector_config_id"] for row in rows) == [1001, 1002, 1003, 1004]
    assert list(hook.list_collectors(bk_biz_id=99)) == []


def test_the_detail_shows_the_etl_as_well(hook):
    hook.update_or_create_clean_config(1001, CLEAN)
    detail = hook.get_collector_detail(1001)
    assert (detail["table_id"], detail["table_id_prefix"], detail["retention"]) == ("app", "2_bklog_", 7)
    with pytest.raises(BkLogError, match="不存在"):
        hook.get_collector_detail(9999)


@pytest.mark.parametrize(("number", "biz"), [(9999, 2), (1001, 3)])
def test_a_collector_that_is_not_there_is_its_own_error(hook, number, biz):
    with pytest.raises(BkLogCollectorNotFoundError, match=str(number)):
        hook.get_collector(number, bk_biz_id=biz)


def test_a_clean_config_is_written_twice_without_harm(hook):
    first = hook.update_or_create_clean_config(1001, CLEAN)
    assert hook.update_or_create_clean_config(1001, CLEAN) == first
    assert hook.get_collector(1001, bk_biz_id=2)["table_id"] == "app"


def test_a_refusal_keeps_its_text_code(hook):
    with pytest.raises(BkLogError) as caught:
        hook.update_or_create_clean_config(1001, CLEAN | {"storage_cluster_id": 77})
    assert caught.value.code == "3631201"
    assert not caught.value.retry_safe


@pytest.mark.parametrize(
    ("fault", "passing"),
    [
        ({"kind": "html"}, True),
        ({"kind": "status", "status": 502}, True),
        ({"kind": "status", "status": 429}, True),
        ({"kind": "drop_answer"}, True),
        ({"kind": "refuse", "code": "3600015"}, True),
        ({"kind": "status", "status": 403}, False),
        ({"kind": "refuse", "code": "9900403"}, False),
        ({"kind": "refuse", "code": "3631302"}, False),
        ({"kind": "refuse", "code": "3631108"}, True),
        # Of the ESB, the gateway and platforms behind the log platform: none of these is about the payload.
        ({"kind": "esb", "code": 1306201}, True),
        ({"kind": "esb", "code": 1306500}, True),
        ({"kind": "esb", "code": 1306429}, True),
        ({"kind": "esb", "code": 1308201}, True),
        ({"kind": "refuse", "code": "1308201"}, True),
        ({"kind": "refuse", "code": "3900004"}, True),
        ({"kind": "refuse", "code": "1650401"}, True),
        ({"kind": "refuse", "code": "SOMETHING"}, True),
        ({"kind": "esb", "code": 1306000}, False),
        ({"kind": "esb", "code": 1306403}, False),
        ({"kind": "refuse", "code": "1640301"}, False),
        ({"kind": "refuse", "code": "500001"}, False),
        ({"kind": "refuse", "code": "3600500"}, False),
        ({"kind": "refuse", "code": "3631201", "status": 502}, True),
    ],
)
def test_errors_know_whether_they_pass(hook, sandbox, fault, passing):
    sandbox.fault("clean_config", **fault)
    with pytest.raises(BkLogError) as caught:
        hook.update_or_create_clean_config(1001, CLEAN)
    assert isinstance(caught.value, BkLogUnavailableError) == caught.value.retry_safe == passing


@pytest.mark.parametrize("fault", [{"kind": "app_refused"}, {"kind": "status", "status": 403}])
def test_an_application_without_grant_is_told_which_call_and_connection(hook, sandbox, fault):
    sandbox.fault("clean_config", **fault)
    with pytest.raises(BkLogError, match=rf"^connection '{hook.bklog_conn_id}': ") as caught:
        hook.update_or_create_clean_config(1001, CLEAN)
    assert "The refused call is databus_collectors/1001/update_or_create_clean_config" in caught.value.message
    assert "of app 'sandbox' as user 'admin'" in caught.value.message


def test_a_wrong_secret_names_the_connection(connections, sandbox):
    connections("bad", conn_type="bklog", host=sandbox.bklog_url, login="sandbox", password="wr0ng")
    with pytest.raises(BkLogError, match=r"^connection 'bad': ") as caught:
        BkLogHook("bad").get_collector(1001, bk_biz_id=2)
    assert sandbox.bklog_url in caught.value.message
    assert "wr0ng" not in caught.value.message


def test_p3_an_etl_that_the_platform_parks_behind_its_own_gate_is_not_a_success():
    parked = {"result": True, "code": 0, "data": {"collect_itsm_status": "applying"}, "message": ""}
    hook = hook_on(RecordedPlatform([parked]))
    with pytest.raises(BkLogError, match="own approval"):
        hook.update_or_create_clean_config(1001, CLEAN)


def test_start_and_stop(hook, sandbox):
    hook.start(1003)
    assert sandbox.collector(1003)["is_active"]
    hook.stop(1003)
    assert not sandbox.collector(1003)["is_active"]


def test_the_connection_test(hook, connections, sandbox):
    assert hook.test_connection()[0]
    connections("bad", conn_type="bklog", host=sandbox.bklog_url, login="sandbox", password="wr0ng")
    passed, message = BkLogHook("bad").test_connection()
    assert not passed
    assert "wr0ng" not in message
