"""Operators that take a log collector through its approval: apply, provision its ETL, complete.

The collector's approval state is kept in a store of ours, because the log platform offers no call that sets
it (reference 4.3). What ITSM decided is always read from ITSM itself, never taken from another task.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_bkitsm.collectors.errors import (
    CollectItsmDigestMismatch,
    CollectItsmHasApply,
    StoreUnavailable,
)
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAuthenticationError,
    ItsmConfigurationError,
    ItsmConflictError,
    ItsmInvalidRequestError,
    ItsmOutcomeUnknownError,
    ItsmPermissionError,
)
from airflow_provider_bkitsm.itsm.opening import marker
from airflow_provider_bkitsm.itsm.outcome import ENDED, Outcome
from airflow_provider_bkitsm.itsm.services import check_form, find_log_service, find_service
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.links.ticket import show_ticket
from airflow_provider_bkitsm.operators.collector_base import (
    AfterApprovalOperator,
    CollectorOperator,
    OnNotApproved,
)
from airflow_provider_bkitsm.version_compat import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.collectors.state import CollectorRow, Owner
    from airflow_provider_bkitsm.hooks.opening import Handle, TicketOpener
    from airflow_provider_bkitsm.itsm.models import CreatedTicket, ServiceDetail


class CollectorApplyOperator(CollectorOperator):
    """Opens the approval ticket of a collector and marks it ``applying``; returns the ticket's number (sn).

    The intent and the ETL payload are stored before the ticket exists; a retry finds the ticket of an earlier
    try instead of opening a second one (promises P2 and P7). Refused while anybody applies for the collector,
    here or in the log platform itself.

    Parameters of :class:`~.collector_base.CollectorOperator`, and:

    :param clean_config: the ETL payload as ``update_or_create_clean_config`` takes it: ``etl_config``,
        ``table_id`` (bare), ``storage_cluster_id``, ``retention`` (days), ``allocation_min_days``, ``fields``,
        ... The approver sees it and its digest. (templated)
    :param approvers: who is asked: names, or one text with commas. (templated)
    :param reason: why, for the approver. (templated)
    :param service_id: the ITSM service; None takes the connection's, and if that has none the only service
        with ``display_role`` LOG_SEARCH. (templated)
    :param space: name of the business in the ticket's title; None takes the collector's. (templated)
    :param fields: further form fields of the service, or other values for those filled here. (templated)
    :param approvers_field: key of the form field that takes the approvers.
    :param detail_field: key of the form field that shows collector, ETL payload and digest.
    :param reason_field: key of the form field that takes the reason.
    :param meta: ITSM's ``meta``, e.g. ``{"callback_url": ...}``. (templated)
    """

    template_fields: Sequence[str] = (
        *CollectorOperator.template_fields,
        "clean_config",
        "approvers",
        "reason",
        "service_id",
        "space",
        "fields",
        "meta",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "clean_config": "json",
        "fields": "json",
        "meta": "json",
    }

    def __init__(
        self,
        *,
        clean_config: Mapping[str, Any] | str,
        approvers: Sequence[str] | str = (),
        reason: str = "",
        service_id: int | str | None = None,
        space: str | None = None,
        fields: Mapping[str, Any] | None = None,
        approvers_field: str = "approvals",
        detail_field: str = "collector_detail",
        reason_field: str = "apply_reason",
        meta: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.clean_config = clean_config
        self.approvers = approvers
        self.reason = reason
        self.service_id = service_id
        self.space = space
        self.fields = fields
        self.approvers_field = approvers_field
        self.detail_field = detail_field
        self.reason_field = reason_field
        self.meta = meta

    def execute(self, context: Context) -> str:
        """Check everything, store the intent, open the ticket, record its number."""
        from airflow_provider_bkitsm.collectors.payload import digest, validate_clean_config

        collector = self.collector()
        _refuse_native_gate(collector)
        payload = validate_clean_config(_object(self.clean_config), collector_row=collector)
        service, tag = self._service(), uuid.uuid4().hex
        form = partial(self._form, service, collector, context["dag_run"].run_after)
        check_form(service.fields, form(payload=payload, etl_digest=digest(payload), tag=tag))
        row = self.store.apply(*self.key, payload=payload, tag=tag, owner=_owner(context))
        if row.etl_digest != digest(payload):
            self.log.warning("an earlier try asked for another ETL payload, %s: that one stands", row.etl_digest)
        if row.ticket_sn is None:
            stored = form(payload=row.etl_payload or {}, etl_digest=str(row.etl_digest), tag=str(row.tag))
            row = self._open(row, first=row.tag == tag, service_id=service.service_id, fields=stored)
        show_ticket(context["ti"], row.ticket_url)
        return str(row.ticket_sn)

    def _open(self, row: CollectorRow, *, first: bool, **request: Any) -> CollectorRow:
        """Open the application's ticket, or find the one an earlier try opened."""
        from airflow_provider_bkitsm.hooks.opening import Handle, TicketOpener

        opener, tag = TicketOpener(hook=self.hook), str(row.tag)
        since = row.create_started_at or row.updated_at
        handle = Handle(tag=tag, creator=self.asker, since=since)
        ticket = None if first else self._from_earlier_try(opener, handle)
        try:
            ticket = ticket or opener.open(handle, meta=self.meta, **request)
        except (ItsmInvalidRequestError, ItsmAuthenticationError, ItsmPermissionError) as refused:
            self.store.create_refused(*self.key, tag=tag, reason=f"ITSM refused the ticket: {refused}")
            raise
        return self._record(tag, ticket)

    def _from_earlier_try(self, opener: TicketOpener, handle: Handle) -> CreatedTicket | None:
        """Look for the ticket as long as it may still appear; then claim the right to open one."""
        left = opener.settle - (datetime.now(UTC) - handle.since).total_seconds()
        found = opener.look_for(handle, seconds=left)
        if found is None:
            self.store.recreate(*self.key, tag=handle.tag, seen=handle.since)
        return found

    def _record(self, tag: str, ticket: CreatedTicket) -> CollectorRow:
        try:
            return self.store.ticket_opened(*self.key, tag=tag, sn=ticket.sn, url=ticket.ticket_url)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"ticket {ticket.sn} is open, but its number could not be stored: {error.message}. A retry"
                " finds the ticket again instead of opening a second one"
            ) from error

    def _service(self) -> ServiceDetail:
        service_id = self.service_id or self.hook.gateway.text("service_id")
        return self.hook.run(find_service(service_id) if service_id else find_log_service())

    def _form(
        self,
        service: ServiceDetail,
        collector: Mapping[str, Any],
        opened: datetime,
        *,
        payload: Mapping[str, Any],
        etl_digest: str,
        tag: str,
    ) -> dict[str, Any]:
        from airflow_provider_bkitsm.collectors.form import collector_detail, ticket_title

        known = {field.key for field in service.fields}
        filled = {
            "title": ticket_title(
                space=self.space or str(collector.get("space_name") or self.bk_biz_id),
                collector_name=str(collector.get("collector_config_name") or self.collector_config_id),
                created=opened,
                marker=marker(tag),
            ),
            "bk_biz_id": str(self.bk_biz_id),
            self.approvers_field: _names(self.approvers),
            self.reason_field: self.reason,
            self.detail_field: collector_detail(collector=collector, etl_payload=payload, digest=etl_digest),
        }
        wanted = {"title", self.approvers_field, self.detail_field}
        kept = {key: value for key, value in filled.items() if (key in known or key in wanted) and value}
        return kept | dict(self.fields or {})


