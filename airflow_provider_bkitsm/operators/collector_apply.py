# SPDX-License-Identifier: Apache-2.0
"""The application for a collector: the intent is stored, then the ticket is opened, once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_bkitsm import settings, telemetry
from airflow_provider_bkitsm.collectors.errors import CollectItsmConflict, CollectItsmHasApply, StoreUnavailable
from airflow_provider_bkitsm.itsm.duties import REQUESTER, THE_REQUESTER, Approvers, check_can_be_met
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAuthenticationError,
    ItsmInvalidRequestError,
    ItsmPermissionError,
    printable,
)
from airflow_provider_bkitsm.itsm.form import check_form_text, read_form
from airflow_provider_bkitsm.itsm.models import Service, TicketSummary
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.people import join_people, joined_names, read_people, read_person
from airflow_provider_bkitsm.links.ticket import show_ticket
from airflow_provider_bkitsm.mixins import json_value, number
from airflow_provider_bkitsm.operators.collector_base import (
    SkipSensorsMixin,
    VerdictReadingOperator,
    check_is_here,
    this_task,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.collectors.approval_switch import Gate
    from airflow_provider_bkitsm.collectors.row import CollectorRow
    from airflow_provider_bkitsm.collectors.service_check import ServiceFit
    from airflow_provider_bkitsm.collectors.ticket_form import Question
    from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
    from airflow_provider_bkitsm.tickets.opener import Opened, TicketKey, TicketOpener


class CollectorApplyOperator(VerdictReadingOperator, SkipSensorsMixin):
    """Opens the approval ticket of a collector and marks it ``applying``; returns the ticket's number (sn).

    The intent and the ETL payload are stored before the ticket exists; a retry finds the ticket of an earlier try
    instead of opening a second one (promises P2 and P7). Refused while another application for the collector is
    under way, here or in the log platform itself.

    Where ``[bkitsm] collect_itsm`` is off for the collector's business, no ticket is opened: the audit names the
    setting, this task returns no number and skips the ``ItsmTicketSensor`` directly behind it, and the
    ETL task goes on if its ``trigger_rule`` is ``none_failed``. A setting that cannot be read is an error.

    Parameters of :class:`~.collector_base.CollectorOperator`, and:

    :param clean_config: the ETL payload as ``update_or_create_clean_config`` takes it: ``etl_config``,
        ``table_id`` (bare), ``storage_cluster_id``, ``retention`` (days), ``allocation_min_days``, ``fields``,
        ... The approver sees it and its digest. (templated)
    :param approvers: the people to ask: names, a list or one text with commas; see the docs on people. A service
        without a field for them asks its own people. (templated)
    :param reason: the reason, for the approver. (templated)
    :param requester: who asks, by name in ITSM; None takes the person who started the run, else the connection's
        user. A person is shown in the detail. (templated)
    :param service_id: the ITSM service, by number or unique name; None takes the connection's, and if that has
        none the service with ``display_role`` LOG_SEARCH that fits and asks the approvers. (templated)
    :param space: name of the business in the ticket's title; None takes the collector's. (templated)
    :param detail_rows: further rows for the approver in ``detail_field``, value by label. (templated)
    :param fields: further form fields of the service, or other values for those filled here. (templated)
    :param approvers_field: key of the form field that takes the approvers. Of a service without the default key
        the only field of this kind is taken; so for the other two.
    :param detail_field: key of the form field that shows collector, ETL payload and digest.
    :param reason_field: key of the form field that takes the reason; without one it is a row of the detail.
    :param meta: ITSM's ``meta``; templates in it are rendered, but not shown among the rendered ones, since an
        address in it may be a secret. A ``callback_url`` of your own takes the place of Airflow's.
    """

    template_fields: Sequence[str] = (
        *VerdictReadingOperator.template_fields,
        "clean_config",
        "approvers",
        "reason",
        "requester",
        "service_id",
        "space",
        "detail_rows",
        "fields",
    )
    _can_skip_downstream: bool = True
    _asked_by: str = ""
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "clean_config": "json",
        "detail_rows": "json",
        "fields": "json",
    }

    def __init__(
        self,
        *,
        clean_config: Mapping[str, Any] | str,
        approvers: Sequence[str] | str = (),
        reason: str = "",
        requester: str | None = None,
        service_id: int | str | None = None,
        space: str | None = None,
        detail_rows: Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None = None,
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
        self.requester = requester
        self.service_id = service_id
        self.space = space
        self.detail_rows = detail_rows
        check_form_text(fields)
        self.fields = fields
        self.approvers_field = approvers_field
        self.detail_field = detail_field
        self.reason_field = reason_field
        self.meta = meta

    def execute(self, context: Context) -> str | None:
        """Check everything, store the intent, then open the ticket and store its number."""
        from airflow_provider_bkitsm.collectors.collector import check_eligible

        collector = self.collector()
        self._take_requester(context)
        gate = _read_gate(number("bk_biz_id", collector.get("bk_biz_id") or self.bk_biz_id))
        check_eligible(collector)
        payload = self._checked(collector)
        intent = {"payload": payload, "tag": uuid.uuid4().hex, "owner": this_task(context)}
        if not gate.is_on and self._bypasses(gate, **intent):
            self.skip_waits(context)
            return None
        return self._ask(collector, gate, context, **intent)

    def _checked(self, collector: Mapping[str, Any]) -> dict[str, Any]:
        """Return the payload as it will be sent; warn author and approver of what could not be checked."""
        from airflow_provider_bkitsm.collectors.clean_config import KNOWN_KEYS, validate_clean_config
        from airflow_provider_bkitsm.collectors.platform_rules import PlatformFacts, notices

        clusters = self.bklog.storage_clusters(bk_biz_id=number("bk_biz_id", self.bk_biz_id))
        facts = PlatformFacts(clusters=clusters)
        payload = validate_clean_config(json_value(self.clean_config), collector_row=collector, facts=facts)
        found = notices(payload, present=collector, facts=facts, known_keys=KNOWN_KEYS)
        for one in found:
            self.log.warning("%s", one.text)
        rows = {f"提示-{index}：": one.chinese for index, one in enumerate(found, start=1)}
        self.detail_rows = {**(self.detail_rows or {}), **rows}
        return payload

    def _take_requester(self, context: Context) -> None:
        """Learn who asks; a person is a row for the approver.

        With ``creator="requester"`` the ticket is opened in that person's name.

        :raises ItsmConfigurationError: it counts who asks, and the person who started the run has no name in ITSM.
        """
        from airflow_provider_bkitsm.tickets.requester import find_requester

        found = find_requester(context["dag_run"], named=self.requester)
        if self.hook.verdict_policy(**self.verdict_settings).forbid_self_approval:
            found.check_is_known("forbid_self_approval")
        if self.creator == THE_REQUESTER:
            found.check_is_known('creator="requester"')
            self.creator = found.name or None
        if found.name:
            self.detail_rows = {"申请人：": found.name, **(self.detail_rows or {})}
        self._asked_by = joined_names(found.name, read_person("creator", self.creator)) or ""

    def _bypasses(self, gate: Gate, **intent: Any) -> bool:
        """Store that no approval is needed, unless this application began with a ticket."""
        kept = {"request": self._own(), "bkitsm_conn_id": self.bkitsm_conn_id}
        row = self._begin(self.store.bypass, **intent, **kept, setting=gate.setting)
        if row.is_bypassed:
            self.log.warning("%s: %s. No ticket was opened", row.name, row.standing)
        else:
            self.log.warning("%s now, but this application began with a ticket and keeps it", gate.setting)
        return row.is_bypassed

    def _ask(self, collector: Mapping[str, Any], gate: Gate, context: Context, **intent: Any) -> str:
        """Return the number of the ticket: open it, or find the one of an earlier try."""
        from airflow_provider_bkitsm.collectors.clean_config import digest
        from airflow_provider_bkitsm.collectors.ticket_form import submit_form

        payload, tag, opened = intent["payload"], intent["tag"], context["dag_run"].run_after
        question = self._question()
        fit = self._service(question, payload=payload, opened=opened)
        dialect = self.hook.gateway.dialect
        form = partial(submit_form, question, dialect=dialect, collector=collector, plan=fit.plan, opened=opened)
        request = self._request(fit, form(payload=payload, digest=digest(payload), tag=tag))
        kept = {**self._verdict_source(fit), "request": request, "bkitsm_conn_id": self.bkitsm_conn_id}
        row = self._apply(gate, **intent, **kept)
        self.check_dialect(row)
        if row.ticket_sn is None:
            if row.request is None:
                stored = form(payload=row.etl_payload or {}, digest=str(row.etl_digest), tag=str(row.tag))
                request = self._request(fit, stored)
            meta = self.render_template(self.meta, context) if self.meta else None
            row = self._open(row, first=row.tag == tag, request=row.request or request, meta=meta)
        show_ticket(context["ti"], row.ticket_url)
        self._seen = {"sn": row.ticket_sn, "outcome": Outcome.WAITING, "ticket_url": row.ticket_url}
        return str(row.ticket_sn)

    def _request(self, fit: ServiceFit, form: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is stored and then sent to open the ticket; without ``meta``, which may hold secrets.

        :raises ItsmInvalidRequestError: the service would refuse the form, or it is not plain JSON.
        """
        try:
            fields = json.loads(
                json.dumps(self.hook.gateway.dialect.check_form(fit.service, form), allow_nan=False)
            )
        except (TypeError, ValueError) as error:
            raise ItsmInvalidRequestError(f"the form is not plain JSON: {error}. No ticket was opened") from error
        detail = fit.plan.detail.key if fit.plan.detail else None
        own = {"service_id": fit.service.service_id, "creator": self.asker, "detail_field": detail}
        duties = {name: getattr(self, name) for name in ("forbid_self_approval", "min_approvers")}
        policy = self.hook.verdict_policy(**duties, requester=self._asked_by or self.hook.gateway.username)
        self._check_duties(policy, fit)
        how = {"dialect": self.hook.gateway.dialect.name, "fields": fields, "policy": asdict(policy)}
        return own | how | self._own()

    def _own(self) -> dict[str, Any]:
        """Return what is stored of an application, with a ticket or without: where it was made, and who asks."""
        from airflow_provider_bkitsm.tickets.approval_store import installation

        asked = {REQUESTER: self._asked_by} if self._asked_by else {}
        return {"installation": installation(), **asked}

    def _check_duties(self, policy: VerdictPolicy, fit: ServiceFit) -> None:
        """Refuse an application that nobody could approve, as far as the task names the approvers."""
        people = read_people("approvers", self.approvers) if fit.plan.approvers else ()
        known = Approvers(people=people, most=len(people)) if people else None
        check_can_be_met(replace(policy, **fit.verdict.settings or {}), known)

    def _apply(self, gate: Gate, **intent: Any) -> CollectorRow:
        """Store the intent, or return the one that an earlier try has stored."""
        from airflow_provider_bkitsm.collectors.clean_config import digest

        row = self._begin(self.store.apply, **intent)
        if row.is_bypassed:
            self.store.fail(*self.key, tag=row.tag, reason=f"{gate.setting} now, and it was not complete yet")
            row = self._begin(self.store.apply, **intent)
        if row.etl_digest != digest(intent["payload"]):
            self.log.warning("an earlier try asked for another ETL payload, %s: that one stands", row.etl_digest)
        return row

    def _begin(self, step: Callable[..., CollectorRow], **intent: Any) -> CollectorRow:
        try:
            return check_is_here(step(*self.key, **intent))
        except CollectItsmHasApply:
            if not self._holder_is_over():
                raise
        return check_is_here(step(*self.key, **intent))

    def _holder_is_over(self) -> bool:
        """End an application whose ticket was refused and whose run ended without storing that.

        Airflow skips every waiting task of a run that a person fails or that times out, its last one included.
        The verdict is read as that application has it, whatever this task would do. What its own run has stored as
        approved is ended by nobody else, nor is what nobody has refused.
        """
        row = self.store.get(*self.key)
        if row.ticket_sn is None or row.outcome is Outcome.APPROVED or not row.is_in(self.bkitsm_conn_id):
            return False
        verdict = self.read_verdict(row, row.verdict_settings or {})
        if not (verdict.outcome.frees_collector and verdict.stands):
            return False
        self.record(row, verdict)
        reason = f"{verdict.describe()}; its run ended without completing the collector"
        self.store.fail(*self.key, sn=verdict.sn, reason=reason)
        self.log.warning("collector %s was still held by %s: %s", self.key[1], row.owner, reason)
        return True

    def _open(
        self, row: CollectorRow, *, first: bool, request: Mapping[str, Any], meta: Mapping[str, Any] | None
    ) -> CollectorRow:
        """Open the application's ticket, or find the one an earlier try opened."""
        from airflow_provider_bkitsm.tickets.opener import TicketKey, TicketOpener

        opener, tag = TicketOpener(hook=self.hook), str(row.tag)
        since = row.create_started_at or row.updated_at
        ticket_key = TicketKey(tag=tag, creator=str(request["creator"]), since=since)
        ticket: Opened | None = None if first else self._from_earlier_try(opener, ticket_key, request)
        sent = {"service_id": request["service_id"], "fields": request["fields"], "meta": meta}
        try:
            ticket = ticket or opener.open(ticket_key, **sent)
        except (ItsmInvalidRequestError, ItsmAuthenticationError, ItsmPermissionError) as refused:
            self.store.create_refused(*self.key, tag=tag, reason=f"ITSM refused the ticket: {refused}")
            raise
        if isinstance(ticket, TicketSummary):
            self._check_is_ours(ticket.sn, row)
        return self._record(tag, ticket)

    def _from_earlier_try(self, opener: TicketOpener, key: TicketKey, request: Mapping[str, Any]) -> Opened | None:
        """Search for the ticket as long as it may still appear; then claim the right to open one."""
        found = opener.look_for(key, seconds=opener.seconds_left(key))
        if found is None:
            self.store.recreate(*self.key, tag=key.tag, seen=key.since, request=request)
        else:
            telemetry.adopted(self.bkitsm_conn_id)
        return found

    def _check_is_ours(self, sn: str, row: CollectorRow) -> None:
        """Refuse a ticket with this application's mark that is not what was sent: it was prepared, or edited."""
        from airflow_provider_bkitsm.itsm.confirmation import ticket_differences
        from airflow_provider_bkitsm.itsm.dialect import ask

        if row.request is None:
            return
        info = self.hook.run(ask(lambda itsm: itsm.info(sn)))
        found = ticket_differences(row.request, info, self.hook.gateway.dialect)
        if found:
            raise CollectItsmConflict(
                f"{row.name}: ticket {sn} carries the mark of this application and is not what was sent:"
                f" {'; '.join(found)}. It was not taken, and no second one was opened. A retry looks at it"
                " again; have it ended in ITSM, then clear the task"
            )

    def _record(self, tag: str, ticket: Opened) -> CollectorRow:
        try:
            return self.store.ticket_opened(*self.key, tag=tag, sn=ticket.sn, url=ticket.ticket_url)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"ticket {ticket.sn} is open, but its number could not be stored: {error.message}. A retry"
                " finds the ticket again instead of opening a second one"
            ) from error

    def _verdict_source(self, fit: ServiceFit) -> dict[str, Any]:
        """Return what the store keeps of where the verdict is read: as the task says, and the service's source."""
        named = {key: value for key, value in self.verdict_settings.items() if value is not None}
        source = {**named, **(fit.verdict.settings or {})}
        return {
            "verdict_settings": source or fit.verdict.settings,
            "service": f"{fit.name}: {fit.verdict.reason}",
        }

    def _service(self, question: Question, **application: Any) -> ServiceFit:
        """Choose the service by its fields and flow; log the reason, and which field takes which part.

        :raises ItsmInvalidRequestError: no service fits; the message has every reason.
        """
        from airflow_provider_bkitsm.collectors.service_check import choose
        from airflow_provider_bkitsm.itsm.dialect import ask
        from airflow_provider_bkitsm.itsm.verdict_source import withdrawal_note

        service_id = self.service_id or self.hook.gateway.service
        if service_id:
            services: tuple[Service, ...] = (self.hook.run(ask(lambda itsm: itsm.service(service_id))),)
        else:
            services = self.hook.run(ask(lambda itsm: itsm.log_services()))
        fits = [self._fit(one, question, **application) for one in services]
        fit, why = choose(fits, approvers=question.approvers)
        for note in (why, fit.verdict.reason, *fit.plan.notes):
            self.log.info("%s: %s", printable(fit.name), printable(note))
        if stays_open := withdrawal_note(fit.service):
            self.log.warning("%s: %s", printable(fit.name), stays_open)
        return fit

    def _fit(self, service: Service, question: Question, **application: Any) -> ServiceFit:
        from airflow_provider_bkitsm.collectors.service_check import ServiceFit, plan_fields
        from airflow_provider_bkitsm.itsm.dialect import ask
        from airflow_provider_bkitsm.itsm.verdict_source import verdict_source

        steps, unread = self.hook.run(ask(lambda itsm: itsm.flow_steps(service)))
        if steps is None:
            self.log.info("the flow of service %s cannot be read: %s", service.service_id, unread)
        plan = plan_fields(
            service,
            keys=question.keys,
            approvers=question.approvers,
            steps=steps,
            own=question.fields or {},
            **application,
        )
        policy = self.hook.verdict_policy(**self.verdict_settings)
        return ServiceFit(service=service, plan=plan, verdict=verdict_source(service, steps, policy))

    def _question(self) -> Question:
        from airflow_provider_bkitsm.collectors.ticket_form import Question

        return Question(
            bk_biz_id=self.bk_biz_id,
            approvers=join_people("approvers", self.approvers),
            reason=str(self.reason or ""),
            space=self.space,
            detail_rows=self.detail_rows,
            fields=read_form(self.fields),
            approvers_field=self.approvers_field,
            detail_field=self.detail_field,
            reason_field=self.reason_field,
        )


def _read_gate(bk_biz_id: int) -> Gate:
    """Read from Airflow's configuration whether a business needs approvals.

    :raises ItsmConfigurationError: it cannot be read as on or off.
    """
    from airflow_provider_bkitsm.collectors import approval_switch

    return approval_switch.gate(settings.collect_itsm(), settings.collect_itsm_businesses(), bk_biz_id=bk_biz_id)
