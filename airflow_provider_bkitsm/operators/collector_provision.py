"""Provisioning what was approved: written into the log platform and read back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.collectors.errors import (
    CollectItsmDigestMismatch,
)
from airflow_provider_bkitsm.itsm.errors import (
    ItsmError,
)
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.operators.collector_base import (
    VerdictReadingOperator,
    standing,
)
from airflow_provider_bkitsm.version_compat import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.collectors.row import CollectorRow

# Seconds between the looks at what was written.
_READ_BACK_PAUSES = (0.5, 1.0, 2.0, 4.0)


class CollectorProvisionEtlOperator(VerdictReadingOperator):
    """Writes the approved ETL payload into the log platform, reads it back, and notes that it is there.

    Safe to run again: the platform takes the same payload twice without harm. Refused unless ITSM says, asked
    here and now, that this run's ticket is approved, and unless the payload is the one the approver was shown; or
    unless this run's application was stored as one that needs no approval.
    When the platform refuses, this task fails for good, while an outage is retried; either way the approval
    stays: clear this task to try again, no second ticket is needed.

    Returns the platform's answer: ``collector_config_id``, ``etl_config``, ``index_set_id``, ``table_id``, ...

    :param start_collector: start a collector that was stopped while people decided; older platforms refuse the
        ETL of a stopped one.
    """

    def __init__(self, *, start_collector: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_collector = start_collector

    def execute(self, context: Context) -> dict[str, Any]:
        """Check the approval and the payload, write, read back, record."""
        row = self._let_go_on(self.own_row(context))
        try:
            payload = self._approved_payload(row)
            self.store.resume(*self.key, tag=row.tag)
            result = self._provision(payload)
        except ItsmError as error:
            raise self._etl_failed(row, error) from error
        self.store.provisioned(*self.key, tag=row.tag, result=result)
        return result

    def _let_go_on(self, row: CollectorRow) -> CollectorRow:
        """Return the row if its ticket is approved, read here and now, or if it was stored that none is needed."""
        if row.is_bypassed:
            self.log.warning("%s: %s", row.name, row.standing)
            return row
        if row.ticket_sn is None:
            raise AirflowFailException("this run has no ticket yet: nothing is approved, the ETL was not touched")
        verdict = self.read_verdict(row)
        row = self.record(row, verdict)
        if row.outcome is not Outcome.APPROVED:
            raise AirflowFailException(f"{standing(row, verdict)}. The ETL was not touched")
        return row

    def _etl_failed(self, row: CollectorRow, error: ItsmError) -> Exception:
        """Keep why, and return what fails this task: for good, unless the same may work in a moment."""
        self.store.etl_failed(*self.key, tag=row.tag, reason=str(error))
        stays = "It still needs no approval" if row.is_bypassed else f"Ticket {row.ticket_sn} stays approved"
        said = f"{error}. {stays}: %s writes the ETL again without asking anybody"
        if error.retry_safe:
            return type(error)(said % "a retry")
        if isinstance(error, CollectItsmDigestMismatch):
            return AirflowFailException(str(error))
        return AirflowFailException(said % "once the reason is gone, clearing this task")

    def _approved_payload(self, row: CollectorRow) -> dict[str, Any]:
        """Return the stored payload if it is, recomputed, the one whose digest the ticket shows."""
        from airflow_provider_bkitsm.collectors.form import shown_digests
        from airflow_provider_bkitsm.collectors.payload import verify

        payload = verify(row.etl_payload, row.etl_digest)
        if row.is_bypassed:
            return payload
        form = self.hook.get_ticket_info(str(row.ticket_sn)).fields
        shown = shown_digests({"value": field.value} for field in form)
        if row.etl_digest not in shown:
            raise CollectItsmDigestMismatch(
                f"ticket {row.ticket_sn} does not show {row.etl_digest}, the digest of the stored ETL payload, but"
                f" {', '.join(sorted(shown)) or 'none'}: what was approved is something else. Nothing was"
                " provisioned, and a retry is refused; apply again"
            )
        self.log.info("the stored ETL payload is the one ticket %s shows: %s", row.ticket_sn, row.etl_digest)
        return payload

    def _provision(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        if self.start_collector and not self.collector().get("is_active", True):
            self.bklog.start(self.key[1])
        written = self.bklog.update_or_create_clean_config(self.key[1], payload)
        return {**written, "table_id": self._read_back(payload)["table_id"]}

    def _read_back(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Look until the platform shows the payload: it changes an existing table in the background."""
        from airflow_provider_bkitsm.hooks.bklog import BkLogUnavailableError

        for pause in (*_READ_BACK_PAUSES, None):
            shown = self.collector()
            wrong = _not_shown(payload, shown)
            if not wrong:
                return shown
            if pause is not None:
                time.sleep(pause)
        raise BkLogUnavailableError(
            f"the log platform took the ETL but still shows something else: {', '.join(wrong)}"
        )


def _not_shown(payload: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Return what the collector's row shows otherwise than approved; keys a platform does not list are not."""
    from airflow_provider_bkitsm.collectors.payload import bare_table_id

    compared = ("etl_config", "storage_cluster_id", "retention")
    wrong = [key for key in compared if shown.get(key) is not None and shown[key] != payload[key]]
    if bare_table_id(shown) != payload["table_id"]:
        wrong.append("table_id")
    if not shown.get("index_set_id"):
        wrong.append("index_set_id")
    return wrong
