# SPDX-License-Identifier: Apache-2.0
"""Callbacks that are almost right change nothing; ``python -m benchmarks.callback_mutations`` plays 10,000."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.plugins.mutations import MUTATIONS, Forger, connections, play
from tests.plugins.rows import insert_dag


@pytest.fixture(scope="module")
def dag_version(database) -> Any:
    return insert_dag()


@pytest.mark.parametrize("dialect", ["v2", "v4"])
def test_p4_mutated_callbacks_change_nothing_and_break_nothing(dag_version, sandbox, monkeypatch, dialect):
    sandbox.dialect = dialect
    for conn_id, text in connections(sandbox).items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
    forger = Forger(sandbox=sandbox, random=Random(4))
    played = play(30 * len(MUTATIONS), forger=forger, dag_version=dag_version)
    assert (played.changes, played.errors) == (0, 0)
    refusals = {one for one in played.results if one.startswith("refused")}
    assert refusals == {f"refused_{why}" for why in ("shape", "signature", "expired", "misdirected", "token")}
