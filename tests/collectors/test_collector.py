# SPDX-License-Identifier: Apache-2.0
"""A collector as the real log platform answered, read."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.collector import Collector, as_collector, bare_table_id, check_eligible
from airflow_provider_bkitsm.collectors.errors import CollectItsmHasApply
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from tests.record import BKLOG
from tests.tables import table

ROWS = [
    row
    for answer in BKLOG.values()
    if answer["body"].get("result") and isinstance(answer["body"]["data"], dict)
    for row in answer["body"]["data"].get("list", [answer["body"]["data"]])
    if "collector_config_name" in row and "params" in row
]
QUOTED = {"paths": ["C:\\logs\\错误.log"], "word": 'it\'s "quoted"', "none": None, "yes": True}


@table("row", ROWS, ids=lambda row: row["collector_config_id"])
def test_every_recorded_collector_can_be_read(row: dict[str, Any]) -> None:
    collector = Collector(row)
    assert collector.number == row["collector_config_id"]
    assert isinstance(collector["params"], dict)
    assert collector.unread_params is None
    assert (collector.bare_table_id is None) == (not row["table_id"])
    assert collector.is_natively_applying == (row["itsm_ticket_status"] == "applying")
    assert collector.knows_storage == (
        row["storage_cluster_id"] not in (None, -1) and row["retention"] not in (None, 0)
    )
    if row["table_id"]:
        assert collector.table_id == f"2_bklog.{row['table_id']}"


def test_the_lists_params_are_those_of_the_detail() -> None:
    name = "params_chinese_paths_filters_null"
    (row,) = BKLOG[f"list_collectors__{name}"]["body"]["data"]["list"]
    assert isinstance(row["params"], str)
    assert Collector(row)["params"] == BKLOG[f"get_collector__{name}"]["body"]["data"]["params"]


@pytest.mark.parametrize(
    ("given", "params"),
    [
        (repr(QUOTED), QUOTED),
        ('{"paths": ["/a.log"], "tail": true, "none": null}', {"paths": ["/a.log"], "tail": True, "none": None}),
        (QUOTED, QUOTED),
        ("{}", {}),
        ("", {}),
        (" ", {}),
        (None, {}),
    ],
)
def test_params_are_an_object_however_they_come(given: Any, params: dict[str, Any]) -> None:
    collector = Collector({"params": given})
    assert (collector["params"], collector.unread_params) == (params, None)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/never')",
        "{'paths': [open('/etc/passwd').read()]}",
        "{'paths': ['/a.log'",
        "['/a.log']",
        "None",
        "{'a': 1e999999999999}[0]",
        "{'a': " + "[" * 100_000 + "]" * 100_000 + "}",
        "{'a': '" + "x" * 200_000 + "'}",
        "{'a': b'\0'}{",
        "\0",
    ],
    ids=range(10),
)
def test_a_text_that_cannot_be_read_is_kept_and_never_run(text: str) -> None:
    collector = Collector({"params": text})
    assert collector["params"] == {}
    assert collector.unread_params is not None
    assert text.startswith(collector.unread_params)


@pytest.mark.parametrize(
    ("row", "bare", "full"),
    [
        ({"table_id": "app", "table_id_prefix": "2_bklog_"}, "app", "2_bklog.app"),
        ({"table_id": "app", "table_id_prefix": "space_7_bklog_"}, "app", "space_7_bklog.app"),
        ({"table_id": "app", "table_id_prefix": "2_bklog."}, "app", "2_bklog.app"),
        ({"table_id": "2_bklog.app", "table_id_prefix": "2_bklog_"}, "app", "2_bklog.app"),
        ({"table_id": "2_bklog.app"}, "app", "2_bklog.app"),
        ({"table_id": "app"}, "app", "app"),
        ({"table_id": "", "table_id_prefix": "2_bklog_"}, None, None),
        ({"table_id": None}, None, None),
        ({}, None, None),
    ],
)
def test_a_table_has_a_bare_and_a_full_name(row: dict[str, Any], bare: str | None, full: str | None) -> None:
    collector = Collector(row)
    assert (collector.bare_table_id, bare_table_id(row), collector.table_id) == (bare, bare, full)


@pytest.mark.parametrize(("name", "is_its_own"), [("app", True), (" APP ", True), ("other", False), (5, False)])
def test_a_table_is_known_by_its_name_without_regard_to_case(name: Any, is_its_own: bool) -> None:
    assert Collector({"table_id": "App", "table_id_prefix": "2_bklog_"}).has_table_named(name) is is_its_own
    assert not Collector({}).has_table_named(name)


def test_minus_one_and_zero_are_unknown_and_other_numbers_are_not() -> None:
    unknown = Collector({"storage_cluster_id": -1, "retention": 0, "storage_replies": 0})
    assert dict(unknown) == {"storage_cluster_id": None, "retention": None, "storage_replies": 0}
    assert not unknown.knows_storage
    assert Collector({"storage_cluster_id": 3, "retention": 7}).knows_storage


def test_it_is_a_mapping_made_once() -> None:
    collector = Collector({"a": 1})
    assert as_collector(collector) is collector
    assert (len(collector), list(collector), collector.get("b"), "params" in collector) == (1, ["a"], None, False)
    assert repr(collector) == "Collector({'a': 1})"


# --- eligibility


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
