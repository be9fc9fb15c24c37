# SPDX-License-Identifier: Apache-2.0
"""What is tried again, how often, and after which pause."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk import Connection
from tenacity import Retrying

from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.responses import policy
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2 import calls

READ = calls.get_ticket_status("REQ1")
WRITE = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m")
DOWN = errors.ItsmUnavailableError("down")


@pytest.fixture
def gateway() -> Gateway:
    fields = {"host": "https://x", "login": "a", "password": "b"}
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", **fields))


def attempts(call, gateway, error) -> tuple[int, list[float]]:
    made, pauses = [], []

    def fail():
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        Retrying(**policy(call, gateway), sleep=pauses.append)(fail)
    return len(made), pauses


def test_a_read_is_tried_three_times_with_growing_pauses(gateway):
    made, pauses = attempts(READ, gateway, DOWN)
    assert made == 3
    assert 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 1.5


def test_p2_a_write_is_never_repeated(gateway):
    assert attempts(WRITE, gateway, DOWN)[0] == 1


@pytest.mark.parametrize(
    "error",
    [errors.ItsmAuthenticationError("x"), errors.ItsmRefusedError("x"), errors.ItsmOutcomeUnknownError("x")],
)
def test_what_repeating_does_not_help_is_not_repeated(gateway, error):
    assert attempts(READ, gateway, error)[0] == 1


def test_the_gateways_own_pause_is_kept(gateway):
    made, pauses = attempts(READ, gateway, errors.ItsmRateLimitedError("slow", retry_after=7))
    assert (made, pauses) == (3, [7, 7])


def test_a_pause_too_long_to_sit_out_is_left_to_the_caller(gateway):
    assert attempts(READ, gateway, errors.ItsmRateLimitedError("slow", retry_after=600))[0] == 1


@pytest.mark.parametrize(("written", "made"), [("0", 1), (5, 6)])
def test_the_connection_says_how_often(gateway, written, made):
    assert attempts(READ, replace(gateway, extra={"read_retries": written}), DOWN)[0] == made


@pytest.mark.parametrize("wrong", ["-1", "often", 1.5])
def test_a_number_of_retries_that_is_none_is_named(gateway, wrong):
    with pytest.raises(errors.ItsmConfigurationError, match="read_retries"):
        policy(READ, replace(gateway, extra={"read_retries": wrong}))


def test_an_outage_of_a_moment_is_not_noticed(sandbox, connections, monkeypatch):
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections("patient", conn_type="bkitsm", host=sandbox.itsm_url, **login)
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
    sandbox.fault("get_services", "html")
    sandbox.fault("get_services", "status", status=502)
    assert ItsmHook("patient").get_services()
    assert len(sandbox.requests("get_services")) == 3
