# SPDX-License-Identifier: Apache-2.0
"""A task in Airflow's own database, and what schedulers, workers and people do to it between two of its tries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

from airflow_provider_bkitsm.tickets.approval import Attempt

DAG_ID, GATE, OTHER, BUNDLE = "rounds", "gate", "other", "rounds_bundle"
RETRIES = 2
_numbers = count()
# By the number of its retries.
_read: dict[int, Any] = {}
# The number of retries in the DAG's newest version.
_written: list[int] = []


class Gate:
    """One task of one run; every step ends with its next try on a worker.

    ``tries`` holds what each try was shown by Airflow, and the number of the approval round it belongs to.
    """

    def __init__(self) -> None:
        self.run_id = f"run_{next(_numbers)}"
        self.round = 1
        self.tries: list[tuple[int, Attempt]] = []
        self._retries = RETRIES
        if _written != [RETRIES]:
            self._write_dag(RETRIES)
        self._make_run()

    # -- what nobody did to begin a round anew ---------------------------------------------------------------

    def begins(self) -> None:
        """The scheduler gives the task to a worker, for the first time."""
        self._runs()

    def fails(self) -> None:
        """The worker's try fails, or is lost with its worker, and Airflow tries again if it may."""
        from airflow.models.taskinstance import TaskInstance

        states: list[str] = []

        def fail(session: Any, ti: Any, run: Any) -> None:
            ti.task = self._dag(session).get_task(GATE)
            failed = TaskInstance.fetch_handle_failure_context(ti=ti, error=None, session=session)
            failed = failed["ti"] if isinstance(failed, dict) else failed
            states.append(str(session.merge(failed).state))

        self._change(fail)
        if states != ["failed"]:
            self._runs()

    def loses_its_scheduler(self) -> None:
        """A scheduler is killed, and the next one starts what it had started once more."""

        def reset(session: Any, ti: Any, run: Any) -> None:
            ti.prepare_db_for_next_try(session=session)
            ti.state = None
            ti.clear_next_method_args()

        self._change(reset)
        self._runs()

    def waits_and_resumes(self) -> None:
        """It gives its worker back, and comes to another one when its trigger fires."""
        self._set("deferred")
        self._set("scheduled")
        self._starts()

    def has_another_task_cleared(self) -> None:
        """A person clears another task of the run, then this one fails and is tried again."""
        self._clear(task_id=OTHER)
        self.fails()

    def has_its_retries_lowered(self) -> None:
        """The DAG's author changes the DAG; the next try sees it."""
        self._write_dag(max(self._retries - 1, 0))

    def has_its_retries_raised(self) -> None:
        """As before."""
        self._write_dag(self._retries + 1)

    # -- what begins a round ---------------------------------------------------------------------------------

    def is_cleared(self) -> None:
        """A person clears the task while it waits."""
        self._new_round(state="deferred")

    def is_cleared_but_not_its_run(self) -> None:
        """As ``reset_dag_runs: false`` asks the API."""
        self._new_round(state="deferred", dag_run_state=False)

    def is_cleared_after_its_run_ended(self) -> None:
        self._end_run()
        self._new_round(state="success")

    def is_cleared_after_its_run_ended_but_not_its_run(self) -> None:
        self._end_run()
        self._new_round(state="success", dag_run_state=False)

    def is_cleared_while_it_runs(self) -> None:
        self._new_round(state="running")

    def is_cleared_while_it_runs_but_not_its_run(self) -> None:
        self._new_round(state="running", dag_run_state=False)

    def is_cleared_between_two_changes_of_its_retries(self) -> None:
        """The DAG says the same before and after."""
        self._twice_changed()

    def is_cleared_between_two_changes_but_not_its_run(self) -> None:
        self._twice_changed(dag_run_state=False)

    def has_its_run_deleted_and_made_again(self) -> None:
        """The run comes back under its id."""

        def delete(session: Any, ti: Any, run: Any) -> None:
            session.delete(run)

        self._change(delete)
        self.round += 1
        self._make_run()
        self._runs()

    def has_its_run_made_again_and_fails_at_once(self) -> None:
        """The new run's first try ends before it comes to ask."""
        self.has_its_run_deleted_and_made_again()
        self.tries.pop()
        self.fails()

    # -- how -------------------------------------------------------------------------------------------------

    def _new_round(self, *, state: str, **how: Any) -> None:
        self._set(state)
        self._clear(**how)
        self.round += 1
        if state == "running":
            self.fails()
        else:
            self._runs()

    def _twice_changed(self, **how: Any) -> None:
        before = self._retries
        self._write_dag(max(before - 1, 0))
        self._set("deferred")
        self._clear(**how)
        self._write_dag(before)
        self.round += 1
        self._runs()

    def _clear(self, task_id: str = GATE, **how: Any) -> None:
        from airflow.models.taskinstance import clear_task_instances

        def clear(session: Any, ti: Any, run: Any) -> None:
            tis = [one for one in run.get_task_instances(session=session) if one.task_id == task_id]
            clear_task_instances(tis, session, **how)

        self._change(clear)

    def _runs(self) -> None:
        """The scheduler starts the run if it must, and gives the task's next try to a worker."""
        from airflow.utils.state import DagRunState

        def schedule(session: Any, ti: Any, run: Any) -> None:
            if run.start_date is None:
                run.state, run.start_date = DagRunState.RUNNING, datetime.now(UTC)
            ti.task = self._dag(session).get_task(GATE)
            run.schedule_tis([ti], session=session)

        self._change(schedule)
        self._starts()

    def _starts(self) -> None:
        self._change(self._note)

    def _note(self, _session: Any, ti: Any, run: Any) -> None:
        """Note what a worker is shown as it starts: as the API server sends it, and as the Task SDK reads it."""
        from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun as Sent
        from airflow.sdk.api.datamodels._generated import DagRun as Read

        ti.state = "running"
        shown = Read.model_validate_json(Sent.model_validate(run, from_attributes=True).model_dump_json())
        attempt = Attempt(
            ti_id=str(ti.id),
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            retries=self._retries,
            clear_number=shown.clear_number,
            run_started=None if shown.start_date is None else shown.start_date.isoformat(),
        )
        self.tries.append((self.round, attempt))

    def _make_run(self) -> None:
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        now = datetime.now(UTC)
        with create_session(scoped=False) as session:
            self._dag(session).create_dagrun(
                run_id=self.run_id,
                logical_date=None,
                run_after=now,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.RUNNING,
                start_date=now,
                session=session,
            )

    def _end_run(self) -> None:
        def end(session: Any, ti: Any, run: Any) -> None:
            from airflow.utils.state import DagRunState

            run.state = DagRunState.SUCCESS

        self._change(end)

    def _write_dag(self, retries: int) -> None:
        self._retries = retries
        write_dag(retries)
        _written[:] = [retries]

    def _dag(self, session: Any) -> Any:
        """Return the DAG as Airflow reads it: what was written with as many retries reads the same."""
        from airflow.models.dagbag import DBDagBag

        if self._retries not in _read:
            _read[self._retries] = DBDagBag().get_latest_version_of_dag(DAG_ID, session=session)
        return _read[self._retries]

    def _set(self, state: str) -> None:
        def change(session: Any, ti: Any, run: Any) -> None:
            ti.state = state

        self._change(change)

    def _change(self, change: Callable[[Any, Any, Any], None]) -> None:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session(scoped=False) as session:
            run = session.scalars(select(DagRun).where(DagRun.run_id == self.run_id)).one()
            run.dag = self._dag(session)
            ti = next(one for one in run.get_task_instances(session=session) if one.task_id == GATE)
            change(session, ti, run)


