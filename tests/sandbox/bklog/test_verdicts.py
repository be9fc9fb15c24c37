# SPDX-License-Identifier: Apache-2.0
"""Every payload that was put to the real log platform gets the same verdict here, over HTTP."""

from __future__ import annotations

import json
from itertools import count

import pytest

from tests.record import CLEAN_CONFIG_VERDICTS
from tests.tables import table

NUMBERS = count(50_001)
WITH_SWITCHES = "with_v4_link_and_ext_json_switch_on"


@pytest.fixture
def written(client, server):
    """Return a function that writes a payload to a collector of its own."""

    def write(payload):
        number = next(NUMBERS)
        server.put_collector(number, bk_biz_id=2)
        return number, client.bklog("POST", f"{number}/update_or_create_clean_config/", payload)

    return write


def test_all_of_them():
    assert len(CLEAN_CONFIG_VERDICTS) == 415


@table("verdict", CLEAN_CONFIG_VERDICTS, ids=lambda one: one["name"])
def test_the_verdict(written, server, verdict):
    number, answer = written(verdict["payload"])
    assert answer["result"] is verdict["accepted"], answer["message"]
    assert answer["code"] == (0 if verdict["accepted"] else verdict["code"])
    if not verdict["accepted"]:
        assert verdict.get("error_field", "") in answer["message"]
        assert server.collector(number)["etl_writes"] == 0
        return
    assert server.clean_config(number) == verdict["normalized"]
    assert server.collector(number)["table_id"] == verdict["table_id_after"]


@pytest.mark.parametrize(
    "verdict", [one for one in CLEAN_CONFIG_VERDICTS if WITH_SWITCHES in one], ids=lambda one: one["name"]
)
def test_the_verdict_of_a_platform_with_the_newer_link_and_the_json_switch(written, server, verdict):
    server.set_bklog(v4_link=True, ext_json_businesses=[2])
    try:
        _, answer = written(verdict["payload"])
    finally:
        server.set_bklog(v4_link=False, ext_json_businesses=[])
    expected = verdict[WITH_SWITCHES]
    assert (answer["result"], str(answer["code"])) == (expected["accepted"], expected["code"])


def test_the_same_again_changes_nothing(client, server, written):
    for verdict in CLEAN_CONFIG_VERDICTS:
        if verdict["accepted"]:
            number, _ = written(verdict["payload"])
            before = json.dumps(server.collector(number) | {"etl_writes": 0})
            client.bklog("POST", f"{number}/update_or_create_clean_config/", verdict["payload"])
            assert json.dumps(server.collector(number) | {"etl_writes": 0}) == before, verdict["name"]


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_tokens_are_read_of_analysed_fields_only(written, is_analyzed):
    field = {"field_name": "level", "field_type": "string", "is_delete": False, "tokenize_on_chars": "\\"}
    payload = {
        "table_id": "app_runtime",
        "etl_config": "bk_log_json",
        "fields": [field | {"is_analyzed": is_analyzed}],
        **{"storage_cluster_id": 3, "retention": 7, "allocation_min_days": 0},
    }
    _, answer = written(payload)
    assert answer["code"] == ("500001" if is_analyzed else 0)
