# SPDX-License-Identifier: Apache-2.0
"""Tickets and collectors as the pages show them: texts and rows, so that templates decide nothing. Pure.

The sandbox's own words are texts with a Chinese translation; what ITSM and people wrote stays as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm.log_entries import complex_entries
from airflow_provider_bkitsm.sandbox.itsm.tickets import FINISHED, Ticket, split_names
from airflow_provider_bkitsm.sandbox.itsm_v4.installation import InstallationV4
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import DRAFT as V4_DRAFT
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import REVOKED as V4_REVOKED
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import RUNNING as V4_RUNNING
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import SUSPENDED as V4_SUSPENDED
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import TERMINATED as V4_TERMINATED
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import Ticket as TicketV4
from airflow_provider_bkitsm.sandbox.itsm_v4.views import verdict_of
from airflow_provider_bkitsm.sandbox.times import maybe_shanghai, shanghai
from airflow_provider_bkitsm.translation import Text, verbatim

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WORDS = {
    "RUNNING": Text("waiting"),
    "SUSPENDED": Text("suspended"),
    "REVOKED": Text("withdrawn"),
    "TERMINATED": Text("terminated"),
}

Row = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class FormField:
    """A form field: either text, or rows of a CUSTOM-FORM.

    :param unreadable: a CUSTOM-FORM that was sent as text, which ITSM's page cannot show as a form.
    """

    name: str
    text: str = ""
    rows: tuple[Row, ...] = ()
    unreadable: bool = False


def shown_ticket(ticket: Ticket, now: float) -> dict[str, Any]:
    """Return a ticket for the pages; ``version`` differs whenever its card has to be drawn anew."""
    node = ticket.current_node
    word, tone = _verdict(ticket)
    return {
        "id": ticket.id,
        "sn": ticket.sn,
        "title": ticket.title,
        "service": ticket.service.name,
        "creator": ticket.creator,
        "word": word,
        "tone": tone,
        "opened": shanghai(ticket.create_at),
        "ended": maybe_shanghai(ticket.end_at) or "",
        "age": age(now - ticket.create_at),
        "people": ticket.waits_for,
        "step": node.name if node else "",
        "by": ticket.last_answer_by,
        "orphan": ticket.orphan or bool(ticket.stuck),
        "over": ticket.over,
        "fields": [
            field_of(one.name, ticket.fields.get(one.key), kind=one.type)
            for one in ticket.service.form[1:]
            if ticket.fields.get(one.key) not in (None, "")
        ],
        "logs": [_log_line(line) for line in complex_entries(ticket)],
        "version": f"{ticket.status}-{ticket.open}-{len(ticket.logs)}",
    }


_V4_WORDS = {
    V4_DRAFT: Text("starting"),
    V4_RUNNING: Text("waiting"),
    V4_SUSPENDED: Text("suspended"),
    V4_REVOKED: Text("withdrawn"),
    V4_TERMINATED: Text("terminated"),
}


def shown_ticket_v4(itsm: InstallationV4, ticket: TicketV4, now: float) -> dict[str, Any]:
    """Return a ticket of ITSM v4 as :func:`shown_ticket` returns one of v2; its number is its id."""
    workflow = itsm.workflows[ticket.workflow_key]
    names = {one.key: one.name for one in workflow.form}
    approved = verdict_of(itsm, ticket)
    word = _V4_WORDS.get(ticket.status) or (Text("approved") if approved else Text("rejected"))
    return {
        "id": ticket.id,
        "sn": ticket.sn,
        "title": ticket.title,
        "service": f"{workflow.name} (v4)",
        "creator": ticket.creator,
        "word": word,
        "tone": "good" if approved else "bad" if ticket.over else "soft",
        "opened": shanghai(ticket.created_at),
        "ended": maybe_shanghai(ticket.end_at) or "",
        "age": age(now - ticket.created_at),
        "people": ticket.waits_for,
        "step": workflow.steps[ticket.step].name if 0 <= ticket.step < len(workflow.steps) else "",
        "by": ticket.last_answer_by,
        "orphan": False,
        "over": ticket.over,
        "fields": [
            field_of(names[key], ", ".join(value) if isinstance(value, list) else value, kind="")
            for key, value in ticket.form.items()
            if key != "ticket__title" and value not in (None, "", [])
        ],
        "logs": [
            {
                "at": shanghai(line["at"]),
                "operator": line["operator"] or Text("system"),
                "message": line["action_display"],
                "remark": line["remark"],
            }
            for line in ticket.logs
        ],
        "version": f"{ticket.status}-{ticket.step}-{len(ticket.logs)}",
    }


def shown_collector(row: dict[str, Any], writes: int) -> dict[str, Any]:
    """Return a collector for the page."""
    fields = row.get("fields") or []
    return {
        "id": row["collector_config_id"],
        "name": row["collector_config_name"],
        "description": row.get("description") or "",
        "business": row["bk_biz_id"],
        "active": row["is_active"],
        "processor": row["etl_processor"],
        "paths": (row.get("params") or {}).get("paths") or [],
        "itsm": row["itsm_ticket_status"],
        "etl": row["etl_config"] or "",
        "table": row["table_id"] or "",
        "index_set": row["index_set_id"],
        "cluster": row["storage_cluster_id"],
        "retention": row["retention"],
        "fields": [f"{one.get('field_name')}: {one.get('field_type')}" for one in fields],
        "writes": writes,
    }


def age(seconds: float) -> Text:
    """Return how long ago, in the two largest units."""
    if seconds < _MINUTE:
        return Text("just now")
    minutes = int(seconds // _MINUTE)
    hours, days = minutes // 60, int(seconds // _DAY)
    if seconds < _HOUR:
        return Text("{minutes} min", minutes=minutes)
    if seconds < _DAY:
        return Text("{hours} h {minutes} min", hours=hours, minutes=minutes % 60)
    return Text("{days} d {hours} h", days=days, hours=hours % 24)


def field_of(name: str, value: Any, *, kind: str) -> FormField:
    """Return a field's value as it is stored: a CUSTOM-FORM as rows, anything else as text.

    A CUSTOM-FORM that was sent as text is stored with ``&quot;``; ITSM's page cannot parse it, nor does this one.
    """
    rows = _form_rows(value)
    if rows:
        return FormField(name=name, rows=rows)
    if isinstance(value, str):
        text = ", ".join(split_names(value)) if kind == "MEMBERS" else value
        return FormField(name=name, text=text, unreadable=kind == "CUSTOM-FORM" and value.lstrip().startswith("{"))
    return FormField(name=name, text=json.dumps(value, ensure_ascii=False, indent=1))


def _form_rows(value: Any) -> tuple[Row, ...]:
    """Return the rows of a CUSTOM-FORM (docs/log-platform-behaviour.md#collectors-details)."""
    blocks = value.get("form_data") if isinstance(value, dict) else None
    return tuple(row for block in blocks for row in _block_rows(block)) if isinstance(blocks, list) else ()


def _block_rows(block: Any) -> list[Row]:
    if not isinstance(block, dict):
        return []
    inner = block.get("children")
    lines = inner if isinstance(inner, list) and inner else [block]
    return [_row(line) for line in lines if isinstance(line, dict)]


def _row(line: dict[str, Any]) -> Row:
    value = line.get("value")
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return str(line.get("label") or "").rstrip(":： "), text


def _verdict(ticket: Ticket) -> tuple[Text, str]:
    if ticket.status == FINISHED:
        if not ticket.results and ticket.service.nodes:
            return Text("finished"), "soft"
        return (Text("approved"), "good") if ticket.approve_result else (Text("rejected"), "bad")
    return _WORDS.get(ticket.status) or verbatim(ticket.status.lower()), "bad" if ticket.over else "soft"


def _log_line(line: dict[str, Any]) -> dict[str, Any]:
    decided = line["from_state_type"] == "APPROVAL"
    remarks = [one["value"] for one in line["form_data"] if decided and one["type"] == "TEXT" and one["value"]]
    return {
        "at": line["operate_at"],
        "operator": line["operator"] or Text("system"),
        "message": line["message"],
        "remark": remarks[0] if remarks else "",
    }
