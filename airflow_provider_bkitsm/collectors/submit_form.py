# SPDX-License-Identifier: Apache-2.0
"""The form that asks for a collector's approval, filled as far as the service has the fields. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from airflow_provider_bkitsm.collectors.form import shows_digest, ticket_title
from airflow_provider_bkitsm.collectors.service_fit import (
    APPROVERS_FIELD,
    DETAIL_FIELD,
    REASON_FIELD,
    FieldPlan,
    Keys,
)
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.opening import marked_title, marker


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of whom, and which fields of the service's form take it.

    :param approvers: names joined by commas.
    :param space: name of the business in the title; None takes the collector's.
    :param detail_rows: what else the approver is to see, value by label.
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
    collector: Mapping[str, Any],
    plan: FieldPlan,
    opened: date,
    payload: Mapping[str, Any],
    digest: str,
    tag: str,
) -> dict[str, Any]:
    """Return the fields of ``create_ticket``, value by key.

    :param collector: as the log platform's list shows it.
    :param plan: which field of the service takes what.
    :param opened: the day in the title; an aware time is read as people in Shanghai do.
    :param payload: the ETL payload, and ``digest`` its digest.
    :param tag: of the application; its marker ends the title, whoever wrote that.
    :raises CollectItsmDigestMismatch: ``digest`` is not the payload's.
    :raises ItsmInvalidRequestError: the form would not show the digest.
    """
    own = dict(question.fields or {})
    if "title" in own:
        own["title"] = marked_title(str(own["title"]), tag)
    reason, more = question.reason or "", dict(question.detail_rows or {})
    if reason and plan.reason is None:
        more["申请原因："] = reason
    shown = {"collector": collector, "etl_payload": payload, "digest": digest}
    values = {
        plan.approvers: question.approvers,
        plan.reason.key if plan.reason else None: plan.reason_value(reason),
        plan.detail.key if plan.detail else None: plan.detail_value(more=more, **shown),
        "bk_biz_id" if plan.takes_business else None: _business(question.bk_biz_id),
    }
    filled = {key: value for key, value in values.items() if key is not None and value != ""}
    form = {"title": _title(question, collector, opened, tag), **filled, **plan.filled, **own}
    _check_shows(digest, form, question)
    return form


def _title(question: Question, collector: Mapping[str, Any], opened: date, tag: str) -> str:
    name = collector.get("collector_config_name") or collector.get("collector_config_id")
    space = question.space or collector.get("space_name") or question.bk_biz_id
    return ticket_title(space=str(space), collector_name=str(name), created=opened, marker=marker(tag))


def _business(bk_biz_id: int | str) -> int | str:
    """Return a business as the log platform sends it, a number."""
    text = str(bk_biz_id).strip()
    return int(text) if text.removeprefix("-").isdecimal() else text


def _check_shows(digest: str, form: Mapping[str, Any], question: Question) -> None:
    if not shows_digest(({"value": value} for value in form.values()), digest):
        raise ItsmInvalidRequestError(
            f"the ticket's form would not show {digest}, the digest of what is approved; leave"
            f" {question.detail_field!r} out of fields. No ticket was opened"
        )
