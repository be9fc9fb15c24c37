# SPDX-License-Identifier: Apache-2.0
"""Each metric, at the moment it is about."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest

from airflow_provider_bkitsm import telemetry, version_compat
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.opener import TicketKey, TicketOpener
from airflow_provider_bkitsm.tickets.poller import TicketWait
from airflow_provider_bkitsm.tickets.withdrawal import withdraw
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

CONN = "bkitsm_default"
TAG = "0123456789abcdef0123456789abcdef"
FORM = {"title": marked_title("t", TAG), "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
NOW = datetime(2026, 1, 2, 12, 0, 30, 500_000, tzinfo=UTC)


@dataclass
class Seen:
    """What Airflow's stats were told, as names with tags, and values."""

    names: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    def _take(self, name: str, value: object = 1, *, tags: dict[str, str]) -> None:
        self.names.append(",".join([name, *tags.values()]))
        self.values.append(value)

    incr = gauge = timing = _take


@pytest.fixture
def seen(monkeypatch) -> Seen:
    stats = Seen()
    monkeypatch.setattr(version_compat, "stats", lambda: stats)
    monkeypatch.setattr(version_compat, "metrics_have_tags", lambda: True)
    monkeypatch.setattr(version_compat, "hostname", lambda: "here")
    return stats


@pytest.fixture
def sn(connections) -> str:
    return ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True, tag=TAG).sn


def verdict(decided: timedelta | None = timedelta(), outcome: Outcome = Outcome.APPROVED) -> Verdict:
    at = None if decided is None else (NOW.replace(microsecond=0) + decided).isoformat()
    return Verdict(sn="REQ1", outcome=outcome, reason="", current_status="FINISHED", decided_at=at)


@pytest.mark.parametrize(
    ("known", "began", "seconds"),
    [
        (verdict(timedelta(seconds=-3)), None, 3.5),
        (verdict(timedelta(seconds=-3)), NOW - timedelta(seconds=3), 3.5),
        (verdict(timedelta(seconds=-4)), NOW - timedelta(seconds=3), None),
        (verdict(timedelta(seconds=9)), None, 0.0),
        (verdict(outcome=Outcome.REJECTED), None, 0.5),
        (verdict(outcome=Outcome.WITHDRAWN), None, None),
        (verdict(outcome=Outcome.TIMED_OUT), None, None),
        (verdict(None), None, None),
    ],
)
def test_a_decision_is_timed_from_itsm_to_here_if_somebody_waited_for_it(known, began, seconds):
    assert telemetry.latency(known, began=began, now=NOW) == seconds


def test_plain_statsd_has_the_tags_in_the_name():
    tags = {"conn_id": "team.a/itsm", "way": "poll", "outcome": "approved"}
    plain = telemetry.name_and_tags(telemetry.LATENCY, tags, tagged=False)
    assert plain == ("bkitsm.decision_latency.team_a_itsm.poll.approved", {})
    assert telemetry.name_and_tags(telemetry.LATENCY, tags, tagged=True) == ("bkitsm.decision_latency", tags)


@pytest.mark.parametrize(
    ("on", "tags"),
    [
        ((), False),
        (("statsd_on",), False),
        (("statsd_on", "otel_on"), False),
        (("statsd_on", "statsd_influxdb_enabled"), True),
        (("statsd_influxdb_enabled",), False),
        (("otel_on",), True),
        (("statsd_datadog_enabled",), True),
    ],
)
def test_where_metrics_have_tags(monkeypatch, on, tags):
    for option in on:
        monkeypatch.setenv(f"AIRFLOW__METRICS__{option.upper()}", "True")
    assert version_compat.metrics_have_tags.__wrapped__() is tags


def test_a_decision_that_only_the_poll_saw_is_counted_when_its_callback_had_the_time(seen):
    long_ago = verdict(timedelta(days=-1))
    for more in ({}, {"called_back": True}):
        telemetry.decided(long_ago, conn_id="c", way="poll", **more)
    telemetry.decided(long_ago, conn_id="c", way="callback", called_back=True)
    one = "bkitsm.decision_latency,c,{},approved"
    recovered = "bkitsm.recovered_by_poll,c"
    assert seen.names == [one.format("poll"), one.format("poll"), recovered, one.format("callback")]


def test_a_metric_that_fails_harms_nobody(monkeypatch):
    def broken():
        raise RuntimeError("no route to the metrics")

    monkeypatch.setattr(version_compat, "stats", broken)
    telemetry.called_back("resumed")
    telemetry.decided(verdict().timed_out(), conn_id="c", way="poll")
    telemetry.decided(SimpleNamespace(), conn_id="c", way="poll")


def test_what_became_of_a_callback_is_counted(seen):
    telemetry.called_back("refused_token")
    assert seen.names == ["bkitsm.callback,refused_token"]


