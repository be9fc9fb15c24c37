# SPDX-License-Identifier: Apache-2.0
"""The approved ETL payload, written into the log platform and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.mixins import number
from airflow_provider_bkitsm.operators.collector_base import VerdictReadingOperator, standing
from airflow_provider_bkitsm.version_compat import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.collectors.row import CollectorRow


class CollectorProvisionEtlOperator(VerdictReadingOperator):
    """Writes the approved ETL payload into the log platform, reads it back, and stores that it is there.

    Safe to run again: the platform takes the same payload twice without harm. Goes on only if ITSM, read at that
    moment, says that this run's ticket is approved, and the ticket shows what was sent and, in the field for it,
    exactly this payload; or if this run's application is stored as one that needs no approval. When the platform
    refuses, this task fails for good; an outage is retried. Either way the approval stays: clear this task to try
    again, no second ticket is needed.

    Returns the platform's answer: ``collector_config_id``, ``etl_config``, ``index_set_id``, ``table_id``, ...

    :param start_collector: start a collector that was stopped while people decided; older platforms refuse the
        ETL of a stopped one.
    :param expected_before: the payload as it was when the approval was requested. If the log platform has a value
        that is neither this one nor the approved one, somebody has changed it meanwhile, and nothing is written.
        None writes the approved payload, whatever is there. (templated)
    """

    template_fields: Sequence[str] = (*VerdictReadingOperator.template_fields, "expected_before")
    template_fields_renderers: ClassVar[dict[str, str]] = {"expected_before": "json"}

    def __init__(
        self, *, start_collector: bool = True, expected_before: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.start_collector = start_collector
        self.expected_before = expected_before

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
        facts = (f"{key} {result[key]}" for key in ("table_id", "etl_config", "index_set_id") if result.get(key))
        self.log.info("collector %s: its ETL is written and read back: %s", self.key[1], ", ".join(facts))
        return result

    def _let_go_on(self, row: CollectorRow) -> CollectorRow:
        """Return the row if its ticket, read at this moment, is approved, or if no approval is needed."""
        if row.is_bypassed:
            self.log.warning("%s: %s", row.name, row.standing)
            return row
        if row.ticket_sn is None:
            raise AirflowFailException("this run has no ticket yet: nothing is approved, the ETL was not touched")
        verdict = self.read_verdict(row)
        row = self.record(row, verdict)
        if row.outcome is not Outcome.APPROVED or verdict.reason_code is Reason.FORM_CHANGED:
            raise AirflowFailException(f"{standing(row, verdict)}. The ETL was not touched")
        self.log.info("%s", standing(row, verdict))
        return row

    def _etl_failed(self, row: CollectorRow, error: ItsmError) -> Exception:
        """Store the reason, and return the exception that fails this task: for good, or for a retry."""
        self.store.etl_failed(*self.key, tag=row.tag, reason=str(error))
        stays = "It still needs no approval" if row.is_bypassed else f"Ticket {row.ticket_sn} stays approved"
        if isinstance(error, CollectItsmDigestMismatch):
            return AirflowFailException(str(error))
        step = "a retry" if error.retry_safe else "once the reason is gone, clearing this task"
        message = f"{error}. {stays}: {step} writes the ETL again without asking anybody"
        return type(error)(message) if error.retry_safe else AirflowFailException(message)

    def _approved_payload(self, row: CollectorRow) -> dict[str, Any]:
        """Return the stored payload if its digest, computed anew, is the one that the ticket shows."""
        from airflow_provider_bkitsm.collectors.clean_config import verify
        from airflow_provider_bkitsm.collectors.ticket_form import check_approved_form
        from airflow_provider_bkitsm.itsm.dialect import ask

        payload = verify(row.etl_payload, row.etl_digest)
        if row.is_bypassed:
            return payload
        sn = str(row.ticket_sn)
        form = self.hook.run(ask(lambda itsm: itsm.info(sn))).fields
        check_approved_form(form, sn=sn, request=row.request, payload=payload, digest=str(row.etl_digest))
        self.log.info("the stored ETL payload is the one ticket %s shows: %s", row.ticket_sn, row.etl_digest)
        return payload

    def _provision(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        from airflow_provider_bkitsm.hooks.bklog import provision

        if self.expected_before is not None:
            self._refuse_what_others_changed(payload, self.expected_before)
        return provision(
            self.bklog,
            self.key[1],
            payload,
            bk_biz_id=number("bk_biz_id", self.bk_biz_id),
            start=self.start_collector,
        )

    def _refuse_what_others_changed(self, payload: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        from airflow_provider_bkitsm.collectors.current_config import present_clean_config
        from airflow_provider_bkitsm.collectors.storage_plan import changed_by_others

        present = present_clean_config(self.bklog.get_collector_detail(self.key[1]))
        changed = changed_by_others(present, before=before, after=payload)
        if changed:
            raise CollectItsmDigestMismatch(
                f"collector {self.key[1]} is not as it was when the approver was asked: somebody has changed"
                f" {', '.join(changed)} in the log platform. Nothing was written; a retry is refused: apply again"
            )
