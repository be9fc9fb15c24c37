# SPDX-License-Identifier: Apache-2.0
"""A collector's audit as rows to read: what happened, when, to which ticket, and who did it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from functools import reduce
from typing import Any

from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.tables import AuditEntry
from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.translation import Language, Text, verbatim

SHORT = 100
"""Characters of an event's details in a table."""

Detail = Mapping[str, Any]


def audit_rows(
    entries: Iterable[AuditEntry], *, limit: int | None = None, language: Language = "en"
) -> list[dict[str, str]]:
    """Return one row of texts for each entry, in the order given. Times are UTC.

    :param limit: how many characters of an event's details are kept; None keeps all.
    :param language: of the details. Names of events and states are the same in every language.
    """
    return [_row(entry, limit, language) for entry in entries]


def _row(entry: AuditEntry, limit: int | None, language: Language) -> dict[str, str]:
    found = _DETAILS.get(entry.event, _as_json)(entry.detail)
    details = " ".join((found.into(language) if isinstance(found, Text) else found).split())
    row = {
        "when": f"{entry.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "event": entry.event,
        "from": entry.from_state.value,
        "to": entry.to_state.value,
        "ticket": entry.ticket_sn or "",
        "owner": _path(entry.owner),
        "actor": _actor(entry),
        "details": details if limit is None else _shortened(details, limit),
    }
    return {name: printable(text) for name, text in row.items()}


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _path(owner: Owner | None) -> str:
    if owner is None:
        return ""
    index = f"[{owner.map_index}]" if owner.map_index >= 0 else ""
    return f"{owner.dag_id}/{owner.run_id}/{owner.task_id}{index}"


def _actor(entry: AuditEntry) -> str:
    """Return who did it, without the run if the owner beside it names the same one."""
    run = f" of run {entry.owner.run_id} of DAG {entry.owner.dag_id}" if entry.owner else ""
    return (entry.actor or "").replace(run, "")


def _application(detail: Detail) -> str:
    digest = detail.get("etl_digest")
    etl = Text("ETL {digest}", digest=str(digest)[:19]) if digest else Text("ETL of unknown digest")
    return Text("{setting}; {etl}", setting=detail["setting"], etl=etl) if detail.get("setting") else etl


def _verdict(detail: Detail) -> str:
    """Return the outcome and each approver's answer."""
    outcome = str(detail.get("outcome"))
    answers = [_answer(one) for one in (detail.get("detail") or {}).get("approvers") or ()]
    return reduce(lambda first, rest: Text("{first}; {rest}", first=first, rest=rest), answers, verbatim(outcome))


def _answer(one: Detail) -> Text:
    person = one.get("operator") or Text("the system")
    match one.get("approved"):
        case None:
            answer = Text("{person} answered", person=person)
        case approved:
            answer = (
                Text("{person} said yes", person=person) if approved else Text("{person} said no", person=person)
            )
    return Text("{answer}: {remark}", answer=answer, remark=one["remark"]) if one.get("remark") else answer


def _result(detail: Detail) -> str:
    result = detail.get("result") or {}
    keys = (key for key in ("table_id", "etl_config", "index_set_id") if key in result)
    return ", ".join(f"{key} {result[key]}" for key in keys)


def _as_json(detail: Detail) -> str:
    return json.dumps(detail, ensure_ascii=False, sort_keys=True) if detail else ""


def _text(detail: Detail, key: str) -> str:
    return str(detail.get(key) or "")


def _reason(detail: Detail) -> str:
    return _text(detail, "reason")


_DETAILS: Mapping[str, Callable[[Detail], str]] = {
    "apply": _application,
    "bypassed": _application,
    "recreate": lambda _: Text("no ticket was found; it is opened once more"),
    "ticket_opened": lambda detail: _text(detail, "url"),
    "create_refused": _reason,
    "decided": _verdict,
    "provisioned": _result,
    "etl_failed": _reason,
    "fail": _reason,
}
