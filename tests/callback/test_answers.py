# SPDX-License-Identifier: Apache-2.0
"""What a callback is answered (docs/itsm-behaviour.md#accepted-callback), and how little an outsider learns."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.callback.answers import Result, answer

REFUSED = [one for one in Result if one.startswith("refused")]
LATER = [Result.UNAVAILABLE, Result.FAILED]


@pytest.mark.parametrize("result", [one for one in Result if one not in REFUSED + LATER])
def test_what_was_taken_is_delivered_in_itsms_eyes(result):
    assert answer(result) == (200, {"result": True, "code": 0, "message": "success", "data": None})


def test_p4_all_refusals_look_alike():
    assert len(REFUSED) == 5
    assert len({str(answer(one)) for one in REFUSED}) == 1


@pytest.mark.parametrize("result", REFUSED + LATER)
def test_p1_what_was_not_taken_is_listed_as_failed(result):
    status, body = answer(result)
    assert status == (403 if result in REFUSED else 503)
    assert isinstance(body["code"], int)
    assert body["code"] != 0
