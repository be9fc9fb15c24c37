# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

CLEAN = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_json",
    "etl_params": {"retain_original_text": True},
    "fields": [{"field_name": "level", "field_type": "string", "is_delete": False}],
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 3,
    "storage_replies": 1,
    "es_shards": 2,
}
WRITE = "update_or_create_clean_config/"


def listed(client, **query):
    data = client.bklog("GET", "", **({"page": 1, "pagesize": 100, "bk_biz_id": 2} | query))["data"]
    return data["total"], [row["collector_config_id"] for row in data["list"]]


@pytest.mark.parametrize(
    ("query", "total", "ids"),
    [
        ({}, 4, [1001, 1002, 1003, 1004]),
        ({"bk_biz_id": 9}, 0, []),
        ({"collector_id_list": "1001,1003,7"}, 2, [1001, 1003]),
        ({"keyword": "NGINX"}, 1, [1002]),
        ({"etl_processor": "bkbase"}, 1, [1004]),
        ({"itsm_ticket_status": "applying"}, 0, []),
        ({"page": 2, "pagesize": 3}, 4, [1004]),
        ({"page": 9}, 4, []),
    ],
)
def test_the_list(client, query, total, ids):
    assert listed(client, **query) == (total, ids)


@pytest.mark.parametrize("query", [{}, {"page": 1}, {"pagesize": 1}, {"page": "x", "pagesize": 1}])
def test_pages_are_mandatory_and_refusals_are_text_codes_with_http_200(client, query):
    answer = client.bklog("GET", "", **query)
    assert (answer["result"], answer["code"], answer["data"]) == (False, "3600400", None)


def test_the_seed(client):
    rows = client.bklog("GET", "", page=1, pagesize=10, bk_biz_id=2)["data"]["list"]
    assert [row["is_active"] for row in rows] == [True, True, False, True]
    assert [row["etl_processor"] for row in rows] == ["transfer"] * 3 + ["bkbase"]
    assert rows[0]["params"]["paths"] == ["/data/app/logs/*.log", "/data/app/logs/error/*.log"]
    assert {row["itsm_ticket_status"] for row in rows} == {"not_apply"}


@pytest.mark.parametrize(("method", "path"), [("GET", "7/"), ("POST", "7/start/"), ("POST", f"7/{WRITE}")])
def test_an_unknown_collector(client, method, path):
    assert client.bklog(method, path, CLEAN)["code"] == "3631001"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "1001/"), ("GET", f"1001/{WRITE}"), ("POST", "1001/nothing/"), ("GET", "1001")]
)
def test_the_gateway_knows_only_what_is_there(client, server, method, path):
    answer = client.raw(method, f"{server.bklog_url}/databus_collectors/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, 1640401)


def test_a_clean_configuration_is_written_and_read_back(client, server):
    answer = client.bklog("POST", f"1001/{WRITE}", CLEAN)
    assert (answer["result"], answer["code"]) == (True, 0)
    assert answer["data"] == {
        "collector_config_id": 1001,
        "collector_config_name": "app-runtime",
        "etl_config": "bk_log_json",
        "index_set_id": 10001,
        "scenario_id": "log",
        "storage_cluster_id": 3,
        "retention": 7,
        "es_shards": 2,
    }
    row = client.bklog("GET", "", page=1, pagesize=1, collector_id_list=1001)["data"]["list"][0]
    assert (row["table_id"], row["etl_config"], row["retention"]) == ("2_bklog.app_runtime", "bk_log_json", 7)
    detail = client.bklog("GET", "1001/")["data"]
    assert (detail["table_id_prefix"], detail["table_id"]) == ("2_bklog.", "app_runtime")
    assert detail["fields"] == CLEAN["fields"]


def test_a_second_write_changes_the_same_table_and_is_counted(client, server):
    for days in (7, 14):
        client.bklog("POST", f"1002/{WRITE}", CLEAN | {"retention": days})
    assert (server.collector(1002)["retention"], server.collector(1002)["etl_writes"]) == (14, 2)
    assert server.collector(1003)["etl_writes"] == 0


def test_negative_businesses_are_spaces(client, server):
    server.put_collector(2001, bk_biz_id=-5)
    client.bklog("POST", f"2001/{WRITE}", CLEAN)
    assert server.collector(2001)["table_id"] == "space_5_bklog.app_runtime"


def test_a_collector_cleaned_in_the_data_platform_breaks_the_call(client, server):
    assert client.bklog("POST", f"1004/{WRITE}", CLEAN)["code"] == "3600500"
    assert server.collector(1004)["etl_writes"] == 0


def test_start_and_stop(client, server):
    assert client.bklog("POST", "1003/start/", {})["data"] == server.collector(1003)["task_id_list"]
    assert server.collector(1003)["is_active"] is True
    client.bklog("POST", "1003/stop/", {"is_stop_index_set": True})
    assert server.collector(1003)["is_active"] is False


def test_a_collector_that_applies_natively_does_not_start(client, server):
    server.put_collector(2002, bk_biz_id=3, itsm_ticket_status="applying", is_active=False)
    assert client.bklog("POST", "2002/start/", {})["code"] == "3631504"
    assert server.collector(2002)["is_active"] is False
    assert client.bklog("GET", "2002/")["data"]["itsm_ticket_status_display"] == "采集接入进行中"
