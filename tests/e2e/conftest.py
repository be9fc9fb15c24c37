# SPDX-License-Identifier: Apache-2.0
"""One sandbox, and one Airflow for each kind of database, for all end-to-end tests."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from xdist.scheduler import LoadScopeScheduling

from airflow_provider_bkitsm.collectors.store import CollectorStore, sqlite_engine
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import FAST_APPROVAL
from demo.local_airflow import LocalAirflow
from demo.sandbox_process import SandboxProcess
from tests.collectors.servers import postgres
from tests.e2e import naming
from tests.e2e.browsing import evil, page, signed_in, viewer, window, window_of_viewer  # noqa: F401
from tests.e2e.copied_airflow import CopiedAirflow
from tests.e2e.second_server import second, stored  # noqa: F401
from tests.upgrade.wheels import BEFORE_THE_MOVE, has_history

ROOT = Path(__file__).resolve().parents[2]
DAG_ID = "bkitsm_collector_onboarding"
DAG_IDS = (
    DAG_ID,
    *(f"bkitsm_{name}" for name in ("storage_expansion", "external_permission", "taskflow", "many_collectors")),
    "bkitsm_reconcile",
    *("any_service", "mapped_tickets", "timed_out"),
    *("by_callback", "by_poll", "two_waits", "held", "withdraws_its_own"),
    *(
        "workerless",
        "nothing_to_wait_for",
        "gated",
        "gated_briefly",
        "changes_its_mind",
        "branching",
        "shared_approval",
        "mixed_businesses",
        "shown",
        "noted",
        *("not_alone", "not_alone_by_schedule", "two_agree"),
        *("outlasts_by_callback", "outlasts_by_poll"),
        *("either_by_callback", "either_by_poll", "either_collector"),
        *("reminded_v2", "reminded_v4"),
        "notified",
        "notifier_fails",
    ),
)
# A business of the log platform.
NEEDS_NO_APPROVAL = 7
SQLITE, POSTGRES = "sqlite", "postgres"
DIALECTS: tuple[Literal["v2", "v4"], ...] = ("v2", "v4")
# To an ITSM of each dialect, and to one whose default is a form for collectors.
CONNECTION_OF = {"v2": "itsm_v2", "v4": "itsm_v4"}
COLLECTORS_OF = {"v2": "bkitsm_default", "v4": "collectors_v4"}
CALM = {
    # A test that changes a DAG's file says so: to parse them all every ten seconds would take a core.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
    # Airflow's defaults: at the shorter pauses of a demo four idle Airflows take three quarters of a processor.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    # A worker whose first request is not answered within five seconds fails its task: too soon on a busy machine.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
}
# As components and tasks log it. Addresses and loggers hold the word too.
_ERROR = re.compile(r"\[(?:error|critical) |\"level\":\"(?:error|critical)\"|Traceback")
UPGRADE = "test_upgrade.py"
# What stays together, on one worker, shares an Airflow with all else there that uses the same database; the last
# three have their own. What takes longest comes first: the next is for whichever worker is free.
APART = (
    ("test_ui", "test_notes.py"),
    (SQLITE,),
    (POSTGRES,),
    ("test_abandoned.py", "test_clean_ups.py", "e2e/test_processes.py"),
    ("test_dialect",),
    ("test_kills.py",),
    (UPGRADE,),
    ("chaos/test_processes.py",),
    ("test_xcom_backend.py",),
)
# An archive or a shallow clone cannot build the version before, and the header of the test run says so.
collect_ignore = [] if has_history(BEFORE_THE_MOVE) else [UPGRADE]


def _apart(nodeid: str) -> int:
    """Return which tests a test stays together with, as a place in ``APART``."""
    database = POSTGRES if f"[{POSTGRES}" in nodeid else SQLITE
    found = (place for place, files in enumerate(APART) if any(f"/{file}" in nodeid for file in files))
    return next(found, APART.index((database,)))


class ByDatabase(LoadScopeScheduling):  # type: ignore[misc]
    """Of several workers, each has Airflows of its own: a database's tests stay together, but for some files."""

    def _split_scope(self, nodeid: str) -> str:
        return str(_apart(nodeid))


