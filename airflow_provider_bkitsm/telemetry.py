# SPDX-License-Identifier: Apache-2.0
"""Metrics, emitted with Airflow's own. A metric that fails is logged and never raises (docs/telemetry.md)."""

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

# Seconds between two reports of a poller on how many tasks wait.
GAUGE_SECONDS = 10.0
# For so many seconds after a decision, its callback may still arrive.
CALLBACK_GRACE_SECONDS = 10.0
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")

Way = Literal["callback", "poll"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric.

    :param kind: the method of Airflow's stats that emits it: ``incr``, ``gauge`` or ``timing``.
    :param tags: names of its tags, in the order in which their values follow the name in plain StatsD.
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


def _never_raises(emit: Callable[P, None]) -> Callable[P, None]:
    @wraps(emit)
    def emit_or_log(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            emit(*args, **kwargs)
        except Exception:
            log.debug("a metric was not emitted", exc_info=True)

    return emit_or_log


@_never_raises
def called_back(result: str) -> None:
    """Count a callback by its result (``callback.messages.Result``). Emitted by the API server."""
    _emit(CALLBACK, result=result)


@_never_raises
def waiting(conn_id: str, count: int, oldest_seconds: float, stalled: int) -> None:
    """Report how many tasks of this process wait, and the age of the oldest ticket. Emitted by the triggerer.

    :param stalled: how many of the tickets run although they wait for nobody.
    """
    source = {"conn_id": conn_id, "host": version_compat.hostname()}
    _emit(WAITING, count, **source)
    _emit(OLDEST, round(oldest_seconds), **source)
    _emit(STALLED, stalled, **source)


@_never_raises
def decided(
    verdict: Verdict, *, conn_id: str, way: Way, began: datetime | None = None, called_back: bool = False
) -> None:
    """Report the seconds from a decision in ITSM to its arrival. Emitted by API server, triggerer, polling worker.

    :param began: when the wait began (aware). An earlier decision was not waited for, and is not reported.
    :param called_back: the ticket was opened with a callback.
    """
    seconds = latency(verdict, began=began, now=datetime.now(UTC))
    if seconds is None:
        return
    _emit(LATENCY, timedelta(seconds=seconds), conn_id=conn_id, way=way, outcome=verdict.outcome)
    if called_back and way == "poll" and seconds > CALLBACK_GRACE_SECONDS:
        _emit(RECOVERED, conn_id=conn_id)


@_never_raises
def adopted(conn_id: str) -> None:
    """Count a ticket that was found and used in place of opening a second ticket."""
    _emit(ADOPTED, conn_id=conn_id)


@_never_raises
def withdrawn(conn_id: str, status: TicketStatus) -> None:
    """Count a ticket that was ended because nobody waits for it, unless a decision came first."""
    if status.progress.is_called_off:
        _emit(WITHDRAWN, conn_id=conn_id)


def latency(verdict: Verdict, *, began: datetime | None, now: datetime) -> float | None:
    """Return the seconds since people decided; None without a decision, or for one before the wait began.

    ITSM's times are whole seconds.
    """
    if not verdict.outcome.is_decision or verdict.decided_at is None:
        return None
    at = datetime.fromisoformat(verdict.decided_at)
    if began is not None and at < began.replace(microsecond=0):
        return None
    return max(0.0, (now - at).total_seconds())


def name_and_tags(metric: Metric, tags: Mapping[str, str], *, tagged: bool) -> tuple[str, dict[str, str]]:
    """Return a metric's name and tags. Plain StatsD has no tags: there the name holds their values."""
    if tagged:
        return metric.name, dict(tags)
    return ".".join([metric.name, *(_NOT_IN_A_NAME.sub("_", tags[tag]) for tag in metric.tags)]), {}


def _emit(metric: Metric, *value: Any, **tags: str) -> None:
    texts = {name: str(tag) for name, tag in tags.items()}
    name, remaining_tags = name_and_tags(metric, texts, tagged=version_compat.metrics_have_tags())
    getattr(version_compat.stats(), metric.kind)(name, *value, tags=remaining_tags)
