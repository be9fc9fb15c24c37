# SPDX-License-Identifier: Apache-2.0
"""What the store knows of tickets that were opened."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.hooks import store as module
from airflow_provider_bkitsm.tickets.opening_records import SentTicket, read_sent_tickets
from tests.tickets.records import CONN, record_round


@pytest.mark.parametrize("fields", [{"title": "上线 7"}, {"title": 7}, {}, None, "x"])
def test_what_was_sent_is_read_for_many_tickets_at_once(engine, monkeypatch, fields):
    monkeypatch.setattr(module, "store_engine", lambda *_: engine)
    opened_at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    for number in range(3):
        record_round(f"REQ{number}", run_id=f"run_{number}", request={"fields": fields}, opened_at=opened_at)
    record_round("REQ1", run_id="elsewhere", conn_id="another", request={"fields": {"title": "no"}})
    asked = {(CONN, f"REQ{number}") for number in range(1200)}
    title = "上线 7" if fields == {"title": "上线 7"} else ""
    sent = SentTicket(title=title, opened_at=opened_at)
    assert read_sent_tickets(asked) == {(CONN, f"REQ{number}"): sent for number in range(3)}
    assert read_sent_tickets([]) == {}
