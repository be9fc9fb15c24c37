# SPDX-License-Identifier: Apache-2.0
"""What runs in an API server from its start: the notes on waiting tasks, whoever asks for a page or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC
from threading import Event
from zoneinfo import ZoneInfo

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount

from airflow_provider_bkitsm.approvals.task_note import NoteStyle
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.plugins import lifetime
from airflow_provider_bkitsm.plugins import metadata as metadata_package
from airflow_provider_bkitsm.plugins.bkitsm import BkItsmPlugin
from airflow_provider_bkitsm.plugins.lifetime import LazyApp, keep_up_to_date, note_style


class Rounds:
    """Notes whose rounds end as they are told to; after the last of them nothing happens any more."""

    def __init__(self, *results: int | Exception) -> None:
        self.results = list(results)
        self.styles: list[NoteStyle | None] = []
        self.over = Event()

    def __call__(self, style: NoteStyle | None) -> Rounds:
        self.styles.append(style)
        return self

    def steps(self) -> Iterator[int]:
        result = self.results.pop(0)
        if not self.results:
            self.over.set()
        if isinstance(result, Exception):
            raise result
        yield from (0, result)


def in_a_server(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run an API server as Airflow does it, with nobody asking it anything; return whether all rounds came."""
    monkeypatch.setattr(lifetime, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(metadata_package, "TaskNotes", rounds)
    built: list[str] = []
    server = FastAPI()
    server.mount("/bkitsm", LazyApp(lambda: built.append("app") or FastAPI()))
    (mounted,) = [route.app for route in server.routes if isinstance(route, Mount)]
    assert isinstance(mounted, FastAPI)

    async def run() -> bool:
        async with mounted.router.lifespan_context(mounted):
            return await asyncio.to_thread(rounds.over.wait, 30)

    came = asyncio.run(run())
    assert built == []
    return came


def test_the_notes_are_kept_though_nobody_asks_for_a_page(monkeypatch):
    rounds = Rounds(3, 0, 0)
    assert in_a_server(rounds, monkeypatch)
    assert [style.language for style in rounds.styles] == ["en"]


def test_after_a_failure_they_are_kept_again_and_the_log_names_no_address(monkeypatch, caplog):
    assert in_a_server(Rounds(OSError("postgres://me:secret@db"), 1), monkeypatch)
    assert "notes on waiting tasks could not be kept: OSError" in caplog.text
    assert "secret" not in caplog.text


def test_switched_off_they_are_removed_once(monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__WAITING_NOTE", "off")
    rounds = Rounds(5)
    assert in_a_server(rounds, monkeypatch)
    assert rounds.styles == [None]
    asyncio.run(asyncio.wait_for(keep_up_to_date(Rounds(2), once=True, seconds=0.01), 30))


@pytest.mark.parametrize("value", ["fr", "True"])
def test_what_is_no_language_is_an_error_in_the_log_and_stops_no_server(monkeypatch, caplog, value):
    monkeypatch.setenv("AIRFLOW__BKITSM__WAITING_NOTE", value)
    with pytest.raises(ItsmConfigurationError, match="waiting_note must be en, zh or off"):
        note_style()
    rounds = Rounds()
    rounds.over.set()
    in_a_server(rounds, monkeypatch)
    assert rounds.styles == []


@pytest.mark.parametrize(
    ("zone", "found"),
    [
        (None, UTC),
        ("utc", UTC),
        ("system", UTC),
        ("no/zone", UTC),
        ("../etc", UTC),
        ("Asia/Shanghai", ZoneInfo("Asia/Shanghai")),
    ],
)
def test_the_deadline_is_in_airflows_default_time_zone(monkeypatch, zone, found):
    if zone is not None:
        monkeypatch.setenv("AIRFLOW__CORE__DEFAULT_TIMEZONE", zone)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/prefix")
    monkeypatch.setenv("AIRFLOW__BKITSM__WAITING_NOTE", "ZH")
    assert note_style() == NoteStyle(language="zh", base_url="https://airflow.example.com/prefix", time_zone=found)


def test_requests_go_to_the_real_app():
    real = FastAPI()

    @real.get("/here")
    def here() -> str:
        return "real"

    server = FastAPI()
    server.mount("/bkitsm", LazyApp(lambda: real))
    client = TestClient(server)
    assert client.get("/bkitsm/here").json() == "real"
    assert client.get("/bkitsm/openapi.json").json()["info"]["title"] == "FastAPI"


def test_airflow_mounts_one_app_with_a_lifespan_whatever_way_it_asks():
    first, again = list(BkItsmPlugin.fastapi_apps), [*BkItsmPlugin.fastapi_apps]
    assert len(BkItsmPlugin.fastapi_apps) == 1
    assert first[0]["app"] is again[0]["app"] is BkItsmPlugin.fastapi_apps[0]["app"]
    assert isinstance(first[0]["app"], LazyApp)
