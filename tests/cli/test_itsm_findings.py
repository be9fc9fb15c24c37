# SPDX-License-Identifier: Apache-2.0
"""What is concluded of a connection, and of what ITSM answers."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.cli.itsm_findings import Grant, judge_connection, judge_grant
from airflow_provider_bkitsm.itsm import errors

GRANT = Grant(purpose="read", needed=True, lacking="nothing works")


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
