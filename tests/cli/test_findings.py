# SPDX-License-Identifier: Apache-2.0
"""What is concluded from what was seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.cli.fetch import Answer
from airflow_provider_bkitsm.cli.findings import (
    Grant,
    Level,
    judge_callback,
    judge_clock,
    judge_connection,
    judge_grant,
    judge_roles,
    judge_store,
)
from airflow_provider_bkitsm.itsm import errors

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRANT = Grant(purpose="read", needed=True, lacking="nothing works")


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0, "ok"), (59, "ok"), (-59, "ok"), (60, "warning"), (-299, "warning"), (300, "wrong"), (-86400, "wrong")],
)
def test_a_clock_is_judged_in_both_directions(seconds, level):
    found = judge_clock("clock", format_datetime(NOW - timedelta(seconds=seconds), usegmt=True), NOW)
    assert found.level == level
    assert ("ahead of" if seconds > 0 else "behind") in found.text or level == "ok"


@pytest.mark.parametrize("date", [None, "", "soon", "Thu, 32 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00"])
def test_a_time_that_cannot_be_read_is_a_warning(date):
    assert judge_clock("clock", date, NOW).level is Level.WARNING


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (None, "ok"),
        (errors.ItsmTicketNotFoundError("no such ticket"), "ok"),
        (errors.ItsmInvalidRequestError("no such id"), "ok"),
        (errors.ItsmRefusedError("over"), "ok"),
        (errors.ItsmCrashError("page"), "ok"),
        (errors.ItsmPermissionError("denied"), "wrong"),
        (errors.ItsmAuthenticationError("who"), "wrong"),
        (errors.ItsmEndpointNotFoundError("no path"), "wrong"),
        (errors.ItsmUnavailableError("down"), "wrong"),
        (errors.ItsmTimeoutError("late"), "wrong"),
    ],
)
@pytest.mark.parametrize("needed", [True, False])
def test_a_grant_is_judged_by_whether_the_gateway_let_it_through(error, level, needed):
    grant = Grant(purpose="read", needed=needed, lacking="nothing works")
    found = judge_grant(grant, error, app_code="mine")
    assert found is not None
    assert found.level == (level if needed or level == "ok" else "warning")
    assert bool(found.cure) is (found.level != "ok")


def test_what_a_version_of_itsm_has_not_is_no_grant():
    assert judge_grant(GRANT, errors.ItsmConfigurationError("lacks"), app_code="mine") is None


@pytest.mark.parametrize(
    ("result", "levels"),
    [
        (Result.UNKNOWN, {"callback": "ok", "signing keys": "ok"}),
        (Result.REFUSED_SIGNATURE, {"callback": "ok", "signing keys": "wrong"}),
        (Result.BUSY, {"callback": "ok", "signing keys": "warning"}),
    ],
)
def test_only_the_receivers_own_answers_are_believed(result, levels):
    status, body = answer(result)
    found = judge_callback("http://a", Answer(status=status, body=json.dumps(body).encode()))
    assert {one.check: one.level for one in found} == levels
    for other in (b"", b"{}", b"null", b"<html>", b"[" * 10_000):
        (only,) = judge_callback("http://a", Answer(status=status, body=other))
        assert (only.check, only.level) == ("callback", "wrong")
        assert only.cure


@pytest.mark.parametrize("status", [200, 204, 301, 401, 403, 404, 405, 500, 501, 502])
def test_every_other_answer_is_wrong_and_has_a_cure(status):
    (found,) = judge_callback("http://a", Answer(status=status))
    assert (found.level, bool(found.cure)) == ("wrong", True)


def test_the_roles_that_see_nothing_are_named_with_the_command_for_them():
    found = judge_roles("FabAuthManager", {"Viewer", "User", "my team"})
    assert found.level is Level.WARNING
    assert found.cure == "airflow roles add-perms User Viewer 'my team' -a can_read -r Plugins"
    assert judge_roles("FabAuthManager", set()).level is Level.OK
    assert judge_roles("SimpleAuthManager", None).level is Level.OK


def test_a_file_is_shared_where_all_tasks_run_on_this_machine():
    given = {"version": 3, "newest": 3}
    assert len(judge_store("f", **given, is_file=True, elsewhere=())) == 1
    assert len(judge_store("f", **given, is_file=False, elsewhere=("CeleryExecutor",))) == 1
    _, shared = judge_store("f", **given, is_file=True, elsewhere=("CeleryExecutor",))
    assert shared.level is Level.WARNING


@pytest.mark.parametrize(
    ("source", "words", "each_needs_it"),
    [
        ("EnvironmentVariablesBackend", "environment variable", True),
        ("MetastoreBackend", "Airflow's database", False),
        ("VaultBackend", "VaultBackend", False),
    ],
)
def test_where_a_connection_is_read_is_said(source, words, each_needs_it):
    found = judge_connection("c", conn_type="bkitsm", source=source, root="https://a")
    assert words in found.text
    assert ("each need it in their own" in found.text) is each_needs_it
