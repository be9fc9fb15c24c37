# SPDX-License-Identifier: Apache-2.0
"""Every recorded answer of the log platform through the hook: what is read of it, or which error it becomes."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.bklog import (
    BkLogCollectorNotFoundError,
    BkLogError,
    BkLogHook,
    BkLogPermissionError,
    BkLogUnavailableError,
)
from tests.hooks.bklog_stub import BEYOND_THE_END, RecordedPlatform, hook_on
from tests.record import BKLOG
from tests.tables import table

KINDS = {
    "9900403": BkLogPermissionError,
    "3631001": BkLogCollectorNotFoundError,
    "3600002": BkLogUnavailableError,
    "3631504": BkLogUnavailableError,
}
"""Every other code is a plain refusal: the same request will be refused again."""
PARKED = {"clean_config__native_application_opened", "clean_config__native_application_second"}


def _call(hook: BkLogHook, name: str) -> Any:
    record = BKLOG[name]
    endpoint, number = name.partition("__")[0], record["path"].split("/")[2]
    if endpoint == "list_collectors":
        query = {key: value for key, value in record["query"].items() if key not in ("page", "pagesize")}
        return list(hook.list_collectors(**({"bk_biz_id": 2} | query)))
    if endpoint == "get_collector":
        return hook.get_collector_detail(number)
    if endpoint == "clean_config":
        request = record["request"]
        return hook.update_or_create_clean_config(number, request if isinstance(request, dict) else {})
    return getattr(hook, endpoint)(number)


def _names(*, accepted: bool) -> list[str]:
    return [name for name, one in BKLOG.items() if (one["body"].get("result") is True) == accepted]


@table("name", [name for name in _names(accepted=True) if name not in PARKED])
def test_a_success_is_read(name: str) -> None:
    record = BKLOG[name]
    platform = RecordedPlatform([record["body"], BEYOND_THE_END])
    result, data = _call(hook_on(platform), name), record["body"]["data"]
    call = platform.calls[0]
    assert (call.method, "{bklog}/" + call.path) == (record["method"], record["path"])
    if record["method"] == "POST" and isinstance(record["request"], dict):
        assert record["request"].items() <= dict(call.body or {}).items()
    if isinstance(data, dict) and "list" in data:
        assert [row.number for row in result] == [row["collector_config_id"] for row in data["list"]]
        assert all(isinstance(row["params"], dict) for row in result)
    elif name.startswith("get_collector"):
        assert (result.number, result.get("etl_config")) == (data["collector_config_id"], data["etl_config"])
        assert result["retention"] == data["retention"]
    elif name.startswith("clean_config"):
        assert result == data
    else:
        assert result is None


@pytest.mark.parametrize("name", _names(accepted=False))
def test_a_refusal_is_the_error_its_code_stands_for(name: str) -> None:
    body = BKLOG[name]["body"]
    with pytest.raises(BkLogError) as caught:
        _call(hook_on(RecordedPlatform([body])), name)
    assert type(caught.value) is KINDS.get(body["code"], BkLogError)
    assert caught.value.code == body["code"]
    assert caught.value.retry_safe == (body["code"] in ("3600002", "3631504"))
    assert body["message"][:400] in str(caught.value)
    if body["code"] == "9900403":
        assert f"The right can be asked for at {body['data']['apply_url']}" in str(caught.value)


@pytest.mark.parametrize("name", sorted(PARKED))
def test_p3_what_the_platform_parks_behind_its_own_gate_is_no_success(name: str) -> None:
    with pytest.raises(BkLogError, match="its own approval switch seems to be on"):
        _call(hook_on(RecordedPlatform([BKLOG[name]["body"]])), name)


def test_both_pages_are_read() -> None:
    pages = [BKLOG[f"list_collectors__{page}_page_of_two"]["body"] for page in ("first", "second")]
    platform = RecordedPlatform(pages)
    assert [row.number for row in hook_on(platform).list_collectors(bk_biz_id=2)] == [316, 315]
    assert [call.params["page"] for call in platform.calls if call.params] == ["1", "2"]


def test_a_page_that_vanishes_while_it_is_read_is_the_end_of_the_list() -> None:
    first = BKLOG["list_collectors__first_page_of_two"]["body"]
    platform = RecordedPlatform([first, BKLOG["list_collectors__page_beyond_the_end"]["body"]])
    assert [row.number for row in hook_on(platform).list_collectors(bk_biz_id=2)] == [316]


def test_a_first_page_that_is_not_there_is_an_error() -> None:
    with pytest.raises(BkLogError, match="3600404"):
        list(hook_on(RecordedPlatform([BEYOND_THE_END])).list_collectors(bk_biz_id=2))


def test_a_hidden_collector_is_asked_for_and_found() -> None:
    platform = RecordedPlatform([BKLOG["list_collectors__is_display_false_asked_for"]["body"]])
    assert hook_on(platform).get_collector(318, bk_biz_id=2)["is_display"] is False
    assert (platform.calls[0].params or {})["ignore_display_config"] == "true"


@pytest.mark.parametrize(
    "data",
    [None, [], {"list": []}, {"list": None, "total": 0}, {"list": [1], "total": 1}, {"list": [], "total": "many"}],
)
def test_a_list_of_another_shape_is_an_outage(data: Any) -> None:
    answer = {"result": True, "code": 0, "message": "", "data": data}
    with pytest.raises(BkLogUnavailableError, match="not as known"):
        hook_on(RecordedPlatform([answer])).get_collector(1, bk_biz_id=2)


def test_a_detail_of_another_shape_is_an_outage() -> None:
    answer = {"result": True, "code": 0, "message": "", "data": None}
    with pytest.raises(BkLogUnavailableError, match="not as known"):
        hook_on(RecordedPlatform([answer])).get_collector_detail(1)


@pytest.mark.parametrize(
    "url",
    [
        None,
        5,
        "",
        "javascript:alert(1)",
        "https://user:secret@iam.example.com/apply",
        "https://iam.example.com/a b",
        "https://iam.example.com/\n[ERROR] forged",
        "https://iam.example.com/" + "x" * 2000,
        "https://[bad",
        "//iam.example.com/apply",
    ],
)
def test_an_address_that_is_none_is_left_out_of_the_message(url: Any) -> None:
    denial = {"result": False, "code": "9900403", "message": "no right", "data": {"apply_url": url}}
    with pytest.raises(BkLogPermissionError) as caught:
        hook_on(RecordedPlatform([denial])).get_collector_detail(1)
    assert caught.value.message == "the log platform answered: no right"


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        *((code, True) for code in ("3600002", "3600003", "3600015", "3631108", "3631504")),
        *(
            (code, True)
            for code in (1306201, "1306206", 1306429, 1642901, 1306500, "1308201", 3900004, 1650200, "1650400")
        ),
        *((code, False) for code in ("3600500", "500001", "3600001", "3600400", "3600405", "3600914", "3631201")),
        *((code, False) for code in ("1640301", "13", "", "9900403")),
    ],
)
def test_only_what_passes_is_retried(code: Any, passes: bool) -> None:
    answer = {"result": False, "code": code, "message": "no", "data": None}
    with pytest.raises(BkLogError) as caught:
        hook_on(RecordedPlatform([answer])).start(1)
    assert caught.value.retry_safe is passes


# --- the Test button


def test_the_connection_test_needs_no_right_of_the_user() -> None:
    platform = RecordedPlatform([BKLOG["get_collector__collector_missing"]["body"]])
    passed, message = hook_on(platform).test_connection()
    assert passed
    assert "put a business of theirs as bk_biz_id" in message
    assert not any("bk_biz_id" in (call.params or {}) for call in platform.calls)


def test_with_a_business_it_says_what_the_user_sees() -> None:
    row = BKLOG["list_collectors__bk_log_text"]["body"]
    platform = RecordedPlatform([row], bk_biz_id="2")
    assert hook_on(platform).test_connection() == (
        True,
        "the log platform answers: app 'a' as 'admin' sees 1 collectors of business 2",
    )
    assert (platform.calls[0].params or {})["bk_biz_id"] == "2"


@pytest.mark.parametrize(
    ("permission", "said"),
    [({"manage_collection_v2": False}, "may not change the first of them"), (None, "only writing would show")],
)
def test_with_a_business_it_says_what_the_user_may_not(permission: Any, said: str) -> None:
    answer = {"result": True, "code": 0, "data": {"total": 1, "list": [{"permission": permission}]}, "message": ""}
    passed, message = hook_on(RecordedPlatform([answer], bk_biz_id=2)).test_connection()
    assert passed
    assert said in message


def test_a_user_without_rights_is_told_where_to_ask() -> None:
    denial = BKLOG["list_collectors__business_0_no_rights"]["body"]
    passed, message = hook_on(RecordedPlatform([denial], bk_biz_id=-7)).test_connection()
    assert not passed
    assert denial["data"]["apply_url"] in message


@pytest.mark.parametrize("business", ["0", "two", "1.5", "--2"])
def test_a_business_that_is_none_is_named(business: str) -> None:
    passed, message = hook_on(RecordedPlatform([{}], bk_biz_id=business)).test_connection()
    assert not passed
    assert "'bk_biz_id' must be the number of a business" in message


# --- storage clusters


def test_clusters_are_read_where_the_app_may() -> None:
    rows = [
        {
            "storage_cluster_id": 3,
            "storage_version": "7.10.1",
            "enable_hot_warm": True,
            "storage_type": "elasticsearch",
        },
        {"storage_cluster_id": 4, "storage_version": ""},
        {"storage_cluster_id": None},
        "nonsense",
    ]
    answer = {"result": True, "code": 0, "message": "", "data": rows}
    clusters = hook_on(RecordedPlatform([answer])).storage_clusters(bk_biz_id=2)
    assert clusters is not None
    assert sorted(clusters) == [3, 4]
    assert (clusters[3].has_hot_warm, clusters[3].version) == (True, "7.10.1")
    assert (clusters[4].has_hot_warm, clusters[4].version) == (None, None)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"result": False, "code": 1640301, "message": "no grant", "data": None}, 403),
        (b"<html>", 404),
        (b"<html>", 502),
        ({"result": True, "code": 0, "message": "", "data": {}}, 200),
        ({"result": True, "code": 0, "message": "", "data": []}, 200),
    ],
)
def test_clusters_are_unknown_where_it_may_not(answer: Any, status: int) -> None:
    assert hook_on(RecordedPlatform([answer], status=status)).storage_clusters(bk_biz_id=2) is None
