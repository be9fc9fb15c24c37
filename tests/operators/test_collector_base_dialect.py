# SPDX-License-Identifier: Apache-2.0
"""Applications whose connection speaks another dialect by now: that ITSM may have a ticket of the same number."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.connection import DIALECTS
from airflow_provider_bkitsm.itsm.errors import ItsmAnotherDialectError
from airflow_provider_bkitsm.itsm.v2.dialect import DialectV2
from tests.operators.test_collector import Flow, _in_store, flow, lose_the_ticket  # noqa: F401
from tests.operators.test_collector_reconcile import Job, job  # noqa: F401


class Other(DialectV2):
    """Another ITSM. It reads the same tickets, so whatever is asked of it by mistake would be answered."""

    name = "other"


@pytest.fixture
def switch(monkeypatch, reconnect) -> Callable[[], None]:
    """Return what makes the connection speak another dialect."""
    monkeypatch.setitem(DIALECTS, "other", Other())
    return lambda: reconnect(dialect="other")


@pytest.mark.parametrize("answer", ["approve", "reject", "withdraw", None])
@pytest.mark.parametrize("step", ["apply", "provision", "complete"])
def test_p6_the_other_itsms_ticket_is_neither_read_nor_ended(flow, sandbox, switch, step, answer):  # noqa: F811
    sn = flow.apply()
    sandbox.wait_for_step(sn)
    if answer:
        getattr(sandbox, answer)(sn)
    switch()
    before, asked, status = flow.row, len(sandbox.requests()), sandbox.ticket(sn)["status"]
    with pytest.raises(ItsmAnotherDialectError, match=r"'v2', and .* 'other' now.*goes on once .* 'v2' again"):
        getattr(flow, step)()
    assert (flow.row, sandbox.ticket(sn)["status"]) == (before, status)
    of_tickets = [one["path"] for one in sandbox.requests()[asked:] if "ticket" in one["path"]]
    assert of_tickets == []
    assert len(sandbox.tickets()) == 1


def test_p1_once_the_connection_speaks_it_again_the_application_goes_on(flow, sandbox, switch, reconnect):  # noqa: F811
    sandbox.approve(flow.apply())
    switch()
    with pytest.raises(ItsmAnotherDialectError):
        flow.provision()
    reconnect()
    assert flow.provision()["table_id"] == "2_bklog.app_runtime"


@pytest.mark.parametrize("step", ["apply", "complete"])
def test_p2_a_lost_ticket_is_not_looked_for_in_the_other_itsm(flow, sandbox, switch, step):  # noqa: F811
    lose_the_ticket(flow, sandbox)
    switch()
    before = flow.row
    with pytest.raises(ItsmAnotherDialectError, match=r"its number is not known.*no second one was opened"):
        getattr(flow, step)()
    assert flow.row == before
    assert len(sandbox.tickets()) == 1


@pytest.mark.parametrize("step", ["apply", "provision", "complete"])
def test_p6_what_was_asked_before_there_were_several_dialects_is_v2s(flow, sandbox, switch, step):  # noqa: F811
    flow.apply()
    _in_store(request=None)
    switch()
    with pytest.raises(ItsmAnotherDialectError, match="'v2'"):
        getattr(flow, step)()


def test_p6_the_holder_of_a_collector_is_not_ended_by_the_other_itsms_ticket(sandbox, task, flow, switch):  # noqa: F811
    sandbox.reject(flow.apply())
    switch()
    with pytest.raises(ItsmAnotherDialectError):
        Flow(sandbox, task, run_id="run_2").apply()
    assert flow.row.state == "applying"


NOW = timedelta(0)


@pytest.mark.parametrize("answer", ["approve", "reject", "withdraw", None])
def test_p6_the_job_reads_and_closes_nothing_by_it_and_has_it_looked_at(job, sandbox, switch, answer):  # noqa: F811
    sn = job.apply()
    sandbox.wait_for_step(sn)
    if answer:
        getattr(sandbox, answer)(sn)
    job.runs["run_1001"] = "failed"
    switch()
    asked = len(sandbox.requests())
    report: dict[str, Any] = job.run(grace=NOW)
    (found,) = report["differences"]
    assert (found["kind"], found["action"], report["closed"]) == ("unread", "have_a_look", [])
    assert "in the dialect 'v2'" in found["said"]
    assert [one["path"] for one in sandbox.requests()[asked:]] == []
    assert job.row.state == "applying"


def test_p2_the_job_does_not_end_an_application_whose_ticket_may_be_in_the_other_itsm(job, sandbox, switch):  # noqa: F811
    sandbox.fault("create_ticket", "html")
    with pytest.raises(Exception, match="lost"):
        job.apply()
    job.runs = {}
    switch()
    assert job.run(grace=NOW)["closed"] == []
    assert job.row.state == "applying"