async def test_a_poller_says_how_many_wait_and_at_its_end_that_nobody_does(seen, sn, monkeypatch):
    monkeypatch.setattr(telemetry, "GAUGE_SECONDS", 0.05)
    async with TicketWait(CONN, sn=sn, interval=60), TicketWait(CONN, sn=sn, interval=60, dated=True) as wait:
        await wait.look()
        wait.created_at = datetime.now(UTC) - timedelta(hours=1)
        while 3600 not in seen.values:
            await asyncio.sleep(0.02)
    assert set(seen.names) == {
        "bkitsm.waiting,bkitsm_default,here",
        "bkitsm.oldest_seconds,bkitsm_default,here",
        "bkitsm.stalled,bkitsm_default,here",
    }
    assert 2 in seen.values
    assert seen.values[-3:] == [0, 0, 0]


async def test_a_poller_says_how_many_tickets_ask_nobody(seen, sn, monkeypatch):
    monkeypatch.setattr(telemetry, "GAUGE_SECONDS", 0.05)
    async with TicketWait(CONN, sn=sn, interval=60) as one, TicketWait(CONN, sn=sn, interval=60) as other:
        one.stalled = other.stalled = True
        while ("bkitsm.stalled,bkitsm_default,here", 1) not in list(zip(seen.names, seen.values, strict=False)):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("recovered", [True, False])
async def test_a_trigger_times_what_it_sees(seen, sn, sandbox, monkeypatch, recovered):
    async def push(*_anything) -> None:
        """Registered."""

    monkeypatch.setattr("airflow_provider_bkitsm.triggers.task_instance.push_xcom", push)
    monkeypatch.setattr(telemetry, "CALLBACK_GRACE_SECONDS", -1.0 if recovered else 3600.0)
    sandbox.approve(sn)
    one = ItsmTicketTrigger(ticket_sn=sn, bkitsm_conn_id=CONN, poll_interval=9, approval_timeout=None)
    one.task_instance = SimpleNamespace(id="01a20d5b-e52e-7d97-8d82-4612038db7fd", task_id="wait")
    assert [event async for event in one.run()]
    counted = [name for name in seen.names if not re.search("waiting|oldest|stalled", name)]
    wanted = ["bkitsm.decision_latency,bkitsm_default,poll,approved", "bkitsm.recovered_by_poll,bkitsm_default"]
    assert counted == (wanted if recovered else wanted[:1])


def test_a_sensor_that_pokes_times_what_it_sees(seen, sn, sandbox, task):
    sandbox.approve(sn)
    for began in (None, datetime.now(UTC) - timedelta(hours=1)):
        sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False)
        sensor.poke(task("wait", began=began or datetime.now(UTC) + timedelta(hours=1)).context)
    assert seen.names == ["bkitsm.decision_latency,bkitsm_default,poll,approved"]


def test_a_ticket_that_was_there_already_is_counted(seen, connections, task):
    for _ in range(2):
        fields = {name: FORM[name] for name in ("APPROVER", "APPROVAL_CONTENT")}
        one = ItsmCreateTicketOperator(task_id="ask", title="t", fields=fields, fast_approval=True)
        one.execute(task("ask").context)
    assert seen.names == ["bkitsm.duplicates_avoided,bkitsm_default"]


def test_so_is_one_whose_answer_was_lost(seen, connections, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    handle = TicketKey(tag=TAG, creator="robot", since=datetime.now(UTC))
    TicketOpener(hook=ItsmHook(), sleep=lambda _seconds: None).open(handle, fields=FORM, fast_approval=True)
    assert seen.names == ["bkitsm.duplicates_avoided,bkitsm_default"]


def test_a_ticket_that_is_ended_is_counted_unless_a_decision_came_first(seen, sn, sandbox):
    withdraw(ItsmHook(), sn=sn, why="w")
    other = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.approve(other)
    withdraw(ItsmHook(), sn=other, why="w")
    assert seen.names == ["bkitsm.withdrawn,bkitsm_default"]


@pytest.mark.parametrize("told", [True, False])
def test_a_worker_uses_the_task_sdks_metrics_and_all_others_the_cores(monkeypatch, told):
    """Airflow 3.1 has but the core's."""
    of_the_sdk = None
    with contextlib.suppress(ImportError):
        of_the_sdk = import_module("airflow.sdk._shared.observability.metrics.stats")
        factory = SimpleNamespace(__name__="get_statsd_logger") if told else None
        monkeypatch.setattr(of_the_sdk, "_factory", factory, raising=False)
    ours = version_compat.stats()
    assert (of_the_sdk is not None and ours is of_the_sdk.Stats) is (told and of_the_sdk is not None)
    assert all(hasattr(ours, metric.kind) for metric in telemetry.METRICS)
