# SPDX-License-Identifier: Apache-2.0
"""Finding the applications that store and ITSM disagree about."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_bkitsm.collectors.errors import CollectItsmConflict
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.operators.collector_base import CollectorStoreMixin, ReadsStoredVerdict
from airflow_provider_bkitsm.version_compat import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_provider_bkitsm.collectors.reconcile import Finding, Seen
    from airflow_provider_bkitsm.collectors.row import CollectorRow

log = logging.getLogger(__name__)

_OVER = frozenset({"success", "failed"})


class CollectorReconcileOperator(ReadsStoredVerdict, CollectorStoreMixin, BaseOperator):
    """Compares every collector that is ``applying`` in the store with its ticket, and reports differences.

    ITSM is asked about our own tickets only (P6). Nothing is ever completed or provisioned: an approval goes on
    in its own run only (P3, P7), which the report names, to be cleared. One thing is changed, unless
    ``close_refused`` is off: an application whose ticket was refused, withdrawn or terminated, and whose run is
    over or has not ended it within ``grace``, becomes ``fail_apply`` with its entry in the audit. It would lock
    its collector for ever. It is left alone if it changed in the meantime, has another ticket by now, or was
    read as approved before. A ticket that ended without a person's answer, that ITSM does not know, or that
    does not carry our mark closes nothing.

    Returns ``applying`` (how many), ``kinds`` (how many stand how), ``differences`` (see
    :meth:`~airflow_provider_bkitsm.collectors.reconcile.Finding.as_dict`) and ``closed`` (ticket numbers).
    Fails only if ITSM or the store cannot be read; a retry is safe.

    :param close_refused: end what was refused; False only reports it.
    :param fail_on_difference: fail for good if anything is left that a person has to see to.
    :param grace: how long a run may take to end its application itself, once its ticket has ended.
    :param overdue_after: how long people may take to decide before it is reported.
    :param bklog_conn_id: only collectors of this log platform connection; None takes all. Where several ITSMs
        are used, give each a task that names the log platforms whose tickets it has. (templated)
    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    :param store_conn_id: database of the collectors' state; None takes ``[bkitsm] store_conn_id``. (templated)
    :param verdict_field: see :class:`~airflow_provider_bkitsm.sensors.ticket.ItsmTicketSensor`; None reads it
        where the application's service has it. (templated)
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

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the store, then ITSM, then the runs; end what may be ended; report the rest."""
        from airflow_provider_bkitsm.collectors.reconcile import report

        rows = self.store.applying(self.bklog_conn_id)
        seen = self._read(rows)
        findings = self._findings(rows, seen, context)
        differences = [one for one in findings if one.is_difference]
        for one in differences:
            log.warning("%s", one)
        closed = [one for one in differences if self._close(one, seen)]
        result = report(findings, closed)
        log.info("%d collectors are applying: %s", len(rows), result["kinds"])
        _raise_outage(seen)
        left = [one for one in differences if one not in closed]
        if left and self.fail_on_difference:
            context["ti"].xcom_push(key="return_value", value=result)
            raise AirflowFailException("; ".join(map(str, left)))
        return result

    def _read(self, rows: Sequence[CollectorRow]) -> dict[str, Seen]:
        from airflow_provider_bkitsm.collectors.reconcile import read_all, undecided

        open_rows = undecided(rows)
        if not open_rows:
            return {}
        policies = {sn: self.verdict_policy_of(row) for sn, row in open_rows.items()}
        return self.hook.run(read_all(policies))

    def _findings(self, rows: Sequence[CollectorRow], seen: Mapping[str, Seen], context: Context) -> list[Finding]:
        """Compare; what its run has changed since the store was read is left to the next look."""
        from airflow_provider_bkitsm.collectors.reconcile import Limits, find

        limits = Limits(grace=self.grace, overdue_after=self.overdue_after)
        is_over = cache(partial(_is_over, context["ti"]))
        found = []
        for row in rows:
            over = is_over(row.owner.dag_id, row.owner.run_id) if row.owner else None
            sight = seen.get(str(row.ticket_sn))
            found.append(find(row, sight, run_is_over=over, now=datetime.now(UTC), limits=limits))
        return [one for one in found if not one.is_difference or self._is_current(one.row)]

    def _is_current(self, row: CollectorRow) -> bool:
        return self.store.get(row.bklog_conn_id, row.collector_config_id).version == row.version

    def _close(self, finding: Finding, seen: Mapping[str, Seen]) -> bool:
        """End an application as far as the store still agrees that this ticket, not approved, is its own."""
        from airflow_provider_bkitsm.itsm.verdict import Verdict

        if finding.action != "close" or not self.close_refused:
            return False
        row, sn = finding.row, str(finding.row.ticket_sn)
        key, verdict = (row.bklog_conn_id, row.collector_config_id), seen.get(sn)
        try:
            if isinstance(verdict, Verdict):
                row = self.store.decided(*key, sn=sn, outcome=verdict.outcome, detail=verdict.as_dict())
            if row.outcome is not None and not row.outcome.frees_collector:
                return False
            self.store.fail(*key, sn=sn, reason=f"{finding.said}; ended by reconciliation")
        except CollectItsmConflict as error:
            log.warning("not ended after all: %s", error)
            return False
        log.warning("%s is fail_apply now and can be applied for again", row.name)
        return True


def _is_over(ti: RuntimeTaskInstanceProtocol, dag_id: str, run_id: str) -> bool | None:
    """Ask Airflow whether a run has ended; None if it does not say, for example since the run was deleted."""
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        return ti.get_dagrun_state(dag_id, run_id) in _OVER
    except AirflowRuntimeError as error:
        log.warning("run %s of DAG %s: %s", run_id, dag_id, error)
        return None


def _raise_outage(seen: Mapping[str, Seen]) -> None:
    """Fail for a retry where ITSM could not be read, after all that could be read was dealt with."""
    for one in seen.values():
        if isinstance(one, ItsmError) and one.retry_safe:
            raise one
