# SPDX-License-Identifier: Apache-2.0
"""A live collector's storage, changed only after an approval that shows what it takes."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bkitsm.collectors.current_config import present_clean_config
from airflow_provider_bkitsm.collectors.errors import InvalidCleanConfig
from airflow_provider_bkitsm.hooks.bklog import BkLogCollectorNotFoundError, BkLogError
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.operators.collector import CollectorStoragePlanOperator
from tests.operators.test_collector import Flow

LIVE = {
    "table_id": "2_bklog.app_runtime",
    "index_set_id": 10001,
    "etl_config": "bk_log_json",
    "etl_params": {"retain_original_text": True},
    "fields": [{"field_name": "level", "field_type": "string", "is_delete": False}],
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
    "storage_replies": 1,
    "storage_shards_nums": 3,
}


class Expansion(Flow):
    """The flow of a collector that is live, with a plan before it."""

    def __init__(self, sandbox, task) -> None:
        super().__init__(sandbox, task)
        sandbox.put_collector(1001, bk_biz_id=2, **LIVE)
        self.before = sandbox.collector(1001)
        self.planned: dict[str, Any] = {}

    def plan(self, **parameters: Any) -> dict[str, Any]:
        known = {"storage": {"retention": "30", "es_shards": 6}, "daily_gb_per_host": "10", "hosts": "5"}
        self.planned = self._run(CollectorStoragePlanOperator, "plan", **(known | parameters))
        return self.planned

    def ask(self, **parameters: Any) -> str:
        planned = self.plan(**parameters)
        return self.apply(clean_config=planned["clean_config"], detail_rows=planned["detail_rows"])

    def provision(self, **parameters: Any) -> Any:
        return super().provision(expected_before=self.planned["before"], **parameters)


@pytest.fixture
def expansion(sandbox, connections, task) -> Expansion:
    return Expansion(sandbox, task)


def test_approved_the_storage_is_changed_and_nothing_else(expansion, sandbox):
    sandbox.approve(expansion.ask())
    expansion.provision()
    assert expansion.complete()["state"] == "success_apply"
    changed = {"retention": 30, "storage_shards_nums": 6, "etl_writes": 1}
    assert sandbox.collector(1001) == expansion.before | changed


def test_the_approver_sees_what_it_takes(expansion, sandbox):
    form = sandbox.ticket(expansion.ask())["fields"]["collector_detail"]
    rows = {row["label"]: row["value"] for row in form["form_data"][0]["children"]}
    assert rows["变更 retention："] == "7 → 30"
    assert rows["变更 es_shards："] == "3 → 6"
    assert rows["容量估算（GB）："] == "变更前 1200，变更后 4650，差额 +3450"


def test_p3_refused_the_collector_is_exactly_as_it_was(expansion, sandbox):
    sandbox.reject(expansion.ask(), remark="too much")
    for step in (expansion.provision, expansion.complete):
        with pytest.raises(AirflowFailException, match="too much"):
            step()
    assert sandbox.collector(1001) == expansion.before
    assert expansion.row.state == "fail_apply"


def test_p3_what_somebody_else_changed_while_people_decided_is_not_overwritten(expansion, sandbox):
    sandbox.approve(expansion.ask())
    fields = [{"field_name": "user", "field_type": "string", "is_delete": False}]
    now = sandbox.put_collector(1001, bk_biz_id=2, **(LIVE | {"fields": fields}))
    with pytest.raises(AirflowFailException, match="somebody has changed fields"):
        expansion.provision()
    assert sandbox.collector(1001) == now


def test_writing_again_after_a_lost_answer_does_no_harm(expansion, sandbox):
    sandbox.approve(expansion.ask())
    sandbox.fault("clean_config", "drop_answer")
    with pytest.raises(BkLogError, match="a retry writes the ETL again"):
        expansion.provision()
    expansion.provision()
    assert sandbox.collector(1001)["retention"] == 30


def test_a_change_the_platform_does_not_show_afterwards_is_an_error(expansion, sandbox, monkeypatch):
    sandbox.approve(expansion.ask())
    hooks = "airflow_provider_bkitsm.hooks"
    monkeypatch.setattr(f"{hooks}.bklog.READ_BACK_PAUSES", (0.01,))
    honest = sandbox.collector

    def changes_shards_only(hook, number, payload):
        sandbox.put_collector(number, **(honest(number) | {"storage_shards_nums": payload["es_shards"]}))
        return {"index_set_id": 1}

    monkeypatch.setattr(f"{hooks}.bklog.BkLogHook.update_or_create_clean_config", changes_shards_only)
    with pytest.raises(BkLogError, match="still shows something else: retention is 7, not 30"):
        expansion.provision()


def test_the_plan_changes_nothing_and_says_what_is_there(expansion, sandbox):
    planned = expansion.plan()
    assert planned["before"] == present_clean_config(expansion.before)
    assert planned["clean_config"] == planned["before"] | {"retention": 30, "es_shards": 6}
    assert sandbox.collector(1001) == expansion.before


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"collector_config_id": 1002}, InvalidCleanConfig),
        ({"collector_config_id": 9999}, BkLogCollectorNotFoundError),
        ({"bk_biz_id": 3}, BkLogCollectorNotFoundError),
        ({"storage": {"retention": 7, "es_shards": None, "storage_replies": ""}}, InvalidCleanConfig),
        ({"storage": {"retention": "long"}}, ItsmConfigurationError),
        ({"hosts": "many"}, ItsmConfigurationError),
        ({"daily_gb_per_host": "much"}, ItsmConfigurationError),
        ({"daily_gb_per_host": -1}, ItsmConfigurationError),
        ({"daily_gb_per_host": "inf"}, ItsmConfigurationError),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(expansion, wrong, error):
    with pytest.raises(error):
        expansion.plan(**wrong)


FIELD = {"field_name": "level", "field_type": "string", "is_delete": False}
KINDS = {
    "bk_log_text": {"etl_params": {"original_text_tokenize_on_chars": "-,"}, "fields": []},
    "bk_log_json": {"fields": [FIELD | {"alias_name": "severity"}], "etl_params": {"retain_extra_json": True}},
    "bk_log_delimiter": {
        "etl_params": {"separator": "|", "path_regexp": r"/(?P<app>\w+)/"},
        "fields": [FIELD | {"field_index": 1}],
    },
    "bk_log_regexp": {"etl_params": {"separator_regexp": r"(?P<level>\w+)"}, "fields": [FIELD]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_for_each_kind_of_cleaning_the_storage_is_changed_and_nothing_is_lost(expansion, sandbox, kind):
    sandbox.put_collector(1001, bk_biz_id=2, **(LIVE | {"etl_config": kind} | KINDS[kind]))
    before = present_clean_config(sandbox.collector(1001))
    sandbox.approve(expansion.ask())
    expansion.provision()
    assert expansion.complete()["state"] == "success_apply"
    assert present_clean_config(sandbox.collector(1001)) == before | {"retention": 30, "es_shards": 6}


def test_p3_the_approver_sees_what_nobody_can_see_beforehand(expansion, sandbox):
    form = sandbox.ticket(expansion.ask())["fields"]["collector_detail"]
    labels = {row["label"] for row in form["form_data"][0]["children"]}
    assert {"注意 total_shards_per_node：", "注意 alias_settings："} <= labels


def test_what_was_changed_since_the_last_approval_is_told_when_somebody_asks_again(expansion, sandbox):
    sandbox.approve(expansion.ask())
    expansion.provision()
    expansion.complete()
    sandbox.put_collector(1001, **(sandbox.collector(1001) | {"retention": 3}))
    rows = expansion.plan(storage={"retention": 60})["detail_rows"]
    assert rows["注意 现状与上次审批不一致："] == "retention is 3, not 30"
