# SPDX-License-Identifier: Apache-2.0
"""``CollectorReconcileOperator``: finds the applications about which store and ITSM disagree."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_bkitsm.collectors.errors import CollectItsmConflict
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.operators.collector_base import CollectorStoreMixin, ReadsStoredVerdict
from airflow_provider_bkitsm.version_compat import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_provider_bkitsm.collectors.reconcile import Finding, Reading
    from airflow_provider_bkitsm.collectors.row import CollectorRow, Owner
    from airflow_provider_bkitsm.tickets.wait_reconciliation import WaitReport

log = logging.getLogger(__name__)

_OVER = frozenset({"success", "failed"})
# Not a state of Airflow: Airflow has no such run.
_GONE = "gone"
_NOT_FOUND = 404


class CollectorReconcileOperator(ReadsStoredVerdict, CollectorStoreMixin, BaseOperator):
    """Compares every collector that is ``applying`` in the store with its ticket, and reports differences.

    ITSM is asked about our own tickets only (P6). Nothing is completed or provisioned: an approved application
    goes on in its own run only (P3, P7), and the report names the run to clear.

    One thing is changed, unless ``close_refused`` is off. An application becomes ``fail_apply``, with an audit
    entry, if its ticket was refused, withdrawn or terminated, and its run is over or has not ended the application
    within ``grace``: it would lock its collector for ever. The application is left alone if it has changed in the
    meantime, has another ticket by now, or was read as approved before. Three kinds of ticket close nothing: one
    that ended without a person's answer, one that ITSM does not know, and one without our mark.

    If Airflow does not have the run any more, or the run is over and the task that applied or waited was deleted,
    nobody can clear it to go on. Then an application is ended as well if it was approved, needed no approval, or
    never had a ticket. An open ticket is left to people.

    The operator also ends the tickets of waits that were ended from outside while no triggerer ran (P5), as their
    ``when_killed`` says: those of sensors and approvals of every DAG on this connection.

    Returns ``applying`` (how many), ``kinds`` (the number of each kind), ``differences`` (see
    :meth:`~airflow_provider_bkitsm.collectors.reconcile.Finding.as_dict`) and ``closed`` (ticket numbers); where
    there are any, ``withdrawn`` and ``left_open``: tickets of waits.
    Fails only if ITSM or the store cannot be read; a retry is safe.

    :param close_refused: end refused applications; False only reports them.
    :param fail_on_difference: fail for good if anything is left for a person to do.
    :param grace: how long a run may take to end its application itself, after its ticket has ended.
    :param overdue_after: how long approvers may take before the application is reported.
    :param bklog_conn_id: only collectors of this log platform connection; None takes all. (templated)
    :param bkitsm_conn_id: connection of type ``bkitsm``; tickets that were opened with another one are left
        alone, so each ITSM has a task of its own. So are those of another Airflow that shares the store.
        (templated)
    :param store_conn_id: database of the collectors' state; None takes ``[bkitsm] store_conn_id``. (templated)
    :param verdict_field: see :class:`~airflow_provider_bkitsm.sensors.ticket.ItsmTicketSensor`; what an
        application has stored counts before it, and so for the other three. (templated)
    :param verdict_value: likewise. (templated)
    :param require_evidence: likewise.
    :param accept_automatic: likewise.
    """

    template_fields: Sequence[str] = (
        "bklog_conn_id",
        "bkitsm_conn_id",
        "store_conn_id",
        "verdict_field",
        "verdict_value",
    )
    ui_color = "#eaf6ec"

    def __init__(
        self,
        *,
        close_refused: bool = True,
        fail_on_difference: bool = False,
        grace: timedelta = timedelta(hours=1),
        overdue_after: timedelta = timedelta(days=7),
        bklog_conn_id: str | None = None,
        bkitsm_conn_id: str = "bkitsm_default",
        store_conn_id: str | None = None,
        verdict_field: str | None = None,
        verdict_value: str | None = None,
        require_evidence: bool | None = None,
        accept_automatic: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.close_refused = close_refused
        self.fail_on_difference = fail_on_difference
        self.grace = grace
        self.overdue_after = overdue_after
        self.bklog_conn_id = bklog_conn_id
        self.bkitsm_conn_id = bkitsm_conn_id
        self.store_conn_id = store_conn_id
        self.verdict_field = verdict_field
        self.verdict_value = verdict_value
        self.require_evidence = require_evidence
        self.accept_automatic = accept_automatic

    def verdict_settings_of(self, row: CollectorRow) -> dict[str, Any]:
        """Return a ticket's verdict settings: those stored with its application, else those of this task."""
        named = {key: value for key, value in self.verdict_settings.items() if value is not None}
        return {**named, **(row.verdict_settings or {})}

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the store, then ITSM, then the runs; end the applications that may be ended; report the others."""
        from airflow_provider_bkitsm.collectors.reconcile import report

        rows = self._own_rows()
        waits = self._reconcile_waits(rows, context)
        readings = self._read(rows)
        findings = self._findings(rows, readings, context, deleted=waits.deleted)
        differences = [one for one in findings if one.is_difference]
        for one in differences:
            log.warning("%s", one)
        closed = [one for one in differences if self._close(one, readings)]
        result = report(findings, closed) | _report_of(waits)
        log.info("%d collectors are applying: %s", len(rows), result["kinds"])
        _raise_outage(readings)
        left = [one for one in differences if one not in closed]
        if left and self.fail_on_difference:
            context["ti"].xcom_push(key="return_value", value=result)
            raise AirflowFailException("; ".join(map(str, left)))
        return result

    def _own_rows(self) -> list[CollectorRow]:
        """Return this Airflow's applications whose tickets are in this task's ITSM, by what their rows say.

        Another Airflow that shares the store has runs which this one knows nothing of.
        """
        from airflow_provider_bkitsm.tickets.approval_store import installation

        found, here = self.store.applying(self.bklog_conn_id), installation()
        applying = [row for row in found if row.is_of(here)]
        if elsewhere := sorted({str(row.installation) for row in found if not row.is_of(here)}):
            log.info("collectors for which another Airflow applies are left to it: %s", ", ".join(elsewhere))
        rows = [row for row in applying if row.is_in(self.bkitsm_conn_id)]
        if others := {str(row.bkitsm_conn_id) for row in applying} - {str(row.bkitsm_conn_id) for row in rows}:
            log.info("tickets of other ITSM connections are left to their tasks: %s", ", ".join(sorted(others)))
        return rows

    def _reconcile_waits(self, rows: Sequence[CollectorRow], context: Context) -> WaitReport:
        from airflow_provider_bkitsm.tickets.wait_reconciliation import reconcile_waits

        needed = {row.ticket_sn for row in rows if row.ticket_sn}
        return reconcile_waits(self.hook, ask=partial(_task_states, context["ti"]), keep=needed)

    def _read(self, rows: Sequence[CollectorRow]) -> dict[str, Reading]:
        from airflow_provider_bkitsm.collectors.reconcile import read_all, undecided

        open_rows = undecided(rows)
        if not open_rows:
            return {}
        others = {sn: error for sn, row in open_rows.items() if (error := self.another_dialect_of(row))}
        policies = {sn: self.verdict_policy_of(row) for sn, row in open_rows.items() if sn not in others}
        return {**self.hook.run(read_all(policies)), **others}

    def _findings(
        self,
        rows: Sequence[CollectorRow],
        readings: Mapping[str, Reading],
        context: Context,
        *,
        deleted: Collection[str],
    ) -> list[Finding]:
        """Compare applications with tickets, except those that have changed since the store was read."""
        from airflow_provider_bkitsm.collectors.reconcile import Limits, find

        limits = Limits(grace=self.grace, overdue_after=self.overdue_after)
        run_state = cache(partial(_run_state, context["ti"]))
        found = []
        for row in rows:
            state = run_state(row.owner.dag_id, row.owner.run_id) if row.owner else None
            cut_off = state in _OVER and (row.ticket_sn in deleted or _is_deleted(context["ti"], row.owner))
            gone = state == _GONE or cut_off
            over = None if state in (None, _GONE) else state in _OVER
            reading = readings.get(str(row.ticket_sn))
            finding = find(row, reading, run_is_over=over, run_is_gone=gone, now=datetime.now(UTC), limits=limits)
            found.append(finding)
        return [one for one in found if not one.is_difference or self._is_current(one.row)]

    def _is_current(self, row: CollectorRow) -> bool:
        return self.store.get(row.bklog_conn_id, row.collector_config_id).version == row.version

    def _close(self, finding: Finding, readings: Mapping[str, Reading]) -> bool:
        """End an application if, by the store, the ticket is still its own and the verdict is still the first."""
        from airflow_provider_bkitsm.collectors.reconcile import Kind

        if finding.action != "close" or not self.close_refused:
            return False
        row = finding.row
        key, verdict = (row.bklog_conn_id, row.collector_config_id), readings.get(str(row.ticket_sn))
        try:
            if row.ticket_sn is None and self._has_appeared(row):
                return False
            if isinstance(verdict, Verdict):
                row = self.store.decided(
                    *key, sn=str(row.ticket_sn), outcome=verdict.outcome, detail=verdict.as_dict()
                )
            if row.outcome is Outcome.APPROVED and finding.kind is not Kind.APPROVED:
                return False
            named = {"tag": row.tag} if row.ticket_sn is None else {"sn": row.ticket_sn}
            self.store.fail(*key, **named, reason=f"{finding.reason}; ended by reconciliation")
        except CollectItsmConflict as error:
            log.warning("not ended after all: %s", error)
            return False
        except ItsmError as error:
            log.warning("%s is not ended: whether it has a ticket could not be read: %s", row.name, error)
            return False
        log.warning("%s is fail_apply now and can be applied for again", row.name)
        return True

    def _has_appeared(self, row: CollectorRow) -> bool:
        """Search for the ticket of an application without a number; True where it exists, or may still appear."""
        from airflow_provider_bkitsm.tickets.opener import TicketKey, TicketOpener

        if row.create_started_at is None:
            return False
        self.check_dialect(row)
        creator = str((row.request or {}).get("creator") or self.hook.gateway.username)
        handle = TicketKey(tag=str(row.tag), creator=creator, since=row.create_started_at)
        opener = TicketOpener(hook=self.hook)
        found = opener.look_for(handle, seconds=0)
        if found is None:
            return opener.seconds_left(handle) > 0
        key = (row.bklog_conn_id, row.collector_config_id)
        self.store.ticket_opened(*key, tag=handle.tag, sn=found.sn, url=found.ticket_url)
        log.warning("%s: its ticket %s was found, whose number had got lost", row.name, found.sn)
        return True


def _run_state(ti: RuntimeTaskInstanceProtocol, dag_id: str, run_id: str) -> str | None:
    """Ask Airflow for the state of a run: ``_GONE`` for no such run, None where Airflow gives no answer."""
    try:
        state = ti.get_dagrun_state(dag_id, run_id)
    except AirflowRuntimeError as error:
        log.warning("run %s of DAG %s: %s", run_id, dag_id, error)
        detail = error.error.detail or {}
        return _GONE if detail.get("status_code") == _NOT_FOUND else None
    # The state is an enum whose text is not its value.
    return str(getattr(state, "value", state))


def _is_deleted(ti: RuntimeTaskInstanceProtocol, owner: Owner | None) -> bool:
    """Ask Airflow whether the task that applied was deleted; False where Airflow gives no answer."""
    if owner is None:
        return False
    task = {"dag_id": owner.dag_id, "run_ids": [owner.run_id], "task_ids": [owner.task_id]}
    try:
        found = _task_states(ti, **task, map_index=owner.map_index)
    except AirflowRuntimeError as error:
        log.warning("%s: %s", owner, error)
        return False
    return not any(found.values())


def _task_states(ti: RuntimeTaskInstanceProtocol, **tasks: Any) -> Mapping[str, Mapping[str, str | None]]:
    """Ask Airflow for the states of tasks, by run and task id."""
    return ti.get_task_states(**tasks)


def _report_of(waits: WaitReport) -> dict[str, Any]:
    """Return the part of the result about waits, without empty lists."""
    tickets = {"withdrawn": waits.withdrawn, "left_open": waits.left_open}
    return {name: numbers for name, numbers in tickets.items() if numbers}


def _raise_outage(readings: Mapping[str, Reading]) -> None:
    """Raise the error of a ticket that a retry may read. All other tickets have been handled by then."""
    for one in readings.values():
        if isinstance(one, ItsmError) and one.retry_safe:
            raise one
