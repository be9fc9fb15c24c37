# SPDX-License-Identifier: Apache-2.0
"""The log platform over HTTP: what is not in the recordings, or takes more than one request."""

from __future__ import annotations

import ast

import pytest

from airflow_provider_bkitsm.sandbox.control import wait_until
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import Client

CLEAN = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_json",
    "etl_params": {"retain_original_text": True},
    "fields": [{"field_name": "level", "field_type": "string", "is_delete": False}],
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
    "storage_replies": 1,
    "es_shards": 2,
}
TIME = {"field_name": "ts", "field_type": "string", "is_delete": False, "is_time": True}
WRITE = "update_or_create_clean_config/"
ASSESSED = CLEAN | {
    "need_assessment": True,
    "assessment_config": {"log_assessment": "10G", "need_approval": True, "approvals": ["alice", "bob"]},
}


@pytest.fixture
def server():
    """Serve a sandbox of this test's own: the platform's set-up is changed."""
    with SandboxServer(Settings(start_delay=0)) as served:
        yield served


@pytest.fixture
def client(server):
    return Client(server)


def listed(client, **query):
    return client.bklog("GET", "", **({"page": 1, "pagesize": 100, "bk_biz_id": 2} | query))


def ids(client, **query):
    data = listed(client, **query)["data"]
    return data["total"], [row["collector_config_id"] for row in data["list"]]


@pytest.mark.parametrize(
    ("query", "total", "found"),
    [
        ({}, 4, [1004, 1003, 1002, 1001]),
        ({"bk_biz_id": 9}, 0, []),
        ({"collector_id_list": "1001,1003,7"}, 2, [1003, 1001]),
        ({"keyword": "NGINX"}, 1, [1002]),
        ({"keyword": "runtime app"}, 1, [1001]),
        ({"etl_processor": "bkbase"}, 1, [1004]),
        ({"is_active": "false"}, 1, [1003]),
        ({"itsm_ticket_status": "applying"}, 0, []),
        ({"have_table_id": "1"}, 0, []),
        ({"not_custom": "1", "colour": "red"}, 4, [1004, 1003, 1002, 1001]),
        ({"page": 2, "pagesize": 3}, 4, [1001]),
        ({"pagesize": "many"}, 4, [1004, 1003, 1002, 1001]),
    ],
)
def test_the_list(client, query, total, found):
    assert ids(client, **query) == (total, found)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"bk_biz_id": 2}, "3600001"),
        ({"page": 1}, "3600001"),
        ({"page": 1, "pagesize": ""}, "3600001"),
        ({"page": "x", "pagesize": 1}, "3600404"),
        ({"page": 0, "pagesize": 1}, "3600404"),
        ({"page": 5, "pagesize": 1, "bk_biz_id": 2}, "3600404"),
        ({"page": 1, "pagesize": 1, "bk_biz_id": "x"}, "500001"),
        ({"page": 1, "pagesize": 1, "collector_id_list": "x"}, "500001"),
        ({"page": 1, "pagesize": 1, "subscription_id": "x"}, "500001"),
        ({"page": 1, "pagesize": 1, "bk_biz_id": 0}, "9900403"),
    ],
)
def test_pages_are_mandatory_and_numbers_are_numbers(client, query, code):
    assert str(client.bklog("GET", "", **query)["code"]) == code


def test_a_lists_params_are_text_in_pythons_way_and_a_details_are_an_object(client):
    rows = {row["collector_config_id"]: row for row in listed(client)["data"]["list"]}
    paths = ["/data/app/logs/*.log", "/data/app/logs/error/*.log"]
    assert ast.literal_eval(rows[1001]["params"])["paths"] == paths
    assert client.bklog("GET", "1001/")["data"]["params"]["paths"] == paths
    assert "space_name" not in rows[1001]
    assert "itsm_ticket_status_display" not in rows[1001]


