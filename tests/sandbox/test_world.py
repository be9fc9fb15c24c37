# SPDX-License-Identifier: Apache-2.0
"""What survives a restart, and what the numbers do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import Client

CLEAN = {
    "table_id": "app",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}


@pytest.fixture
def settings(tmp_path):
    return Settings(start_delay=0, database=tmp_path / "state.sqlite")


def test_everything_survives_a_restart(settings, receiver):
    with SandboxServer(settings) as server:
        client = Client(server)
        ended = client.opened(tag="run", meta={"callback_url": receiver.url})
        lost = client.opened(meta={"callback_url": "http://127.0.0.1:9/"})
        open_ = client.opened()
        client.operate(ended, "WITHDRAW")
        client.operate(lost, "WITHDRAW")
        client.bklog("POST", "1001/update_or_create_clean_config/", CLEAN)
        port, before = server.port, server.tickets()
    with SandboxServer(settings, port=port) as server:
        client = Client(server)
        assert server.tickets() == before
        assert client.get("callback_failed_ticket")["data"] == [lost]
        assert client.post("token/verify", {"token": receiver.received[0].body["token"]})["data"]["is_passed"]
        assert (server.collector(1001)["table_id"], server.collector(1001)["etl_writes"]) == ("2_bklog.app", 1)
        assert client.create()["data"]["id"] == before[-1]["id"] + 1
        assert server.approve(open_)["status"] == "FINISHED"
    assert len(receiver.received) == 1


def test_a_ticket_that_had_not_started_starts_after_a_restart(settings):
    with SandboxServer(replace(settings, start_delay=3600)) as server:
        sn = Client(server).create()["data"]["sn"]
        orphan = Client(server).create(fields={"APPROVAL_CONTENT": "😀"})["data"]["sn"]
    with SandboxServer(settings) as server:
        server.wait_for_step(sn)
        assert Client(server).status(orphan)["current_steps"] == []


def test_without_a_file_nothing_survives():
    with SandboxServer() as server:
        Client(server).create()
    with SandboxServer() as server:
        assert server.tickets() == []


def test_a_database_that_takes_every_character(settings):
    with SandboxServer(replace(settings, utf8mb4=True)) as server:
        sn = Client(server).opened(fields={"title": "hi 😀"})
        assert server.ticket(sn)["title"] == "hi 😀"


def test_numbers_begin_again_after_the_counters_were_lost():
    with SandboxServer(Settings(start_delay=0)) as server:
        client = Client(server)
        numbers = [client.create()["data"]["sn"] for _ in range(2)]
        server.forget_counters()
        assert client.create()["data"]["sn"] == numbers[0]
