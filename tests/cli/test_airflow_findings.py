# SPDX-License-Identifier: Apache-2.0
"""What is concluded of this Airflow."""

from __future__ import annotations

import json

import pytest

from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.cli.airflow_findings import judge_callback, judge_roles, judge_store
from airflow_provider_bkitsm.cli.fetch import Answer
from airflow_provider_bkitsm.cli.findings import Level


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
