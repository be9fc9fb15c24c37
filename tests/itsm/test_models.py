# SPDX-License-Identifier: Apache-2.0
"""What the inner model keeps of an ITSM's answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.itsm.models import (
    CreatedTicket,
    Progress,
    TicketInfo,
    TicketState,
    TicketStatus,
    TicketSummary,
    web_address,
)
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict

GOOD = [
    "https://itsm.example.com/#/ticket/detail?id=3&a=%E4%BD%A0",
    "HTTP://itsm",
    "http://[::1]:8000/weixin/#/ticket/3/",
    "https://审批.example.com/工单/1",
]
BAD = [
    "javascript:alert(1)",
    "JavaScript:alert(1)//https://itsm.example.com",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://itsm.example.com/",
    "//itsm.example.com",
    "/ticket/3",
    "https://",
    "https:itsm.example.com",
    "https://itsm.example.com/\nforged line",
    "https://itsm.example.com/\x1b[2J",
    "https://itsm.example.com/\u202egnp.exe",
    'https://itsm.example.com/"><script>',
    "https://itsm.example.com\\@evil.example.com",
    "java\nscript:alert(1)",
    "",
    None,
    7,
]


@pytest.mark.parametrize("address", GOOD)
def test_an_http_address_is_kept(address):
    assert web_address(f" {address} ") == address


@pytest.mark.parametrize("address", BAD)
def test_anything_else_is_no_address(address):
    assert web_address(address) == ""


@pytest.mark.parametrize("address", [one for one in BAD if one])
def test_no_model_of_a_ticket_has_another_address(address):
    about = {"sn": "REQ1", "current_status": "RUNNING", "progress": Progress.RUNNING}
    status = {name: about[name] for name in ("current_status", "progress")}
    tickets = [
        CreatedTicket(sn="REQ1", ticket_url=address),
        TicketStatus(**status, ticket_url=address, iframe_ticket_url=address),
        TicketState(**about, approve_result=None, ticket_url=address),
        TicketInfo(**about, created_at=datetime.now(UTC), ticket_url=address, iframe_ticket_url=address),
        TicketSummary(id=1, **about, ticket_url=address),
        Verdict.from_dict({"sn": "REQ1", "outcome": Outcome.WAITING, "ticket_url": address}),
    ]
    for ticket in tickets:
        assert ticket.ticket_url == ""
        assert getattr(ticket, "iframe_ticket_url", "") == ""