class CollectorProvisionEtlOperator(AfterApprovalOperator):
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
        verdict = self.read_verdict(row)
        row = self.record(row, verdict)
        if row.outcome is not Outcome.APPROVED:
            raise AirflowFailException(f"{_standing(row, verdict)}. The ETL was not touched")
        payload = self._approved_payload(row)
        sn = str(row.ticket_sn)
        self.store.resume(*self.key, sn=sn)
        result = self._provision(sn, payload)
        self.store.provisioned(*self.key, sn=sn, result=result)
        return result

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

    def _provision(self, sn: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        from airflow_provider_bkitsm.hooks.bklog import BkLogError, BkLogUnavailableError

        try:
            if self.start_collector and not self.collector().get("is_active", True):
                self.bklog.start(self.key[1])
            written = self.bklog.update_or_create_clean_config(self.key[1], payload)
            shown = self.collector()
            _check_written(payload, written, shown)
        except BkLogError as error:
            self.store.etl_failed(*self.key, sn=sn, reason=str(error))
            said = f"{error}. Ticket {sn} stays approved: %s writes the ETL again without asking anybody"
            if error.retry_safe:
                raise BkLogUnavailableError(said % "a retry") from error
            raise AirflowFailException(said % "once the reason is gone, clearing this task") from error
        return {**written, "table_id": shown["table_id"]}


class CollectorCompleteOperator(AfterApprovalOperator):
    """Ends the application: ``success_apply`` once the approved ETL is there, else ``fail_apply`` and why.

    Give it ``trigger_rule="all_done"`` behind the ETL task. A ticket that is still open by then (the wait timed
    out, was killed or failed) is withdrawn, so that nobody decides about something that is over.

    Returns ``state``, ``ticket_sn``, ``outcome``, ``reason`` and ``collector_config_id``.

    :param on_not_approved: what ``fail_apply`` does to this task, and with it to the run: ``fail`` for good,
        ``skip`` or ``pass``.
    :param on_open_ticket: ``withdraw`` a ticket that is still open, or ``keep`` it.
    """

    def __init__(
        self,
        *,
        on_not_approved: OnNotApproved = "fail",
        on_open_ticket: Literal["withdraw", "keep"] = "withdraw",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_not_approved = on_not_approved
        self.on_open_ticket = on_open_ticket

    def execute(self, context: Context) -> dict[str, Any]:
        """Complete or fail the application of this run."""
        row = self.own_row(context)
        if row.has_success or (row.is_applying and row.provisioned_at is not None):
            row = self.store.complete(*self.key, sn=str(row.ticket_sn))
            self.log.info("collector %s is complete: %s", row.collector_config_id, row.state.value)
            return _summary(row, "approved and provisioned")
        reason = row.last_error or "" if row.state == "fail_apply" else self._why_not(row)
        row = self.store.fail(*self.key, tag=row.tag, reason=reason)
        return self._conclude(row, reason)

    def _why_not(self, row: CollectorRow) -> str:
        row = self._with_ticket(row)
        if row.ticket_sn is None:
            return row.last_error or "no ticket was opened"
        verdict = self.read_verdict(row)
        if verdict.outcome is Outcome.WAITING:
            verdict = self._end(row)
        if verdict.current_status in ENDED:
            row = self.record(row, verdict)
        if row.outcome is Outcome.APPROVED:
            why = row.last_error or "the ETL task did not run"
            return f"{verdict.describe()}, but its ETL is not provisioned: {why}. Clear the ETL task to go on"
        return _standing(row, verdict)

    def _with_ticket(self, row: CollectorRow) -> CollectorRow:
        """Learn the number of a ticket whose opening was never confirmed."""
        from airflow_provider_bkitsm.hooks.opening import Handle, TicketOpener

        if row.ticket_sn is not None or row.create_started_at is None:
            return row
        handle = Handle(tag=str(row.tag), creator=self.asker, since=row.create_started_at)
        found = TicketOpener(hook=self.hook).find(handle)
        if found is None:
            return row
        return self.store.ticket_opened(*self.key, tag=handle.tag, sn=found.sn, url=found.ticket_url)

    def _end(self, row: CollectorRow) -> Verdict:
        """Withdraw a ticket nobody waits for any more; a decision that came first wins."""
        if self.on_open_ticket == "withdraw":
            self._withdraw(str(row.ticket_sn))
        verdict = self.read_verdict(row)
        ours = verdict.outcome in (Outcome.WAITING, Outcome.WITHDRAWN)
        return verdict.timed_out() if ours else verdict

    def _withdraw(self, sn: str) -> None:
        from airflow_provider_bkitsm.hooks.operating import operate

        try:
            operate(
                self.hook,
                sn=sn,
                action_type="WITHDRAW",
                operator=self.hook.get_ticket_info(sn).creator,
                action_message="The Airflow run that waited for this ticket has ended",
            )
        except (ItsmConflictError, ItsmOutcomeUnknownError) as error:
            self.log.warning("ticket %s stays open: %s", sn, error)

    def _conclude(self, row: CollectorRow, reason: str) -> dict[str, Any]:
        said = f"collector {row.collector_config_id} is {row.state.value}: {reason}"
        if self.on_not_approved == "fail":
            raise AirflowFailException(said)
        if self.on_not_approved == "skip":
            raise AirflowSkipException(said)
        self.log.info(said)
        return _summary(row, reason)


def _object(clean_config: Mapping[str, Any] | str) -> Any:
    """Read a payload that a template rendered to JSON text."""
    if not isinstance(clean_config, str):
        return clean_config
    try:
        return json.loads(clean_config)
    except ValueError:
        return clean_config


def _owner(context: Context) -> Owner:
    from airflow_provider_bkitsm.collectors.state import Owner

    ti = context["ti"]
    index = -1 if ti.map_index is None else ti.map_index
    return Owner(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=index)


def _refuse_native_gate(collector: Mapping[str, Any]) -> None:
    """Refuse what would end in two tickets for one collector, or in an ETL that cannot be written."""
    number = collector.get("collector_config_id")
    if collector.get("itsm_ticket_status") == "applying":
        raise CollectItsmHasApply(
            f"the log platform itself is applying for collector {number} (ticket"
            f" {collector.get('itsm_ticket_sn')}). No ticket was opened; a retry succeeds once that one has"
            " ended"
        )
    if collector.get("etl_processor") == "bkbase":
        raise ItsmConfigurationError(
            f"collector {number} is cleaned by the data platform (etl_processor bkbase); only transfer is"
            " supported. No ticket was opened"
        )


def _check_written(payload: Mapping[str, Any], written: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Compare what was read back: the platform changes an existing table in the background (W32)."""
    from airflow_provider_bkitsm.collectors.payload import bare_table_id
    from airflow_provider_bkitsm.hooks.bklog import BkLogError

    answer = ("etl_config", "storage_cluster_id", "retention")
    wrong = [key for key in answer if key in written and written[key] != payload.get(key)]
    if bare_table_id(shown) != payload["table_id"]:
        wrong.append("table_id")
    if not shown.get("index_set_id"):
        wrong.append("index_set_id")
    if wrong:
        raise BkLogError(f"the log platform took the ETL but shows something else: {', '.join(wrong)}")


def _standing(row: CollectorRow, verdict: Verdict) -> str:
    """Say how the ticket stands; where ITSM changed its mind, that the first verdict seen counts."""
    if row.outcome in (None, verdict.outcome):
        return verdict.describe()
    return f"{verdict.describe()} now, but it was {row.outcome} when first read, and that verdict stands"


def _summary(row: CollectorRow, reason: str) -> dict[str, Any]:
    return {
        "collector_config_id": row.collector_config_id,
        "state": row.state.value,
        "ticket_sn": row.ticket_sn,
        "outcome": row.outcome.value if row.outcome else None,
        "reason": reason,
    }


def _names(people: Sequence[str] | str) -> str:
    """Join names the way ITSM wants several people: a JSON list would become one nonsense person."""
    listed = people.split(",") if isinstance(people, str) else people
    return ",".join(name.strip() for name in listed if name.strip())
