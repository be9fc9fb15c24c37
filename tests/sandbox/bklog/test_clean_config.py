# SPDX-License-Identifier: Apache-2.0
"""Refusals of the clean-config endpoint; nothing is written by any of them."""

from __future__ import annotations

import pytest

SMALLEST = {
    "table_id": "app",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
PATH = "1001/update_or_create_clean_config/"
TIME = {"time_zone": 8, "time_format": "yyyy-MM-dd HH:mm:ss"}


def field(**more):
    return {"field_name": "level", "field_type": "string", "is_delete": False} | more


def body(*fields, kind="bk_log_json", **more):
    return SMALLEST | {"etl_config": kind, "fields": list(fields)} | more


def absent(key):
    return {name: value for name, value in SMALLEST.items() if name != key}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        *((absent(key), "3600400") for key in SMALLEST),
        ([], "3600400"),
        (SMALLEST | {"retention": "7"}, "3600400"),
        (SMALLEST | {"retention": True}, "3600400"),
        (SMALLEST | {"table_id": " "}, "3600400"),
        (SMALLEST | {"storage_replies": -1}, "3600400"),
        (SMALLEST | {"es_shards": 0}, "3600400"),
        (SMALLEST | {"etl_params": {"is_grok": "yes"}}, "3600400"),
        (SMALLEST | {"etl_params": {"ext_json_config": {"expand_depth": 4}}}, "3600400"),
        (SMALLEST | {"etl_config": "bk_log_xml"}, "3631301"),
        (SMALLEST | {"storage_cluster_id": 99}, "3631201"),
        (SMALLEST | {"storage_cluster_id": 4, "allocation_min_days": 3}, "3631208"),
        (SMALLEST | {"need_assessment": True}, "3600001"),
        (SMALLEST | {"is_platform_index": True}, "3600001"),
        (body(), "3600001"),
        (body(kind="bk_log_regexp", fields=None), "3600001"),
        (body(field(is_delete=True)), "3600001"),
        (body({"field_name": "level"}), "3600400"),
        (body(field(field_name="")), "3600001"),
        (body(field(field_type="text")), "3600001"),
        (body(field(field_name="serverIp")), "3600001"),
        (body(field(alias_name="Timestamp")), "3600001"),
        (body(field(field_type="int", is_analyzed=True)), "3600001"),
        (body(field(is_time=True)), "3600001"),
        (body(field(is_time=True, option=TIME, field_type="long")), "3600001"),
        (body(field(is_time=True, option=TIME | {"time_format": "epoch_millis"})), "3600001"),
        (body(*(field(field_name=name, is_time=True, option=TIME) for name in ("a", "b"))), "3600001"),
        (body(field(), kind="bk_log_delimiter"), "3600001"),
    ],
)
def test_refusals(client, server, sent, code):
    before = server.collector(1001)["etl_writes"]
    answer = client.bklog("POST", PATH, sent)
    assert (answer["result"], answer["code"]) == (False, code)
    assert server.collector(1001)["etl_writes"] == before


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (SMALLEST, []),
        (SMALLEST | {"retention": -1, "unknown": 1}, []),
        (SMALLEST | {"storage_cluster_id": 3, "allocation_min_days": 3}, []),
        (body(field(), kind="bk_log_text"), []),
        (body(field()), ["level"]),
        (body(field(), field(field_name="log", is_built_in=True)), ["level"]),
        (body(field(), field(is_delete=True, field_name="gone")), ["level"]),
        (body(field(field_name="ts", is_time=True, option=TIME)), ["ts"]),
        (body(field(field_index=1), kind="bk_log_delimiter"), ["level"]),
        (
            body(field(field_type="long", is_time=True, option={"time_zone": 8, "time_format": "epoch_second"})),
            ["level"],
        ),
    ],
)
def test_what_is_taken(client, server, sent, stored):
    assert client.bklog("POST", PATH, sent)["result"]
    assert [one["field_name"] for one in server.collector(1001)["fields"]] == stored
