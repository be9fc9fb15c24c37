# SPDX-License-Identifier: Apache-2.0
"""The sandbox's log platform answers every recorded request as the real one did."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.record import BKLOG
from tests.sandbox.bklog.replay import OF_A_CROWD, SITUATIONS, prepared

# Of the recording, not of the platform: its times, its people, its numbers, its imitations' addresses.
_PERSONAL = frozenset({"created_at", "created_by", "updated_at", "updated_by", "ticket_url", "iframe_ticket_url"})
_ADDRESSES = frozenset({"storage_cluster_domain_name", "title", "apply_url"})
_SAME_KIND = _PERSONAL | _ADDRESSES | {"index_set_id"}
_READS = ("get_collector", "list_collectors")


def alike(value: Any, key: str = "") -> Any:
    """Return a value as it is to be compared: what is of the recording by its kind alone."""
    if key in _SAME_KIND:
        return type(value).__name__
    if isinstance(value, dict):
        return {name: alike(one, name) for name, one in value.items()}
    return [alike(one) for one in value] if isinstance(value, list) else value


def test_all_of_them_are_replayed():
    assert len(BKLOG) == 137
    situations = {name.partition("__")[2] for name in BKLOG}
    assert SITUATIONS.keys() | OF_A_CROWD <= situations


@pytest.mark.parametrize("name", BKLOG)
def test_the_answer(name):
    record = BKLOG[name]
    answer = prepared(name).ask(record)
    assert (answer.status_code, answer.headers["content-type"]) == (record["status"], record["content_type"])
    recorded, body = record["body"], answer.json()
    assert body.keys() == recorded.keys()
    assert (body["result"], body["code"]) == (recorded["result"], recorded["code"])
    assert type(body["code"]) is type(recorded["code"])
    assert alike(body["data"]) == alike(recorded["data"])
    # The codes are the platform's; the words are not compared, but every one carries its code.
    codes = re.findall(r"（(\d+)）", recorded["message"])
    assert re.findall(r"（(\d+)）", body["message"])[: len(codes)] == codes
    assert (body.get("errors") is None) == (recorded.get("errors") is None)


@pytest.mark.parametrize("name", [one for one in BKLOG if one.startswith(_READS)])
def test_reading_changes_nothing(name):
    stage = prepared(name)
    assert alike(stage.ask(BKLOG[name]).json()["data"]) == alike(stage.ask(BKLOG[name]).json()["data"])
