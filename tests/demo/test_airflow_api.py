# SPDX-License-Identifier: Apache-2.0
"""What the client of Airflow's REST API does with a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from demo.airflow_api import AirflowApi
from tests.sandbox.receiver import Received, Receiver

BUSY = (500, json.dumps({"detail": {"reason": "Database error", "statement": "INSERT"}}))
DONE = (200, json.dumps({"dag_run_id": "one"}))


@pytest.fixture
def airflow() -> Iterator[Receiver]:
    with Receiver(text=json.dumps({"access_token": "any"})) as receiver:
        yield receiver


def signed_in(airflow: Receiver, *answers: tuple[int, str]) -> AirflowApi:
    """Return a client that gets these answers in turn."""
    api = AirflowApi(url=f"http://{airflow.netloc}", username="admin", password="any")
    coming = list(answers)

    def answer(_request: Received) -> None:
        airflow.status, airflow.text = coming.pop(0)

    airflow.meanwhile = answer
    return api


def runs_asked_for(airflow: Receiver) -> int:
    return sum(one.path.endswith("/dagRuns") for one in airflow.received)


def test_what_a_busy_database_rolled_back_is_asked_again(airflow):
    assert signed_in(airflow, BUSY, BUSY, DONE).trigger("any_dag") == "one"
    assert runs_asked_for(airflow) == 3


@pytest.mark.parametrize("refusal", [(500, "Internal Server Error"), (404, "{}"), (400, BUSY[1])])
def test_any_other_refusal_is_final(airflow, refusal):
    with pytest.raises(RuntimeError, match=f"POST dags/any_dag/dagRuns: HTTP {refusal[0]}"):
        signed_in(airflow, refusal, DONE).trigger("any_dag")
    assert runs_asked_for(airflow) == 1


def test_a_database_that_stays_busy_is_said_with_its_reason(airflow):
    with pytest.raises(RuntimeError, match="INSERT"):
        signed_in(airflow, *[BUSY] * 4).trigger("any_dag")
