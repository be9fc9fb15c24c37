# SPDX-License-Identifier: Apache-2.0
"""What Airflow loads in every component."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_bkitsm import version_compat
from airflow_provider_bkitsm.plugins import bkitsm
from airflow_provider_bkitsm.plugins.bkitsm import BkItsmPlugin

ROOT = Path(__file__).resolve().parents[2]


def test_airflow_finds_the_plugin_by_its_entry_point():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["airflow.plugins"]
    module, _, name = declared["bkitsm"].partition(":")
    assert getattr(import_module(module), name) is BkItsmPlugin


def test_the_endpoint_is_mounted_as_airflow_does_it():
    server = FastAPI()
    for one in BkItsmPlugin.fastapi_apps:
        server.mount(one["url_prefix"], one["app"])
    client = TestClient(server)
    said = client.post("/bkitsm/callback/a/b/soon", content=b"")
    assert (said.status_code, said.json()["result"]) == (403, False)
    for nothing in ("/bkitsm/", "/bkitsm/docs", "/bkitsm/openapi.json", "/bkitsm/callback"):
        assert client.get(nothing).status_code == 404


def test_airflow_may_be_served_below_a_path():
    server = FastAPI(root_path="/airflow")
    for one in BkItsmPlugin.fastapi_apps:
        server.mount(one["url_prefix"], one["app"])
    said = TestClient(server, root_path="/airflow").post("/airflow/bkitsm/callback/a/b/soon", content=b"")
    assert (said.status_code, said.json()["code"]) == (403, 1)


@pytest.fixture
def host(monkeypatch) -> list[str]:
    """Note what the plugin changes of its host when it makes its app."""
    changed: list[str] = []
    for name in ("collect", "freeze"):
        monkeypatch.setattr(gc, name, lambda name=name: changed.append(name))
    monkeypatch.setattr(version_compat, "initialize_metrics", lambda: changed.append("metrics"))
    return changed


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({}, []),
        ({"FREEZE_GC": "True"}, ["collect", "freeze"]),
        ({"INITIALIZE_METRICS": "True"}, ["metrics"]),
        ({"FREEZE_GC": "False", "INITIALIZE_METRICS": "False"}, []),
    ],
)
def test_the_api_server_is_changed_only_as_an_administrator_asks(monkeypatch, host, options, changed):
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__BKITSM__{name}", value)
    bkitsm._app.__wrapped__()
    assert host == changed


def test_loading_the_plugin_costs_next_to_nothing():
    heavy = "fastapi", "httpx", "sqlalchemy", "cryptography"
    code = (
        "import sys; from airflow.plugins_manager import AirflowPlugin; before = set(sys.modules);"
        "import airflow_provider_bkitsm.plugins.bkitsm;"
        f"print([one for one in {heavy!r} if one in set(sys.modules) - before], len(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, _, count = done.stdout.splitlines()[-1].rpartition(" ")
    assert (loaded, int(count) < 10) == ("[]", True)


_LOADED = """
import json, os, sys
from airflow.listeners.listener import get_listener_manager
for arguments in {commands}:
    if os.fork():
        os.wait()
        continue
    sys.argv = ["airflow", *arguments]
    assert not get_listener_manager().has_listeners
    loaded = [f"airflow_provider_bkitsm.{{name}}" in sys.modules for name in ("triggers.ticket", "tickets.poller")]
    print(json.dumps([arguments, loaded]), flush=True)
    os._exit(0)
"""


def test_a_triggerer_has_what_waits_need_before_its_loop_runs(tmp_path, monkeypatch):
    """No listener does it: beside one, no wait would end without a worker. Each command has its own process."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    triggerers, others = [["triggerer"], ["triggerer", "--capacity", "9"]], [["scheduler"], []]
    code = _LOADED.format(commands=triggerers + others)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Airflow 3.1 logs lines of its own.
    seen = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]
    assert seen == [[one, [True, True]] for one in triggerers] + [[one, [False, False]] for one in others]


def test_what_cannot_be_imported_keeps_no_triggerer_from_starting(monkeypatch, caplog):
    monkeypatch.setattr(sys, "argv", ["airflow", "triggerer"])
    monkeypatch.setitem(sys.modules, "airflow_provider_bkitsm.tickets.poller", None)
    BkItsmPlugin.on_load()
    assert "tickets.poller could not be imported" in caplog.text


@pytest.fixture
def loaded(monkeypatch):
    """Load the plugin as Airflow does, and return the apps that it puts on Airflow's pages."""
    monkeypatch.setattr(BkItsmPlugin, "react_apps", [])
    monkeypatch.setattr(sys, "argv", ["airflow", "api-server"])

    def load(**options: str) -> list[dict[str, str]]:
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{name}", value)
        BkItsmPlugin.on_load()
        return BkItsmPlugin.react_apps

    return load


@pytest.mark.parametrize(
    ("base_url", "bundle"),
    [
        ("", "/bkitsm/assets/home.js"),
        ("https://airflow.example.com/", "/bkitsm/assets/home.js"),
        ("https://airflow.example.com/team/airflow", "/team/airflow/bkitsm/assets/home.js"),
    ],
)
def test_home_has_the_count_of_waiting_approvals(loaded, base_url, bundle):
    (app,) = loaded(API__BASE_URL=base_url)
    assert (app["destination"], app["bundle_url"]) == ("dashboard", bundle)


def test_home_has_no_count_where_an_administrator_wants_none(loaded):
    assert loaded(BKITSM__HOME_COUNT="False") == []


@pytest.mark.parametrize("broken", [{"BKITSM__HOME_COUNT": "perhaps"}, {"API__BASE_URL": "http://[::1"}])
def test_p1_what_cannot_be_read_for_home_keeps_no_plugin_from_loading(loaded, caplog, broken):
    assert loaded(**broken) == []
    assert "Home does not show how many approvals wait" in caplog.text


def test_a_dag_and_a_run_have_a_tab_of_their_approvals():
    views = {one["destination"]: one["href"] for one in BkItsmPlugin.external_views if one["name"] == "Approvals"}
    assert views["dag"] == "bkitsm/approvals?dag_id={DAG_ID}"
    assert "dag_id={DAG_ID}&run_id={RUN_ID}" in views["dag_run"]
