# SPDX-License-Identifier: Apache-2.0
"""Finding the ticket already opened for an approval (promise P2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.idempotency import (
    TicketIdentity,
    approval_tag,
    asks_for,
    creation_tag,
    find_opened,
    is_marked,
    is_marked_as_before,
    marked_title,
    marker,
    shows_marker,
    unmarked_title,
)
from airflow_provider_bkitsm.itsm.models import Progress, TicketInfo
from airflow_provider_bkitsm.itsm.protocol import Call
from tests.itsm.flows import drive

TAG = creation_tag("bkitsm_default", "dag", "run", "task", -1, 0)
SINCE = datetime(2026, 11, 24, tzinfo=UTC)
# A day earlier, as ITSM's clock may be behind ours, and in Shanghai time.
ASKED = {"tag": TAG, "creator": "alice", "create_at__gte": "2026-11-23 08:00:00"}


def item(number: int, **more: Any) -> dict[str, Any]:
    known = {"id": number, "sn": f"REQ{number}", "title": marked_title("t", TAG), "creator": "alice"}
    return known | {"current_status": "RUNNING"} | more


def search(*pages: list[dict[str, Any]]) -> tuple[list[str], int]:
    numbers = count(1)

    def answer(call: Call[Any]) -> dict[str, Any]:
        number = next(numbers)
        assert call.body == ASKED | {"page": number, "page_size": 100}
        return {"page": number, "total_page": len(pages), "count": 99, "items": pages[number - 1]}

    found = drive(find_opened(TAG, creator="alice", since=SINCE), answer)
    return [one.sn for one in found], next(numbers) - 1


def test_a_tag_is_stable_fits_and_differs_by_every_part():
    assert creation_tag("bkitsm_default", "dag", "run", "task", -1, 0) == TAG
    assert len(TAG) == 32
    others = [("x", "dag", "run", "task", -1, 0), ("bkitsm_default", "dag", "run", "task", -1, 1)]
    assert len({TAG, *(creation_tag(*parts) for parts in others)}) == 3
    assert creation_tag("ab", "c") != creation_tag("a", "bc")


def test_p2_a_tag_takes_the_key_and_every_part():
    parts = {"subject": "s", "nonce": "n", "digest": "sha256:d"}
    tags = [approval_tag(b"k", **parts), approval_tag(b"other", **parts)]
    tags += [approval_tag(b"k", **{**parts, name: "x"}) for name in parts]
    tags += [approval_tag(b"k", subject="sn", nonce="", digest="sha256:d")]
    assert len(set(tags)) == len(tags)
    assert {len(tag) for tag in tags} == {32}


def test_p2_our_ticket_is_found():
    assert search([item(3)]) == (["REQ3"], 1)


def test_p2_nothing_found_is_nothing():
    assert search([]) == ([], 1)


def test_p2_several_are_given_oldest_first():
    assert search([item(9), item(4)])[0] == ["REQ4", "REQ9"]


def test_p6_what_an_older_server_returns_without_filtering_is_not_ours():
    foreign = [item(5, title="t #00000000"), item(6, creator="bob"), item(7, title="t")]
    assert search(foreign, [item(8)]) == (["REQ8"], 2)


def test_p4_a_title_is_marked_for_one_tag_only():
    assert is_marked(marked_title("Go live", TAG), TAG)
    assert not is_marked(marked_title("Go live", TAG), "f" * 32)
    assert not is_marked("Go live", TAG)


@pytest.mark.parametrize(
    ("title", "ours"),
    [
        (marked_title("Go live", TAG), True),
        ("Go live #0123abcd", True),
        ("Go live #0123abcd-ab12ab12", True),
        ("Go live [#3abcde], please", False),
        ("Go live [#3abcde]\n", False),
        ("Go live [#hotfix]", False),
        ("Go live [#3abcd]", False),
        ("Go live [#3abcdef]", False),
        ("Go live [#3ABCDE]", False),
        ("Go live #0123abcd, please", False),
        ("Go live #0123abcd\n", False),
        ("#0123abcd Go live", False),
        ("Go live", False),
        ("Go live #123", False),
        ("Go live #0123abcde", False),
    ],
)
def test_a_title_shows_whether_this_provider_opened_the_ticket(title, ours):
    assert shows_marker(title) is ours


def test_the_marker_ends_the_title_set_apart_and_no_longer_than_it_was():
    title = marked_title("Go live", TAG)
    assert title == f"Go live [#{marker(TAG)}]"
    assert len(title) == len("Go live #0123abcd")


@given(st.text())
def test_p4_every_tag_has_a_marker_that_only_its_title_ends_with(tag):
    assert re.fullmatch("[2-9][a-z2-7]{5}", marker(tag))
    assert is_marked(marked_title("Go live", tag), tag)
    assert shows_marker(marked_title("", tag))


def test_p4_markers_of_many_tags_differ():
    tags = [creation_tag(number) for number in range(3_000)]
    assert len({marker(tag) for tag in tags}) == len(tags)


DIGEST = "sha256:" + "ab12" * 16


@pytest.mark.parametrize("title", [f"Go live #{TAG[:8]}", f"Go live #{TAG[:8]}-ab12ab12"])
def test_p2_a_ticket_that_was_opened_before_an_upgrade_is_still_found(title):
    assert is_marked(title, TAG)
    assert is_marked_as_before(title, TAG)
    assert not is_marked(title, "f" * 32)
    assert search([item(3, title=title)]) == (["REQ3"], 1)


def test_p3_such_a_title_may_show_the_beginning_of_what_is_asked():
    assert asks_for(f"Go live #{TAG[:8]}-ab12ab12", DIGEST)
    assert not asks_for(f"Go live #{TAG[:8]}-ab12ab12", "sha256:" + "0" * 64)


def test_p4_a_version_without_records_has_written_no_marker_of_today():
    assert not is_marked_as_before(marked_title("Go live", TAG), TAG)


@pytest.mark.parametrize(
    ("title", "is_ours", "shown"),
    [
        (marked_title("Go live", TAG), False, "Go live"),
        (marked_title("", TAG), False, ""),
        ("Go live #0123abcd", True, "Go live"),
        ("Go live #0123abcd-ab12ab12", True, "Go live"),
        ("Report #20261124", False, "Report #20261124"),
        ("Go live [#hotfix]", True, "Go live [#hotfix]"),
        ("Go live", True, "Go live"),
        ("", False, ""),
    ],
)
def test_people_read_a_title_without_its_marker(title, is_ours, shown):
    assert unmarked_title(title, is_ours=is_ours) == shown


def test_a_title_that_shows_none_is_not_held_against_a_ticket():
    assert asks_for(marked_title("Go live - 2026-1", TAG), DIGEST)


SENT = {"creator": "alice", "service_id": 7, "fields": {"title": marked_title("t", TAG)}}


def _shown(**changes: Any) -> TicketInfo:
    shown: dict[str, Any] = {"title": "t", "creator": "alice(Alice)", "service_id": 7, "created_at": SINCE}
    return TicketInfo(sn="REQ1", current_status="RUNNING", progress=Progress.RUNNING, **(shown | changes))


@pytest.mark.parametrize(
    ("changes", "is_another"),
    [
        ({}, False),
        ({"title": "edited by a person", "created_at": SINCE + timedelta(minutes=59)}, False),
        ({"creator": "zoe"}, True),
        ({"creator": "alicent"}, True),
        ({"service_id": 8}, True),
        ({"created_at": SINCE + timedelta(minutes=61)}, True),
        ({"created_at": SINCE - timedelta(days=1)}, True),
        ({"title": marked_title("edited", TAG), "creator": "zoe", "created_at": SINCE - timedelta(days=1)}, False),
        ({"title": marked_title("t", "0" * 32), "creator": "zoe"}, True),
    ],
)
def test_p6_a_ticket_of_the_same_number_is_told_from_ours(changes, is_another):
    identity = TicketIdentity.of(TAG, SINCE, SENT)
    assert identity is not None
    assert identity.is_another(_shown(**changes)) is is_another


@pytest.mark.parametrize(("tag", "request_"), [(None, SENT), (TAG, None), (TAG, {"creator": "alice"})])
def test_a_ticket_that_was_opened_without_a_record_of_what_was_sent_has_no_identity(tag, request_):
    assert TicketIdentity.of(tag, SINCE, request_) is None


def test_what_is_not_recorded_of_a_ticket_tells_none_from_it():
    identity = TicketIdentity.of(TAG, None, {"fast_approval": True, "service_id": 9, "fields": {}})
    assert identity is not None
    assert not identity.is_another(_shown(creator="zoe", created_at=SINCE + timedelta(days=9)))
