# SPDX-License-Identifier: Apache-2.0
"""Ten points of a collector's way to its approval and beyond, and how a run is stopped at each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

from tests.chaos.stage import SANDBOX, WORKER
from tests.chaos.turnstile import Seen, Turnstile


class Point(StrEnum):
    """Where a run is when something is killed."""

    BEGUN = "begun"
    ASKING = "asking"
    ASKED = "asked"
    LOOKING = "looking"
    WAITING = "waiting"
    DECIDING = "deciding"
    DECIDED = "decided"
    RESUMING = "resuming"
    PROVISIONING = "provisioning"
    COMPLETING = "completing"


SAYS = {
    Point.BEGUN: "the apply task runs; nothing is stored, there is no ticket",
    Point.ASKING: "the intent is stored and `create_ticket` sent, but not carried out yet",
    Point.ASKED: "the ticket exists, its number has not come back",
    Point.LOOKING: "the triggerer's first question about the ticket is on its way",
    Point.WAITING: "the run waits, nobody has decided",
    Point.DECIDING: "the decision is taken at the moment of the kill",
    Point.DECIDED: "the decision is taken while the component is gone",
    Point.RESUMING: "decided; the next task asks ITSM once more before it acts",
    Point.PROVISIONING: "the approved ETL is sent to the log platform, but not carried out yet",
    Point.COMPLETING: "the ETL is written and being read back; the collector is not yet called complete",
}
NO_TICKET_YET = (Point.BEGUN, Point.ASKING, Point.ASKED)
WAITS = (Point.LOOKING, Point.WAITING, Point.DECIDING, Point.DECIDED)
DECIDED_BEFORE = (Point.RESUMING, Point.PROVISIONING, Point.COMPLETING)
# There is no refused ETL.
APPROVED_ONLY = (Point.PROVISIONING, Point.COMPLETING)
# A worker runs at these; at the others none exists that could be killed.
WITH_A_WORKER = NO_TICKET_YET + DECIDED_BEFORE


def wanted(
    point: Point, *, collector: int, sn: Callable[[], str | None], turnstile: Turnstile
) -> Callable[[Seen], bool] | None:
    """Return what tells the request a run is stopped by at this point; None where it stands still by itself.

    :param collector: its number, which is the number of its business as well.
    :param sn: gives the ticket's number as soon as there is one.
    """

    def about_the_ticket(seen: Seen) -> bool:
        return "ticket_approval_result" in seen.path and (found := sn()) is not None and found in seen.text

    def reads(seen: Seen) -> bool:
        return seen.by_worker and "databus_collectors/" in seen.path and f"bk_biz_id={collector}&" in seen.path

    def writes(seen: Seen) -> bool:
        return f"databus_collectors/{collector}/update_or_create_clean_config" in seen.path

    def reads_back(seen: Seen) -> bool:
        return seen.by_worker and f"databus_collectors/{collector}/" in seen.path and not writes(seen)

    def asks(seen: Seen) -> bool:
        return "create_ticket" in seen.path and f"collector-{collector}" in seen.text

    return {
        Point.BEGUN: reads,
        Point.ASKING: asks,
        Point.ASKED: asks,
        Point.LOOKING: lambda seen: not seen.by_worker and about_the_ticket(seen),
        Point.RESUMING: lambda seen: seen.by_worker and about_the_ticket(seen),
        Point.PROVISIONING: writes,
        Point.COMPLETING: lambda seen: reads_back(seen) and turnstile.count(writes) > 0,
    }.get(point)


def plan(component: str, turn: int, *, both: bool = True) -> Iterator[tuple[Point, bool]]:
    """Yield the points of a component's runs and their decisions.

    One question of the triggerer's may be about many tickets, so only one run stands still there.

    :param both: wherever two decisions are possible, have a run for each; otherwise they take turns.
    """
    for number, point in enumerate(Point):
        if component == WORKER and point not in WITH_A_WORKER:
            continue
        if component == SANDBOX and point is Point.DECIDED:
            continue  # nobody can decide while ITSM is gone
        if point in APPROVED_ONLY:
            yield point, True
        elif both and point is not Point.LOOKING:
            yield from ((point, True), (point, False))
        else:
            yield point, (number + turn) % 2 == 0
