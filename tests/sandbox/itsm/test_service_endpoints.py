# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.itsm import service_catalog
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


@pytest.mark.parametrize(
    ("installed", "numbers"),
    [
        ("approval", [service_catalog.LOG_COLLECTOR]),
        ("built-in", [service_catalog.LOG_BUILT_IN]),
        ("both", [service_catalog.LOG_COLLECTOR, service_catalog.LOG_BUILT_IN]),
    ],
)
def test_the_log_platforms_display_role_finds_the_services_installed_for_it(installed, numbers):
    with SandboxServer(Settings(log_services=installed)) as server:
        rows = Client(server).get("get_services", display_role="LOG_SEARCH", display_type="API")["data"]
    assert [one["id"] for one in rows] == numbers
    assert all(set(one) == {"id", "name", "service_type", "desc"} for one in rows)


@pytest.mark.parametrize("params", [{"service_type": "change"}, {"display_role": "X"}, {"catalog_id": 999}])
def test_filters_that_find_no_service(client, params):
    assert client.get("get_services", **params)["data"] == []


def test_the_hidden_services_are_not_listed(client):
    ids = {one["id"] for one in client.get("get_services")["data"]}
    assert {service_catalog.ONE_APPROVAL, service_catalog.LOG_COLLECTOR} <= ids
    assert not ids & {service_catalog.FAST_APPROVAL, service_catalog.NO_CATALOG}


def test_a_service_describes_its_form(client):
    detail = client.get("get_service_detail", service_id=service_catalog.LOG_COLLECTOR)["data"]
    assert [(one["key"], one["type"], one["validate_type"]) for one in detail["fields"]] == [
        ("title", "STRING", "REQUIRE"),
        ("bk_biz_id", "STRING", "REQUIRE"),
        ("approvals", "MEMBERS", "REQUIRE"),
        ("collector_detail", "CUSTOM-FORM", "REQUIRE"),
        ("apply_reason", "TEXT", "OPTION"),
    ]


@pytest.mark.parametrize(
    ("service", "roles"),
    [
        (service_catalog.FAST_APPROVAL, [("", "OPEN", "or"), ("APPROVER", "VARIABLE", "or")]),
        (service_catalog.COUNTERSIGN, [("", "OPEN", "or"), ("approver", "VARIABLE", "and")]),
        (service_catalog.LOG_BUILT_IN, [("", "OPEN", "or"), ("admin", "PERSON", "or")]),
    ],
)
def test_a_service_names_who_acts(client, service, roles):
    rows = client.get("get_service_roles", service_id=service, all=1)["data"]
    assert [(one["processors"], one["processors_type"], one["sign_type"]) for one in rows] == roles


@pytest.mark.parametrize(("call", "code"), [("get_service_detail", 3900404), ("get_service_roles", 3900042)])
@pytest.mark.parametrize("service", ["99999", "abc", ""])
def test_unknown_services(client, call, code, service):
    assert client.get(call, service_id=service)["code"] == code


def test_the_catalogue_is_a_tree():
    # A sandbox of its own: other tests of this file create catalogues.
    with SandboxServer() as server:
        (root,) = Client(server).get("get_service_catalogs", has_service="true")["data"]
    assert [one["id"] for one in root["children"]] == [
        service_catalog.COMMON_CATALOG,
        service_catalog.APPROVE_CATALOG,
    ]


def test_a_node_that_one_sandbox_deletes_is_there_in_the_next():
    first, second = service_catalog.services("approval"), service_catalog.services("approval")
    number = service_catalog.TWO_APPROVALS
    first[number].live.delete_node(1302, signal=True)
    assert second[number].live.counts(1302)
    assert not first[number].live.counts(1302)
