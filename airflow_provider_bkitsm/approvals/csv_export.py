# SPDX-License-Identifier: Apache-2.0
"""The approvals list as CSV, which spreadsheets open: in UTF-8 with a byte order mark, and without formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from airflow_provider_bkitsm.approvals.rows import Row
from airflow_provider_bkitsm.approvals.ticket_list import MOST_TASKS, TicketRow
from airflow_provider_bkitsm.translation import Language, Text

_HEADINGS = (
    Text("Number"),
    Text("Title"),
    Text("Status"),
    Text("Step"),
    Text("Waits for"),
    Text("Decided by"),
    Text("Asked by"),
    Text("Opened (UTC)"),
    Text("Deadline (UTC)"),
    Text("Decided (UTC)"),
    Text("Minutes to decide"),
    Text("Remark"),
    Text("Reason"),
    Text("Connection"),
    Text("Address"),
    Text("Tasks"),
)
_STATUSES = {
    "waiting": Text("waiting"),
    "suspended": Text("suspended"),
    "resuming": Text("resuming"),
    "approved": Text("approved"),
    "rejected": Text("rejected"),
    "withdrawn": Text("withdrawn"),
    "terminated": Text("terminated"),
    "timed_out": Text("timed out"),
    "ended": Text("wait ended"),
}
# Spreadsheets run a cell that begins so, full-width characters included. What stands after a semicolon or in a new
# line may become a cell of its own, where the semicolon is what separates cells.
_FORMULA = re.compile("(^|[;\t\r\n])(?=\\s*[=+\\-@＝＋－＠])|^(?=\\s*[\t\r\n])")  # noqa: RUF001
# A cell of a spreadsheet holds 32,767 characters.
_LONGEST = 32_000


def csv_of(tickets: Iterable[TicketRow], *, language: Language = "en") -> str:
    """Return the tickets as CSV, a line for each.

    :param language: of headings and statuses.
    """
    file = io.StringIO(newline="")
    lines = csv.writer(file, quoting=csv.QUOTE_ALL)
    lines.writerow([heading.into(language) for heading in _HEADINGS])
    lines.writerows([harmless(cell)[:_LONGEST] for cell in _cells(ticket, language)] for ticket in tickets)
    return "\ufeff" + file.getvalue()


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe stands before what begins as one."""
    return _FORMULA.sub(lambda found: f"{found[0]}'", text)


def _cells(ticket: TicketRow, language: Language) -> tuple[str, ...]:
    lead = ticket.lead
    return (
        ticket.sn,
        ticket.title,
        _STATUSES[str(ticket.status)].into(language),
        lead.step,
        ", ".join(lead.approvers),
        ", ".join(ticket.decided_by),
        ", ".join(ticket.asked_by),
        _time(ticket.since),
        _time(ticket.deadline),
        _time(ticket.decided_at),
        "" if lead.seconds_to_decide is None else f"{lead.seconds_to_decide / 60:.1f}",
        "\n".join(f"{remark.person}: {remark.text}" for remark in ticket.remarks),
        lead.reason,
        lead.conn_id,
        lead.ticket_url,
        "\n".join(map(_place, ticket.tasks[:MOST_TASKS])),
    )


def _place(row: Row) -> str:
    task = row.task
    index = f"[{task.map_index}]" if task.map_index >= 0 else ""
    return f"{task.dag_id} / {task.run_id} / {task.task_id}{index}"


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""
