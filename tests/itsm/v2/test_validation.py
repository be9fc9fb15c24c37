# SPDX-License-Identifier: Apache-2.0
"""What a search is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.v2.validation import TicketFilters, write_filters

MOMENT, WRITTEN = datetime(2026, 11, 24, 16, tzinfo=UTC), "2026-11-25 00:00:00"
GOOD = {
    "sns": (["REQ1", "REQ1"], ["REQ1"]),
    "creator": ("alice", "alice"),
    "tag": ("t", "t"),
    "username": ("bob", "bob"),
    "project_key": ("0", "0"),
    "service_id__in": ((7, "8"), [7, "8"]),
    "bk_biz_id__in": ([-1], [-1]),
    "current_status__in": ("RUNNING", ["RUNNING"]),
    "create_at__gte": (MOMENT, WRITTEN),
    "create_at__lte": (MOMENT, WRITTEN),
    "end_at__gte": (MOMENT, WRITTEN),
    "end_at__lte": (MOMENT, WRITTEN),
}


def test_every_filter_is_written_as_itsm_reads_it():
    assert set(GOOD) == set(TicketFilters.__annotations__)
    assert write_filters({name: given for name, (given, _) in GOOD.items()}) == {
        name: written for name, (_, written) in GOOD.items()
    }


@pytest.mark.parametrize("name", [name for name in GOOD if not name.endswith(("gte", "lte"))])
@pytest.mark.parametrize("empty", ["", " ", []])
def test_p6_an_empty_filter_is_never_dropped_silently(name, empty):
    with pytest.raises(ItsmInvalidRequestError, match=name):
        write_filters({"creator": "alice", name: empty})


def test_p6_an_unknown_filter_would_be_ignored_by_itsm_and_is_refused():
    with pytest.raises(TypeError, match=r"no filter page, tga$"):
        write_filters({"tga": "x", "page": 1})


def test_p6_no_filter_at_all_would_find_everybodys_tickets():
    with pytest.raises(ItsmInvalidRequestError, match="without any filter"):
        write_filters({"tag": None})
