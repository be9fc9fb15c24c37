# SPDX-License-Identifier: Apache-2.0
"""The picture of a collector's states."""

from __future__ import annotations

import json

import pytest

from airflow_provider_bkitsm.approvals.state_diagram import HEIGHT, WIDTH, state_diagram
from airflow_provider_bkitsm.collectors.row import CollectorState, state_label

NOT, APPLYING = CollectorState.NOT_APPLY, CollectorState.APPLYING
FAIL, SUCCESS = CollectorState.FAIL_APPLY, CollectorState.SUCCESS_APPLY


@pytest.mark.parametrize("current", CollectorState)
def test_every_state_has_a_box_and_the_current_one_is_marked(current):
    drawn = state_diagram(current, [])
    assert {one.state for one in drawn.boxes} == {one.value for one in CollectorState}
    assert [one.state for one in drawn.boxes if one.current] == [current.value]
    assert [one.state for one in drawn.boxes if one.visited] == [current.value]


def test_the_way_gone_is_counted():
    steps = [(NOT, APPLYING), (APPLYING, APPLYING), (APPLYING, FAIL), (FAIL, APPLYING), (APPLYING, FAIL)]
    drawn = state_diagram(FAIL, steps)
    gone = {(one.start, one.end): one.times for one in drawn.ways if one.times}
    assert gone == {("not_apply", "applying"): 1, ("applying", "fail_apply"): 2, ("fail_apply", "applying"): 1}
    assert {one.state for one in drawn.boxes if not one.visited} == {"success_apply"}


def test_boxes_lie_inside_and_apart():
    boxes = state_diagram(NOT, []).boxes
    for one in boxes:
        assert one.width / 2 <= one.x <= WIDTH - one.width / 2
        assert one.height / 2 <= one.y <= HEIGHT - one.height / 2
    apart = [abs(a.x - b.x) >= a.width or abs(a.y - b.y) >= a.height for a in boxes for b in boxes if a is not b]
    assert all(apart)


def test_the_picture_is_plain_json_and_every_way_has_its_line():
    drawn = json.loads(json.dumps(state_diagram(NOT, [(NOT, APPLYING)]).as_dict()))
    assert (drawn["width"], drawn["height"]) == (WIDTH, HEIGHT)
    assert len(drawn["boxes"]) == 4
    assert len({way["path"] for way in drawn["ways"]}) == 5
    assert all(way["path"].startswith("M ") for way in drawn["ways"])


def test_labels_are_the_log_platforms():
    drawn = {one.state: (one.zh, one.en) for one in state_diagram(NOT, []).boxes}
    assert drawn == {one.value: (state_label(one, language="zh"), state_label(one)) for one in CollectorState}


def test_a_step_that_is_not_drawn_still_visits():
    assert {one.state for one in state_diagram(SUCCESS, [(FAIL, SUCCESS)]).boxes if one.visited} == {
        "fail_apply",
        "success_apply",
    }
