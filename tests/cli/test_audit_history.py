# SPDX-License-Identifier: Apache-2.0
"""The history of a collector as an administrator asks for it, at both doors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml

from airflow_provider_bkitsm.cli.__main__ import main
from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.version_compat import AIRFLOW_V_3_3_PLUS

OWNER = Owner(dag_id="dag", run_id="run", task_id="apply")
KEY = ("bklog_default", 7)
# Doors that are programs of their own; Airflow's takes the provider's commands since 3.2.
DOORS = [
    ["airflow_provider_bkitsm.cli", "history"],
    *([["airflow", "bkitsm", "history"]] if AIRFLOW_V_3_3_PLUS else []),
]

Ask = Callable[..., str]


@pytest.fixture(autouse=True)
def collector(monkeypatch, tmp_path) -> None:
    """A store with one rejected application, and another collector's."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    store = open_store(actor="tester")
    store.apply(*KEY, payload={"a": 1}, tag="tag1", owner=OWNER)
    store.ticket_opened(*KEY, tag="tag1", sn="SN1", url="http://itsm/1")
    store.decided(*KEY, sn="SN1", outcome="rejected", detail={"approvers": []})
    store.fail(*KEY, sn="SN1", reason="rejected " + "x" * 300)
    store.apply("other", 7, payload={"a": 1}, tag="tag1", owner=OWNER)


@pytest.fixture
def ask(capsys) -> Ask:
    def asked(*arguments: str) -> str:
        main(["history", *arguments])
        return capsys.readouterr().out

    return asked


def test_every_change_is_there_in_order(ask):
    rows = json.loads(ask("7", "-o", "json"))
    assert [(one["event"], one["from"], one["to"]) for one in rows] == [
        ("apply", "not_apply", "applying"),
        ("ticket_opened", "applying", "applying"),
        ("decided", "applying", "applying"),
        ("fail", "applying", "fail_apply"),
    ]
    assert {one["owner"] for one in rows} == {"dag/run/apply"}
    assert rows[-1]["details"] == "rejected " + "x" * 300


def test_yaml_is_the_same(ask):
    assert yaml.safe_load(ask("7", "-o", "yaml")) == json.loads(ask("7", "-o", "json"))


@pytest.mark.parametrize("output", ["table", "plain"])
def test_people_read_a_table(ask, output):
    table = ask("7", "-o", output)
    for text in ("when", "details", "ticket_opened", "fail_apply", "SN1", "tester"):
        assert text in table
    assert ("x" * 300 in table.replace("\n", "")) is (output == "plain")


def test_the_connections_can_be_named(ask, connect, capsys):
    assert [one["event"] for one in json.loads(ask("7", "--bklog-conn-id", "other", "-o", "json"))] == ["apply"]
    connect("down", conn_type="postgres", host="127.0.0.1", port=9, login="u", password="p4ss", schema="s")
    with pytest.raises(SystemExit) as caught:
        ask("7", "--store-conn-id", "down")
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert "cannot be used" in error
    assert "p4ss" not in error


def test_a_store_that_is_not_defined_is_an_error_and_not_an_empty_history(ask, capsys):
    with pytest.raises(SystemExit):
        ask("7", "--store-conn-id", "nowhere")
    assert "nowhere" in capsys.readouterr().err


def test_of_a_collector_nobody_applied_for_there_is_nothing(ask):
    assert json.loads(ask("8", "-o", "json")) == []
    assert "No data found" in ask("8")


@pytest.mark.parametrize("door", DOORS, ids=" ".join)
def test_it_is_there_on_the_command_line(door):
    command = [sys.executable, "-m", *door, "7", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = done.stdout[done.stdout.index("[{") :]
    assert [one["event"] for one in json.loads(rows)] == ["apply", "ticket_opened", "decided", "fail"]
