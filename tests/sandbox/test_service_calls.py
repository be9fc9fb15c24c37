# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import Client
from tests.sandbox.exports import one_approval


def test_an_imported_service_is_listed_and_its_name_taken(client):
    made = client.post("import_service", one_approval("new"))["data"]
    assert set(made) == {"id", "name", "service_type", "desc"}
    assert made["id"] in {one["id"] for one in client.get("get_services")["data"]}
    assert client.post("import_service", one_approval("new"))["code"] == 3900035


@pytest.mark.parametrize("missing", ["key", "name", "catalog_id", "workflow"])
def test_what_an_import_needs(client, missing):
    assert client.post("import_service", one_approval("less") | {missing: ""})["code"] == 3900004


def test_an_update_replaces_the_flow(client):
    number = client.post("import_service", one_approval("before"))["data"]["id"]
    changed = one_approval("after", id=number)
    changed["workflow"]["is_revocable"] = False
    assert client.post("update_service", changed)["data"]["name"] == "after"
    assert client.get("get_service_detail", service_id=number)["data"]["name"] == "after"
    assert client.post("update_service", one_approval("y", id=999))["code"] == 3900042
    taken = client.post("import_service", one_approval("taken"))["data"]["name"]
    assert client.post("update_service", one_approval(taken, id=number))["code"] == 3900035


def test_catalogues_are_three_levels_deep(client):
    parent = {"parent_key": "root"}
    for level in (1, 2, 3):
        made = client.post("create_service_catalog", {"name": f"l{level}", "project_key": "0"} | parent)["data"]
        assert made["level"] == level
        parent = {"parent__id": made["id"]}
    too_deep = client.post("create_service_catalog", {"name": "l4", "project_key": "0"} | parent)
    assert too_deep["code"] == 3900008
    (root,) = client.get("get_service_catalogs")["data"]
    assert "l1" in {one["name"] for one in root["children"]}


@pytest.mark.parametrize("less", [{"name": ""}, {"project_key": None}, {"name": "x" * 65}])
def test_what_a_catalogue_needs(client, less):
    body = {"name": "n", "project_key": "0", "parent_key": "root"} | less
    assert client.post("create_service_catalog", body)["code"] == 3900004


def test_both_survive_a_restart(tmp_path):
    settings = Settings(start_delay=0, database=tmp_path / "s.db")
    with SandboxServer(settings) as server:
        client = Client(server)
        number = client.post("import_service", one_approval("kept"))["data"]["id"]
        catalog = {"name": "kept", "project_key": "0", "parent_key": "root"}
        client.post("create_service_catalog", catalog)
        body = {"service_id": number, "creator": "carol", "fields": [{"key": "title", "value": "t"}]}
        sn = client.post("create_ticket", body)["data"]["sn"]
        server.wait_for_step(sn)
    with SandboxServer(settings) as server:
        client = Client(server)
        assert client.status(sn)["current_steps"][0]["state_id"] == 3
        assert "kept" in {one["name"] for one in client.get("get_service_catalogs")["data"][0]["children"]}
