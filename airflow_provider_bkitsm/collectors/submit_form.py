# SPDX-License-Identifier: Apache-2.0
"""The form that asks for a collector's approval, filled as far as the service has the fields. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from airflow_provider_bkitsm.collectors.form import collector_detail, shows_digest, ticket_title
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
    approvers_field: str = "approvals"
    detail_field: str = "collector_detail"
    reason_field: str = "apply_reason"


def submit_form(
    question: Question,
    *,
    collector: Mapping[str, Any],
    known: Collection[str],
    opened: date,
    payload: Mapping[str, Any],
    digest: str,
    tag: str,
) -> dict[str, Any]:
    """Return the fields of ``create_ticket``, value by key.

    :param collector: as the log platform's list shows it.
    :param known: keys of the service's form.
    :param opened: the day in the title; an aware time is read as people in Shanghai do.
    :param payload: the ETL payload, and ``digest`` its digest.
    :param tag: of the application; its marker ends the title, whoever wrote that.
    :raises CollectItsmDigestMismatch: ``digest`` is not the payload's.
    :raises ItsmInvalidRequestError: the form would not show the digest.
    """
    own = dict(question.fields or {})
    if "title" in own:
        own["title"] = marked_title(str(own["title"]), tag)
    filled = {
        "title": _title(question, collector, opened, tag),
        "bk_biz_id": _business(question.bk_biz_id),
        question.approvers_field: question.approvers,
        question.reason_field: question.reason or "",
        question.detail_field: collector_detail(
            collector=collector, etl_payload=payload, digest=digest, more=question.detail_rows
        ),
    }
    form = _fitting(filled, question, known) | own
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


def _fitting(filled: Mapping[str, Any], question: Question, known: Collection[str]) -> dict[str, Any]:
    """Return what has a value and a field; what an approval cannot do without goes to ITSM in any case."""
    wanted = {"title", question.approvers_field, question.detail_field, *known}
    return {key: value for key, value in filled.items() if value and key in wanted}


def _check_shows(digest: str, form: Mapping[str, Any], question: Question) -> None:
    if not shows_digest(({"value": value} for value in form.values()), digest):
        raise ItsmInvalidRequestError(
            f"the ticket's form would not show {digest}, the digest of what is approved; leave"
            f" {question.detail_field!r} out of fields. No ticket was opened"
        )
