# SPDX-License-Identifier: Apache-2.0
"""Metrics, among Airflow's own: never an error, and never in anybody's way (docs/telemetry.md)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

from airflow_provider_bkitsm import version_compat

if TYPE_CHECKING:
    from airflow_provider_bkitsm.itsm.models import TicketStatus
    from airflow_provider_bkitsm.itsm.verdict import Verdict

log = logging.getLogger(__name__)
P = ParamSpec("P")

# How often a poller says how many wait.
GAUGE_SECONDS = 10.0
# So soon after a decision its callback may still be on its way.
_ON_ITS_WAY = 10.0
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")

Way = Literal["callback", "poll"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric.

    :param kind: what Airflow's stats call it: ``incr``, ``gauge`` or ``timing``.
    :param tags: names of its tags, in the order in which plain StatsD has their values in the name.
    """

    name: str
    kind: str
    tags: tuple[str, ...]


WAITING = Metric(name="bkitsm.waiting", kind="gauge", tags=("conn_id", "host"))
OLDEST = Metric(name="bkitsm.oldest_seconds", kind="gauge", tags=("conn_id", "host"))
STALLED = Metric(name="bkitsm.stalled", kind="gauge", tags=("conn_id", "host"))
LATENCY = Metric(name="bkitsm.decision_latency", kind="timing", tags=("conn_id", "way", "outcome"))
RECOVERED = Metric(name="bkitsm.recovered_by_poll", kind="incr", tags=("conn_id",))
CALLBACK = Metric(name="bkitsm.callback", kind="incr", tags=("result",))
ADOPTED = Metric(name="bkitsm.duplicates_avoided", kind="incr", tags=("conn_id",))
WITHDRAWN = Metric(name="bkitsm.withdrawn", kind="incr", tags=("conn_id",))
METRICS = (WAITING, OLDEST, STALLED, LATENCY, RECOVERED, CALLBACK, ADOPTED, WITHDRAWN)


def _quietly(emit: Callable[P, None]) -> Callable[P, None]:
    @wraps(emit)
    def tried(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            emit(*args, **kwargs)
        except Exception:
            log.debug("a metric was not emitted", exc_info=True)

    return tried


@_quietly
def called_back(result: str) -> None:
    """Count what became of a callback, see ``callback.messages.Result``; API server."""
    _emit(CALLBACK, result=result)


@_quietly
def waiting(conn_id: str, count: int, oldest_seconds: float, stalled: int) -> None:
    """Say how many tasks wait for a ticket in this process, and for how long the oldest ticket; triggerer.

    :param stalled: how many of the tickets run and ask nobody.
    """
    where = {"conn_id": conn_id, "host": version_compat.hostname()}
    _emit(WAITING, count, **where)
    _emit(OLDEST, round(oldest_seconds), **where)
    _emit(STALLED, stalled, **where)


@_quietly
def decided(
    verdict: Verdict, *, conn_id: str, way: Way, began: datetime | None = None, called_back: bool = False
) -> None:
    """Time how long a decision took from ITSM to here; API server, triggerer, and worker where one polls.

    :param began: when the wait began (aware): what was decided before was not waited for.
    :param called_back: ITSM was asked to say so by itself.
    """
    seconds = latency(verdict, began=began, now=datetime.now(UTC))
    if seconds is None:
        return
    _emit(LATENCY, timedelta(seconds=seconds), conn_id=conn_id, way=way, outcome=verdict.outcome)
    if called_back and way == "poll" and seconds > _ON_ITS_WAY:
        _emit(RECOVERED, conn_id=conn_id)


@_quietly
def adopted(conn_id: str) -> None:
    """Count a ticket that was there already where one was about to be opened."""
    _emit(ADOPTED, conn_id=conn_id)


@_quietly
def withdrawn(conn_id: str, status: TicketStatus) -> None:
    """Count a ticket that was ended since nobody waits for it; a decision that came first is none."""
    if status.progress.is_called_off:
        _emit(WITHDRAWN, conn_id=conn_id)


def latency(verdict: Verdict, *, began: datetime | None, now: datetime) -> float | None:
    """Return the seconds since people decided; None where nobody did, or before anybody waited.

    ITSM's times are whole seconds.
    """
    if not verdict.outcome.is_decision or verdict.decided_at is None:
        return None
    at = datetime.fromisoformat(verdict.decided_at)
    if began is not None and at < began.replace(microsecond=0):
        return None
    return max(0.0, (now - at).total_seconds())


def named(metric: Metric, tags: Mapping[str, str], *, tagged: bool) -> tuple[str, dict[str, str]]:
    """Return a metric's name and tags; for plain StatsD, which has none, the name holds their values."""
    if tagged:
        return metric.name, dict(tags)
    return ".".join([metric.name, *(_NO_NAME.sub("_", tags[tag]) for tag in metric.tags)]), {}


def _emit(metric: Metric, *value: Any, **tags: str) -> None:
    texts = {name: str(tag) for name, tag in tags.items()}
    name, left = named(metric, texts, tagged=version_compat.metrics_have_tags())
    getattr(version_compat.stats(), metric.kind)(name, *value, tags=left)
