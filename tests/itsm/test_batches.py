# SPDX-License-Identifier: Apache-2.0
"""Asking for more tickets than one call may."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm import errors, protocol
from airflow_provider_bkitsm.itsm.v2 import calls
from tests.itsm.flows import drive

SNS = [f"REQ{number}" for number in range(5)]


def row(sn: str, **more):
    return {"sn": sn, "current_status": "RUNNING", "approve_result": False} | more


def test_a_call_is_split_only_when_it_is_too_large():
    call = calls.ticket_approval_result(SNS)
    assert [protocol.is_too_large(call, size) for size in (4, 5)] == [True, False]
    assert not protocol.is_too_large(calls.get_tickets(sns=SNS), 1)


def test_the_rows_of_all_pieces_are_joined():
    asked = []

    def answer(call):
        asked.append(call.body["sn"])
        return [row(sn) for sn in reversed(call.body["sn"])]

    rows = drive(protocol.in_batches(calls.ticket_approval_result([*SNS, *SNS]), 2), answer)
    assert asked == [SNS[:2], SNS[2:4], SNS[4:]]
    assert {one.sn for one in rows} == set(SNS)
    assert len(rows) == len(SNS)


def test_one_ticket_asked_for_in_two_spellings_is_one_row():
    call = calls.ticket_approval_result(["REQ1", "req1"])
    assert len(drive(protocol.in_batches(call, 1), lambda _call: [row("REQ1")])) == 1


def test_p3_a_number_that_itsm_holds_twice_stays_twice():
    call = calls.ticket_approval_result(["REQ1", "REQ2"])
    rows = drive(protocol.in_batches(call, 1), lambda one: [row(one.body["sn"][0])] * 2)
    assert [one.sn for one in rows] == ["REQ1", "REQ1", "REQ2", "REQ2"]


def test_p3_a_piece_that_fails_fails_the_whole():
    down = errors.ItsmUnavailableError("down")
    answers = iter([[row("REQ0")], down])
    with pytest.raises(errors.ItsmUnavailableError, match="down"):
        drive(protocol.in_batches(calls.ticket_approval_result(SNS), 1), lambda _call: next(answers))