def clean(airflow: LocalAirflow, *tables: str, before: datetime) -> None:
    """Delete what is older from tables of PostgreSQL, by what ``airflow db clean`` calls once it has started."""
    from airflow.utils.db_cleanup import run_cleanup

    engine = create_engine(airflow.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], poolclass=NullPool)
    with Session(engine) as session:
        run_cleanup(
            table_names=[*tables],
            clean_before_timestamp=before,
            skip_archive=True,
            confirm=False,
            session=session,
        )
        session.commit()


def pytest_report_header() -> list[str]:
    return [f"left out, as commit {BEFORE_THE_MOVE} cannot be built here: {one}" for one in collect_ignore]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByDatabase:
    return ByDatabase(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show of a failed test what its Airflow has logged of errors since it began: the logs go with the machine."""
    report = yield
    if report.when == "call" and report.failed:
        for running in {one for one in item.funcargs.values() if isinstance(one, LocalAirflow)}:
            report.sections.append(
                (f"errors in the logs of {running.home}", "\n".join(_errors(running, report.start)))
            )
    return report


def _errors(running: LocalAirflow, since: float) -> Iterator[str]:
    for file in sorted(running.home.rglob("*.log")):
        if file.stat().st_mtime >= since:
            lines = file.read_text(errors="replace").splitlines()
            found = [line[:500] for line in lines if _ERROR.search(line)]
            yield from (f"{file.relative_to(running.home)}: {line}" for line in found[-10:])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: 1 + _apart(item.nodeid) if item.get_closest_marker("e2e") else 0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a module on Airflow with the ``DATABASES`` it names, on SQLite if it names none."""
    if "airflow" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "DATABASES", (SQLITE,))
        metafunc.parametrize("airflow", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def itsm(home: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(home=home) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def control(itsm: SandboxProcess) -> SandboxControl:
    return itsm.control


@pytest.fixture(scope="session")
def dags(home: Path) -> Path:
    folder = home / "dags"
    folder.mkdir()
    ours = Path(__file__).parent
    for place in (ROOT / "dags", ours / "dags", ours / "named_dags"):
        for file in place.glob("*.py"):
            shutil.copy(file, folder)
    return folder


def connections_by_dialect(url: str) -> dict[str, str]:
    """Return connections to the sandbox's ITSM of each dialect, as values of ``AIRFLOW_CONN_`` variables."""
    v2, v4 = (SandboxControl(url, dialect=dialect) for dialect in DIALECTS)
    form = {"workflow_key": "collector", "form_approvers": "approvals"}
    found = {
        CONNECTION_OF["v2"]: v2.connection("bkitsm", settle_seconds=2, service_id=FAST_APPROVAL),
        CONNECTION_OF["v4"]: v4.connection("bkitsm", settle_seconds=2),
        COLLECTORS_OF["v4"]: v4.connection("bkitsm", settle_seconds=2, **form),
    }
    return {f"AIRFLOW_CONN_{conn_id.upper()}": text for conn_id, text in found.items()}


@pytest.fixture(scope="session")
def airflow(
    request: pytest.FixtureRequest, home: Path, dags: Path, itsm: SandboxProcess
) -> Iterator[LocalAirflow]:
    env = {
        **itsm.control.connections(settle_seconds=2),
        **connections_by_dialect(itsm.url),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        **CALM,
        "AIRFLOW__BKITSM__COLLECT_ITSM_BUSINESSES": f"{NEEDS_NO_APPROVAL}=off",
        # One who may only look, one whom another auth manager limits to a DAG, and one without any role.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer,single:user,nobody:",
    }
    if request.param == POSTGRES:
        env |= naming.environment(itsm.control, home) | {"AIRFLOW__BKITSM__WAITING_NOTE": "zh"}
    with ExitStack() as stack:
        url = stack.enter_context(postgres()) if request.param == POSTGRES else None
        running = CopiedAirflow(home=home / request.param, dags=dags, database_url=url, env=env)
        stack.enter_context(running).wait_ready(*DAG_IDS)
        yield running
        running.kill()


@pytest.fixture(scope="session")
def store(airflow: LocalAirflow) -> CollectorStore:
    return CollectorStore(sqlite_engine(airflow.home / "bkitsm.db"))
