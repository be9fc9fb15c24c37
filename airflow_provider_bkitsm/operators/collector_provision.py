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

    from airflow_provider_bkitsm.collectors.state import CollectorRow

# Seconds between the looks at what was written.
_READ_BACK_PAUSES = (0.5, 1.0, 2.0, 4.0)


class CollectorProvisionEtlOperator(VerdictReadingOperator):
    """Writes the approved ETL payload into the log platform, reads it back, and notes that it is there.

    Safe to run again: the platform takes the same payload twice without harm. Refused unless ITSM says, asked
    here and now, that this run's ticket is approved, and unless the payload is the one the approver was shown.
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
        row = self.own_row(context)
        if row.ticket_sn is None:
            raise AirflowFailException("this run has no ticket yet: nothing is approved, the ETL was not touched")
        verdict = self.read_verdict(row)
        row = self.record(row, verdict)
        if row.outcome is not Outcome.APPROVED:
            raise AirflowFailException(f"{standing(row, verdict)}. The ETL was not touched")
        sn = str(row.ticket_sn)
        try:
            payload = self._approved_payload(row)
            self.store.resume(*self.key, sn=sn)
            result = self._provision(payload)
        except ItsmError as error:
            raise self._etl_failed(sn, error) from error
        self.store.provisioned(*self.key, sn=sn, result=result)
        return result

    def _etl_failed(self, sn: str, error: ItsmError) -> Exception:
        """Keep why, and return what fails this task: for good, unless the same may work in a moment."""
        self.store.etl_failed(*self.key, sn=sn, reason=str(error))
        said = f"{error}. Ticket {sn} stays approved: %s writes the ETL again without asking anybody"
        if error.retry_safe:
            return type(error)(said % "a retry")
        if isinstance(error, CollectItsmDigestMismatch):
            return AirflowFailException(str(error))
        return AirflowFailException(said % "once the reason is gone, clearing this task")

    def _approved_payload(self, row: CollectorRow) -> dict[str, Any]:
        from airflow_provider_bkitsm.collectors.form import shows_digest
        from airflow_provider_bkitsm.collectors.payload import verify

        payload = verify(row.etl_payload, row.etl_digest)
        form = self.hook.get_ticket_info(str(row.ticket_sn)).fields
        if not shows_digest(({"value": field.value} for field in form), str(row.etl_digest)):
            raise CollectItsmDigestMismatch(
                f"ticket {row.ticket_sn} does not show {row.etl_digest}, the digest of the stored ETL payload:"
                " what was approved is something else. Nothing was provisioned; apply again"
            )
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
