# SPDX-License-Identifier: Apache-2.0
"""Callbacks that are almost right change nothing; ``python -m benchmarks.callback_mutations`` plays 10,000."""

from __future__ import annotations

from random import Random

from tests.plugins.mutations import MUTATIONS, Forger, connections, play
from tests.plugins.rows import insert_dag


def test_p4_mutated_callbacks_change_nothing_and_break_nothing(database, sandbox, monkeypatch):
    for conn_id, text in connections(sandbox).items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
    forger = Forger(sandbox=sandbox, random=Random(4))
    played = play(30 * len(MUTATIONS), forger=forger, dag_version=insert_dag())
    assert (played.changes, played.errors) == (0, 0)
    refusals = {one for one in played.results if one.startswith("refused")}
    assert refusals == {f"refused_{why}" for why in ("shape", "signature", "expired", "token", "misdirected")}
