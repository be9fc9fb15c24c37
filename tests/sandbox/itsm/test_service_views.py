# SPDX-License-Identifier: Apache-2.0
"""A flow's answer shows what its export holds: every step with its people and fields, and every field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from airflow_provider_bkitsm.sandbox.itsm.log_service import log_service
from airflow_provider_bkitsm.sandbox.itsm.service_views import workflow
from tests.record import EVIDENCE

EXPORTS = {
    name: one["request"]
    for name, one in EVIDENCE.items()
    if name.startswith(("import_service__", "update_service__")) and one["body"]["result"]
}
# What ITSM leaves out of this answer.
NOT_SHOWN = {
    "states": {"desc", "axis", "is_builtin", "variables", "is_draft"},
    "transitions": {"axis"},
    "fields": {"is_deleted", "is_builtin", "is_valid", "display", "kv_relation", "layout", "show_type"}
    | {"show_conditions", "tips", "is_tips", "default", "related_fields"},
}
MAKING = {"creator", "create_at", "updated_by", "update_at", "end_at"}
SAME = (
    *("name", "type", "processors_type", "processors", "is_first_state", "is_multi", "is_sequential"),
    *("is_allow_skip", "is_terminable", "can_deliver", "extras"),
)


def shown(client, export: dict[str, Any]) -> dict[str, Any]:
    made = client.post("import_service", export | {"name": f"{export['name']} shown"})
    url = f"{client.server.saas_url}/workflow/get_workflow_detail/"
    params, headers = {"workflow_id": made["data"]["id"]}, {"X-Bkapi-JWT": client.server.jwt()}
    return dict(client.raw("GET", url, params=params, headers=headers).json()["data"])


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_every_step_and_field_of_a_recorded_export_is_shown(client, name):
    flow, recorded = shown(client, EXPORTS[name]), EXPORTS[name]["workflow"]
    for group, left_out in NOT_SHOWN.items():
        (keys,) = {frozenset(one) for one in flow[group]}
        assert keys == set(next(iter(recorded[group].values()))) - left_out - MAKING, group
    there = {one["name"]: one for one in recorded["states"].values()}
    assert {one["name"] for one in flow["states"]} == set(there)
    keys_here = {one["id"]: one["key"] for one in flow["fields"]}
    keys_there = {one["id"]: one["key"] for one in recorded["fields"].values()}
    for here in flow["states"]:
        other = there[here["name"]]
        assert {key: here[key] for key in SAME} == {key: other[key] for key in SAME}
        assert sorted(keys_here[one] for one in here["fields"]) == sorted(
            keys_there[one] for one in other["fields"]
        )
    ends = {one["id"]: one["name"] for one in flow["states"]}
    ends_there = {one["id"]: one["name"] for one in recorded["states"].values()}
    assert {(ends[one["from_state"]], ends[one["to_state"]]) for one in flow["transitions"]} == {
        (ends_there[one["from_state"]], ends_there[one["to_state"]]) for one in recorded["transitions"].values()
    }


@pytest.mark.parametrize(
    "service", [*service_catalog.SERVICES.values(), log_service(17)], ids=lambda one: str(one.id)
)
def test_every_step_of_a_shipped_service_names_its_fields_and_leads_somewhere(service):
    flow = workflow(service)
    states = {one["id"]: one for one in flow["states"]}
    assert len(states) == len(flow["states"])
    assert [one["type"] for one in states.values() if one["is_first_state"]] == ["NORMAL"]
    fields = {one["id"]: one for one in flow["fields"]}
    for node in service.nodes:
        assert [fields[one]["key"] for one in states[node.state_id]["fields"]] == [one.key for one in node.fields]
    for line in flow["transitions"]:
        assert line["from_state"] in states
        assert line["to_state"] in states
    assert {line["from_state"] for line in flow["transitions"]} == set(states) - {
        one["id"] for one in states.values() if one["type"] == "END"
    }