@pytest.mark.parametrize(("method", "path"), [("GET", "7/"), ("POST", "7/start/"), ("POST", f"7/{WRITE}")])
def test_an_unknown_collector(client, method, path):
    assert client.bklog(method, path, CLEAN)["code"] == "3631001"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "1001/"), ("GET", f"1001/{WRITE}"), ("POST", "1001/nothing/"), ("GET", "1001")]
)
def test_the_gateway_knows_only_what_is_there(client, server, method, path):
    answer = client.raw(method, f"{server.bklog_url}/databus_collectors/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, 1640401)


def test_what_is_written_is_not_what_is_read(client, server):
    assert client.bklog("POST", f"1001/{WRITE}", CLEAN)["data"]["index_set_id"] == 10001
    detail = client.bklog("GET", "1001/")["data"]
    assert (detail["table_id_prefix"], detail["table_id"], detail["retention"]) == ("2_bklog_", "app_runtime", 7)
    assert detail["etl_params"]["separator_node_action"] == "json"
    assert [one["field_name"] for one in detail["fields"] if not one["is_built_in"]] == ["level"]
    assert len(detail["fields"]) == 11
    assert server.collector(1001)["table_id"] == "2_bklog.app_runtime"


def test_a_second_write_changes_the_same_table_and_is_counted(client, server):
    for days in (7, 14):
        client.bklog("POST", f"1002/{WRITE}", CLEAN | {"retention": days})
    assert (server.collector(1002)["retention"], server.collector(1002)["etl_writes"]) == (14, 2)
    assert server.collector(1003)["etl_writes"] == 0


def test_another_name_makes_a_second_table_and_the_collector_keeps_the_first(client, server):
    client.bklog("POST", f"1001/{WRITE}", CLEAN)
    client.bklog("POST", f"1001/{WRITE}", CLEAN | {"table_id": "another", "retention": 30})
    assert (server.collector(1001)["table_id"], server.collector(1001)["retention"]) == ("2_bklog.app_runtime", 7)


def test_negative_businesses_are_spaces(client, server):
    server.put_collector(2001, bk_biz_id=-5)
    client.bklog("POST", f"2001/{WRITE}", CLEAN)
    assert server.collector(2001)["table_id"] == "space_5_bklog.app_runtime"
    assert client.bklog("GET", "2001/")["data"]["table_id_prefix"] == "space_5_bklog_"


def test_start_and_stop(client, server):
    assert client.bklog("POST", "1003/start/", {})["data"] == server.collector(1003)["task_id_list"]
    assert server.collector(1003)["is_active"] is True
    client.bklog("POST", "1003/stop/", {"is_stop_index_set": True})
    assert server.collector(1003)["is_active"] is False


# --- what is taken and then does harm


def test_a_dotted_table_breaks_the_list_of_the_whole_business(client):
    assert client.bklog("POST", f"1001/{WRITE}", CLEAN | {"table_id": "2_bklog.app"})["result"]
    assert listed(client)["code"] == "500001"
    assert listed(client, bk_biz_id=3)["result"]


@pytest.mark.parametrize(
    ("zone", "code"), [("Asia/Shanghai", "500001"), ("", "500001"), (None, "3600500"), (5.5, 0), ("8", 0)]
)
def test_a_time_zone_that_is_no_number_breaks_the_detail_for_ever(client, server, zone, code):
    field = TIME | {"option": {"time_zone": zone, "time_format": "yyyy-MM-dd HH:mm:ss"}}
    assert client.bklog("POST", f"1001/{WRITE}", CLEAN | {"fields": [field]})["result"]
    assert client.bklog("GET", "1001/")["code"] == code
    assert server.collector(1001)["retention"] == 7


# --- what metadata does with a change


def changed(client, server, **setup):
    client.bklog("POST", f"1001/{WRITE}", CLEAN)
    listed(client)
    server.set_bklog(**setup)
    answer = client.bklog("POST", f"1001/{WRITE}", CLEAN | {"retention": 30, "es_shards": 4})
    assert (answer["result"], answer["data"]["retention"], answer["data"]["es_shards"]) == (True, 30, 4)
    return client.bklog("GET", "1001/")["data"]


@pytest.mark.parametrize(("change", "days"), [("now", 30), ("late", 7), ("refused", 7)])
def test_the_answer_and_the_platforms_own_columns_never_tell_what_metadata_did(client, server, change, days):
    detail = changed(client, server, table_change=change, table_change_seconds=60)
    assert (detail["retention"], detail["storage_shards_nums"]) == (days, 4)


def test_a_late_change_comes(client, server):
    changed(client, server, table_change="late", table_change_seconds=0.2)
    wait_until(lambda: client.bklog("GET", "1001/")["data"]["retention"] == 30, 60, "it does not come")


@pytest.mark.parametrize(("clears", "days"), [(True, 30), (False, 7)])
def test_an_older_platform_lists_the_storage_of_ten_minutes_ago(client, server, clears, days):
    assert changed(client, server, clears_list_cache=clears)["retention"] == 30
    chosen = {"collector_id_list": 1001}
    assert listed(client, **chosen)["data"]["list"][0]["retention"] == days
    server.clear_list_cache()
    assert listed(client, **chosen)["data"]["list"][0]["retention"] == 30


# --- rights


def test_rights_are_denied_by_user_business_and_action(client, server):
    server.set_bklog(denials=[{"username": "admin", "bk_biz_id": 2, "actions": ["manage_collection"]}])
    refusal = client.bklog("POST", f"1001/{WRITE}", CLEAN)
    assert (refusal["code"], refusal["data"]["apply_url"][:7]) == ("9900403", "http://")
    (row,) = listed(client, collector_id_list=1001)["data"]["list"]
    assert row["permission"] == {"view_collection_v2": True, "manage_collection_v2": False}
    url, other = f"{server.bklog_url}/databus_collectors/1001/{WRITE}", server.headers(bk_username="bob")
    assert client.raw("POST", url, json=CLEAN, headers=other).json()["result"]


def test_who_names_no_business_is_not_checked(client, server):
    server.set_bklog(denials=[{"actions": ["view_business"]}])
    assert listed(client)["code"] == "9900403"
    assert client.bklog("GET", "", page=1, pagesize=9)["data"]["total"] == 4


def test_the_storage_clusters_need_a_grant(client, server):
    url, query = f"{server.bklog_url}/databus_storage/cluster_groups/", {"bk_biz_id": 2}
    answer = client.raw("GET", url, params=query)
    assert (answer.status_code, answer.json()["code"]) == (403, 1640301)
    server.set_bklog(cluster_groups_granted=True)
    rows = client.raw("GET", url, params=query).json()["data"]
    assert {row["storage_cluster_id"]: row["enable_hot_warm"] for row in rows} == {
        3: False,
        4: True,
        5: False,
        6: False,
    }


# --- the platform's own application


def test_an_approved_native_application_replays_its_payload_over_ours(client, server):
    server.set_bklog(collect_itsm=True)
    assert client.bklog("POST", f"1001/{WRITE}", ASSESSED)["data"]["collect_itsm_status"] == "applying"
    sn = server.collector(1001)["itsm_ticket_sn"]
    assert server.collector(1001)["table_id"] is None
    client.bklog("POST", f"1001/{WRITE}", CLEAN | {"retention": 30})
    assert (server.collector(1001)["retention"], server.collector(1001)["itsm_ticket_sn"]) == (30, sn)
    server.decide_native(sn, approve=True)
    assert (server.collector(1001)["retention"], server.collector(1001)["itsm_ticket_status"]) == (
        7,
        "success_apply",
    )


def test_a_second_native_application_takes_the_place_of_the_first(client, server):
    server.set_bklog(collect_itsm=True)
    client.bklog("POST", f"1001/{WRITE}", ASSESSED)
    first = server.collector(1001)["itsm_ticket_sn"]
    client.bklog("POST", f"1001/{WRITE}", ASSESSED | {"retention": 30})
    second = server.collector(1001)["itsm_ticket_sn"]
    assert first != second
    server.decide_native(first, approve=True)
    assert server.collector(1001)["itsm_ticket_status"] == "applying"
    server.decide_native(second, approve=False)
    assert (server.collector(1001)["itsm_ticket_status"], server.collector(1001)["table_id"]) == (
        "fail_apply",
        None,
    )


def test_an_application_without_approval_leaves_no_trace(client, server):
    server.set_bklog(collect_itsm=True)
    body = ASSESSED | {"assessment_config": ASSESSED["assessment_config"] | {"need_approval": False}}
    assert "index_set_id" in client.bklog("POST", f"1001/{WRITE}", body)["data"]
    row = server.collector(1001)
    assert (row["itsm_ticket_status"], row["itsm_ticket_sn"], row["retention"]) == ("not_apply", None, 7)


def test_only_the_platforms_switch_holds_a_start_back_and_it_is_off_when_itsm_is_down(client, server):
    server.put_collector(2002, bk_biz_id=3, itsm_ticket_status="applying", is_active=False)
    assert client.bklog("GET", "2002/")["data"]["itsm_ticket_status_display"] == "采集接入进行中"
    server.set_bklog(collect_itsm=True)
    assert client.bklog("POST", "2002/start/", {})["code"] == "3631504"
    assert server.collector(2002)["is_active"] is False
    server.set_bklog(itsm_down=True)
    assert client.bklog("GET", "2002/")["code"] == "3600002"
    assert client.bklog("POST", "2002/start/", {})["result"]


# --- the control API


def test_a_collector_is_put_with_a_table_and_put_back_as_it_is_shown(client, server):
    live = {"table_id": "2_bklog.live", "etl_config": "bk_log_json", "retention": 9} | {
        key: CLEAN[key] for key in ("fields", "etl_params", "storage_cluster_id")
    }
    shown = server.put_collector(3001, **live)
    detail = client.bklog("GET", "3001/")["data"]
    assert (shown["fields"], shown["retention"]) == (detail["fields"], 9)
    assert server.put_collector(3001, **(shown | {"retention": 10})) == shown | {"retention": 10}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "bklog", {"colour": 1}, 422),
        ("POST", "bklog", {"table_change": "never"}, 422),
        ("GET", "collectors/7/clean_config", None, 404),
        ("POST", "bklog/native/REQ9?approve=true", None, 404),
        ("PUT", "collectors/1", {"table_id": "2_bklog.x", "storage_cluster_id": 99}, 422),
        ("PUT", "collectors/1", {"table_id": "2_bklog.x", "retention": "x"}, 422),
    ],
)
def test_what_the_control_api_refuses(client, server, method, path, body, status):
    assert client.raw(method, f"{server.url}/sandbox/{path}", json=body).status_code == status


def test_what_was_not_written_yet(server):
    assert server.clean_config(1001) is None


def test_everything_survives_a_restart(tmp_path):
    settings = Settings(start_delay=0, database=tmp_path / "sandbox.db")
    with SandboxServer(settings) as server:
        server.set_bklog(collect_itsm=True)
        client = Client(server)
        client.bklog("POST", f"1001/{WRITE}", ASSESSED)
        client.bklog("POST", f"1002/{WRITE}", CLEAN)
        sn, before = server.collector(1001)["itsm_ticket_sn"], server.collector(1002)
    with SandboxServer(settings) as server:
        assert server.collector(1002) == before
        server.decide_native(sn, approve=True)
        assert server.collector(1001)["retention"] == 7
