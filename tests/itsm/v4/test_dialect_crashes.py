# SPDX-License-Identifier: Apache-2.0
"""Crashes and lost answers around the opening of an ITSM v4 ticket: there is one ticket, and it is found (P2)."""

from __future__ import annotations

import os
from contextlib import suppress
from random import Random
from typing import Any

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from tests.itsm.v4.test_dialect import opened

# More of them: `BKITSM_V4_CRASHES=1000`.
CRASHES = int(os.environ.get("BKITSM_V4_CRASHES", "6"))
TROUBLES: tuple[dict[str, Any], ...] = (
    {"kind": "drop_answer"},
    {"kind": "page", "status": 502},
    {"kind": "status", "status": 504},
    {"kind": "html"},
    {"kind": "refuse", "status": 500, "code": "40000"},
)


class Killed(BaseException):
    """What a worker does not survive."""


def test_p2_no_crash_around_a_create_makes_two_tickets_or_none(itsm, task, changed, monkeypatch):
    changed(settle_seconds=0.05)
    chance, change = Random(4), ApprovalStore.change
    fuse = {"left": -1}

    def change_or_die(store: ApprovalStore, record: Any, **values: Any) -> Any:
        fuse["left"] -= 1
        if fuse["left"] == 0:
            raise Killed
        return change(store, record, **values)

    monkeypatch.setattr(ApprovalStore, "change", change_or_die)
    for number in range(CRASHES):
        run_id = f"run_{number}"
        for try_number in range(1, 4):
            fuse["left"] = chance.choice([-1, 1, 2])
            if chance.random() < 0.7:
                trouble = dict(chance.choice(TROUBLES))
                itsm.fault("ticket/create", trouble.pop("kind"), **trouble)
            with suppress(Killed, errors.ItsmError):
                opened(task, run_id=run_id, try_number=try_number)
            itsm.clear_faults()
        fuse["left"] = -1
        sn = opened(task, run_id=run_id, try_number=4)
        ours = [one["sn"] for one in itsm.tickets() if one["status"] not in ("revoked", "termination")]
        assert ours == [sn]
        itsm.withdraw(sn)
