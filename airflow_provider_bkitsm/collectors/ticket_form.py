# SPDX-License-Identifier: Apache-2.0
"""The form that asks for a collector's approval, filled as far as the service has the fields. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch
from airflow_provider_bkitsm.collectors.form import digests_in, is_detail_of, ticket_title
from airflow_provider_bkitsm.collectors.service_check import (
    APPROVERS_FIELD,
    DETAIL_FIELD,
    REASON_FIELD,
    FieldPlan,
    Keys,
)
from airflow_provider_bkitsm.itsm.dialect import Dialect
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.idempotency import marked_title, marker
from airflow_provider_bkitsm.itsm.models import FormField


@dataclass(frozen=True, kw_only=True)
class Question:
    """The question to the approvers, and the fields of the service's form that take it.

    :param approvers: names joined by commas.
    :param space: name of the business in the title; None takes the collector's.
    :param detail_rows: further rows for the approver, value by label.
    :param fields: further values by key; they take the place of those filled here.
    """

    bk_biz_id: int | str
    approvers: str
    reason: str | None = None
    space: str | None = None
    detail_rows: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] | None = None
    approvers_field: str = APPROVERS_FIELD
    detail_field: str = DETAIL_FIELD
    reason_field: str = REASON_FIELD

    @property
    def keys(self) -> Keys:
        """The fields as the task names them."""
        return Keys(approvers=self.approvers_field, detail=self.detail_field, reason=self.reason_field)


def submit_form(
    question: Question,
    *,
    dialect: Dialect,
    collector: Mapping[str, Any],
    plan: FieldPlan,
    opened: date,
    payload: Mapping[str, Any],
    digest: str,
    tag: str,
) -> dict[str, Any]:
    """Return the fields the ticket is opened with, value by key.

    :param dialect: of the ITSM that the form is for.
    :param collector: as the log platform's list shows it.
    :param plan: which field of the service takes what.
    :param opened: the day in the title; an aware time is read as people in Shanghai do.
    :param payload: the ETL payload, and ``digest`` its digest.
    :param tag: of the application; its marker ends the title, also one that the task gives.
    :raises CollectItsmDigestMismatch: ``digest`` is not the payload's.
    :raises ItsmInvalidRequestError: the detail's field would not show this payload and its digest, or another
        digest beside it.
    """
    own = dict(question.fields or {})
    if "title" in own:
        own["title"] = marked_title(str(own["title"]), tag)
    reason, more = question.reason or "", dict(question.detail_rows or {})
    if reason and plan.reason is None:
        more["申请原因："] = reason
    detail = {"collector": collector, "etl_payload": payload, "digest": digest}
    values = {
        plan.approvers: question.approvers,
        plan.reason.key if plan.reason else None: plan.reason_value(dialect, reason),
        plan.detail.key if plan.detail else None: plan.detail_value(dialect, more=more, **detail),
        "bk_biz_id" if plan.takes_business else None: _business(question.bk_biz_id),
    }
    filled = {key: value for key, value in values.items() if key is not None and value != ""}
    form = {"title": _title(question, collector, opened, tag, dialect), **filled, **plan.filled, **own}
    _check_shows(form, plan, payload=payload, digest=digest)
    return form


def _title(question: Question, collector: Mapping[str, Any], opened: date, tag: str, dialect: Dialect) -> str:
    name = collector.get("collector_config_name") or collector.get("collector_config_id")
    space = question.space or collector.get("space_name") or question.bk_biz_id
    names = {"space": str(space), "collector_name": str(name)}
    return ticket_title(dialect=dialect, **names, created=opened, marker=marker(tag))


def _business(bk_biz_id: int | str) -> int | str:
    """Return a business as the log platform sends it, a number."""
    text = str(bk_biz_id).strip()
    return int(text) if text.removeprefix("-").isdecimal() else text


def _check_shows(form: Mapping[str, Any], plan: FieldPlan, *, payload: Mapping[str, Any], digest: str) -> None:
    key = plan.detail.key if plan.detail else DETAIL_FIELD
    if is_detail_of(form.get(key), etl_payload=payload, digest=digest):
        return
    others = ", ".join(sorted(digests_in(form.get(key)) - {digest}))
    if others:
        raise ItsmInvalidRequestError(
            f"the ticket's form would show {others} beside {digest}, the digest of what is approved; leave it out"
            " of reason, detail_rows, the payload and the collector's description. No ticket was opened"
        )
    raise ItsmInvalidRequestError(
        f"the ticket's form would not show {digest}, the digest of what is approved, as the payload's own rows;"
        f" leave {key!r} out of fields, and labels that begin with ETL out of detail_rows. No ticket was opened"
    )


def check_approved_form(
    fields: Iterable[FormField],
    *,
    sn: str,
    request: Mapping[str, Any] | None,
    payload: Mapping[str, Any],
    digest: str,
) -> None:
    """Refuse a payload that is not the one an approved ticket shows in the detail's field (promise P3).

    :param fields: the ticket's, as ITSM shows them.
    :param request: what was sent; None for a ticket that an earlier version opened, of which only the digest in
        the detail's field is compared.
    :param payload: the ETL payload as it is stored, and ``digest`` its digest.
    :raises CollectItsmDigestMismatch: the ticket shows another payload, or several.
    """
    if request is not None:
        sent = (request.get("fields") or {}).get(request.get("detail_field"))
        if not is_detail_of(sent, etl_payload=payload, digest=digest):
            raise _other_payload(sn, digest, digests_in(sent))
    digests = [digests_in(field.value) for field in _detail_fields(list(fields), request)]
    if not digests or any(found != {digest} for found in digests):
        raise _other_payload(sn, digest, set().union(*digests))


def _detail_fields(fields: Sequence[FormField], request: Mapping[str, Any] | None) -> list[FormField]:
    """Return the ticket's fields that hold the detail.

    The request names the field. Without a request it is the log platform's, else the only one that shows a digest.
    """
    key = DETAIL_FIELD if request is None else request.get("detail_field")
    found = [field for field in fields if field.key == key]
    if found or request is not None:
        return found
    showing = {field.key for field in fields if digests_in(field.value)}
    return [field for field in fields if field.key in showing] if len(showing) == 1 else []


def _other_payload(sn: str, digest: str, digests: set[str]) -> CollectItsmDigestMismatch:
    found, alone = ", ".join(sorted(digests)) or "none", " alone" if digest in digests else ""
    return CollectItsmDigestMismatch(
        f"ticket {sn} does not show {digest}, the digest of the stored ETL payload, in the field for it"
        f"{alone}, but {found}: what was approved is something else. Nothing was provisioned, and a retry is"
        " refused; apply again"
    )
