# SPDX-License-Identifier: Apache-2.0
"""A round whose kill is a clean-up of Airflow's database: what it cuts off is named, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from airflow_provider_bkitsm.collectors.row import CollectorState
from tests.chaos.cases import Case
from tests.chaos.rounds import Result, Round

# One that finds a ticket whose number had got lost, and one that takes it up.
_LOOKS = 2


class CleanUp(Round):
    """Runs of which Airflow still has all rows have to end as decided; reconciliation has to name the others."""

    def play(self) -> list[Result]:
        """Play it; what is cut off is looked at after the others have ended, which the looks do not touch then."""
        self.bring_to_their_points()
        self.strike()
        cut = [case for case in self.cases if case.is_cut()]
        whole = [case for case in self.cases if case not in cut]
        self.decide(whole)
        results = [self.result(case, case.problems) for case in whole]
        return [*results, *self._cut_off(cut)] if cut else results

    def _cut_off(self, cases: Collection[Case]) -> list[Result]:
        names = self._look()
        unnamed = {case: _unnamed(case, names) for case in cases}
        for case in cases:
            case.is_decided()
        report = self._look()
        looks = {case: partial(_left_behind, case, unnamed[case], report) for case in cases}
        return [self.result(case, look, cut=True) for case, look in looks.items()]

    def _look(self) -> Mapping[str, Any]:
        return [self.stage.reconcile() for _ in range(_LOOKS)][-1]


def _unnamed(case: Case, report: Mapping[str, Any]) -> list[str]:
    """Return what is wrong before people have decided: an open ticket that reconciliation says nothing of."""
    named = {*report.get("left_open", ()), *(one["ticket_sn"] for one in report["differences"])}
    still_open = [one["sn"] for one in case.tickets if one["status"] == "RUNNING"]
    return [f"{case}: ticket {sn} is open, and nothing names it" for sn in still_open if sn not in named]


def _left_behind(case: Case, unnamed: list[str], report: Mapping[str, Any]) -> list[str]:
    """Return what is wrong at the end, what was wrong before included."""
    problems, tickets = list(unnamed), [(one["status"], one["approve_result"]) for one in case.tickets]
    if tickets not in ([], [("FINISHED", case.approve)]):
        problems.append(f"{case}: tickets {tickets}")
    row = case.stage.store.get("bklog_default", case.collector)
    named = case.collector in {one["collector_config_id"] for one in report["differences"]}
    if row.state is CollectorState.APPLYING and not named:
        problems.append(f"{case}: the collector is applying for ever, and nothing names it")
    written = case.stage.sandbox.control.collector(case.collector)["etl_writes"] > 0
    if (written or row.state is CollectorState.SUCCESS_APPLY) and not case.approve:
        problems.append(f"{case}: ETL written {written}, collector {row.state}")
    return problems
