# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of DAGs that ask for approvals. Importing this costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from airflow_provider_bkitsm.plugins.metadata.airflow_models import DagRun
    from airflow_provider_bkitsm.testing.sandbox import BkItsmSandbox


@pytest.fixture
def bkitsm_dialect() -> Literal["v2", "v4"]:
    """The version of ITSM that ``bkitsm_default`` leads to; override it, or parametrise it, for another one."""
    return "v2"


@pytest.fixture
def bkitsm_sandbox(bkitsm_dialect: Literal["v2", "v4"]) -> Iterator[BkItsmSandbox]:
    """Serve ITSM and the log platform on a free port of this machine, with nothing in it yet."""
    from airflow_provider_bkitsm.testing.sandbox import BkItsmSandbox

    with BkItsmSandbox(dialect=bkitsm_dialect) as sandbox:
        yield sandbox


@pytest.fixture
def bkitsm_connections(bkitsm_sandbox: BkItsmSandbox, monkeypatch: pytest.MonkeyPatch) -> BkItsmSandbox:
    """Define ``bkitsm_default`` and ``bklog_default`` for one test; return the sandbox they lead to."""
    for name, value in bkitsm_sandbox.connections().items():
        monkeypatch.setenv(name, value)
    return bkitsm_sandbox


@pytest.fixture
def bkitsm_run(
    bkitsm_connections: BkItsmSandbox,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., DagRun]:
    """Return a function that runs a DAG in this process, wherever it is defined, and returns its run.

    It takes the DAG and what ``DAG.test`` takes. Each test has a store of its own: no approval of another test
    counts.
    """
    import airflow.settings  # noqa: F401

    # Airflow has read its own home by now: only the store is elsewhere.
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("bkitsm")))
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    # A DAG that an earlier test has changed is written again at once.
    monkeypatch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")

    def run(dag: DAG, **options: Any) -> DagRun:
        _serialise(dag)
        ended: DagRun = dag.test(**options)
        return ended

    return run


def _serialise(dag: DAG) -> None:
    """Write a DAG into Airflow's database: ``DAG.test`` finds it there, and otherwise in the DAGs' folder only."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from sqlalchemy.exc import DatabaseError

    from airflow_provider_bkitsm.version_compat import write_dag

    manager = DagBundlesManager()  # type: ignore[no-untyped-call]
    try:
        manager.sync_bundles_to_db()
    except DatabaseError as error:
        pytest.fail(f"Airflow's database has no tables, or old ones: run airflow db migrate first ({error})")
    write_dag(dag, bundle_name=next(iter(manager.get_all_dag_bundles())).name)
