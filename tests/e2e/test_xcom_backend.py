# SPDX-License-Identifier: Apache-2.0
"""Beside an XCom backend that stores references the pages show who decided, and the DAG goes on as ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.airflow_api import wait_until
from demo.local_airflow import LocalAirflow
from tests.e2e.conftest import CALM
from tests.e2e.copied_airflow import CopiedAirflow
from tests.e2e.named_dags.named import NAMES, ONE_TASK
from tests.e2e.naming import LOGS_BY_NUMBER, NamedRun

DAGS = (ONE_TASK, *NAMES[:2])


@pytest.fixture(scope="module")
def referring(tmp_path_factory, itsm) -> Iterator[LocalAirflow]:
    env = {
        **itsm.control.connections(settle_seconds=2),
        "AIRFLOW__CORE__XCOM_BACKEND": "tests.e2e.references.References",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        **LOGS_BY_NUMBER,
        **CALM,
    }
    home, dags = tmp_path_factory.mktemp("referring"), Path(__file__).parent / "named_dags"
    with CopiedAirflow(home=home / "airflow", dags=dags, env=env) as running:
        running.wait_ready(*(dag for dag, *_ in DAGS))
        yield running
        running.kill()


def test_a_decided_wait_is_shown_with_its_verdict_and_its_deciders(referring, itsm):
    runs = {
        (dag, decision): NamedRun(airflow=referring, dag=dag, tasks=tuple(tasks), run=decision).start()
        for dag, *tasks in DAGS
        for decision in ("approve", "reject")
    }
    for (_, decision), run in runs.items():
        itsm.decide(wait_until(run.ticket, lambda one=run: str(one)), decision, "go")
    open_ones = lambda: [run for run in runs.values() if run.is_open()]  # noqa: E731
    wait_until(lambda: not open_ones(), lambda: "\n".join(map(str, open_ones())))
    shown = {key: (run.row()["status"], run.row()["decided_by"]) for key, run in runs.items()}
    words = {"approve": "approved", "reject": "rejected"}
    assert shown == {key: (words[key[1]], ["admin"]) for key in runs}
    wanted = {("approve", "success"), ("reject", "failed")}
    states = lambda: {(decision, run.state()) for (_, decision), run in runs.items()}  # noqa: E731
    wait_until(lambda: states() == wanted, states)