STEPS: tuple[Callable[[Gate], None], ...] = (
    Gate.fails,
    Gate.loses_its_scheduler,
    Gate.waits_and_resumes,
    Gate.has_another_task_cleared,
    Gate.has_its_retries_lowered,
    Gate.has_its_retries_raised,
    Gate.is_cleared,
    Gate.is_cleared_but_not_its_run,
    Gate.is_cleared_after_its_run_ended,
    Gate.is_cleared_after_its_run_ended_but_not_its_run,
    Gate.is_cleared_while_it_runs,
    Gate.is_cleared_while_it_runs_but_not_its_run,
    Gate.is_cleared_between_two_changes_of_its_retries,
    Gate.is_cleared_between_two_changes_but_not_its_run,
    Gate.has_its_run_deleted_and_made_again,
    Gate.has_its_run_made_again_and_fails_at_once,
)


def write_dag(retries: int) -> None:
    """Write the DAG as its processor does."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        if session.get(DagBundleModel, BUNDLE) is None:
            session.add(DagBundleModel(name=BUNDLE))
            session.flush()
            place = {"fileloc": "/dags/rounds.py", "relative_fileloc": "rounds.py"}
            session.add(DagModel(dag_id=DAG_ID, bundle_name=BUNDLE, max_active_tasks=1, **place))
            session.flush()
        SerializedDagModel.write_dag(_serialised(retries), bundle_name=BUNDLE, session=session)


@cache
def _serialised(retries: int) -> Any:
    from airflow.sdk import DAG, BaseOperator
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    with DAG(DAG_ID, schedule=None) as dag:
        for task_id in (GATE, OTHER):
            BaseOperator(task_id=task_id, retries=retries)
    return LazyDeserializedDAG.from_dag(dag)
