# SPDX-License-Identifier: Apache-2.0
"""What moved between Airflow's minors; the only place that knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import airflow

# Since 3.3 a task that starts in the triggerer has its templates rendered there.
AIRFLOW_V_3_3_PLUS = tuple(int(part) for part in airflow.__version__.split(".")[:2]) >= (3, 3)

try:
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSkipException,
        DownstreamTasksSkipped,
    )
except ImportError:  # Airflow 3.1
    from airflow.exceptions import (  # type: ignore[no-redef,attr-defined]
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSkipException,
        DownstreamTasksSkipped,
    )


try:
    from airflow.sdk.bases.branch import BranchMixIn
except ImportError:  # before Airflow 3.3
    from airflow.providers.standard.operators.branch import BranchMixIn  # type: ignore[assignment]


def function_arguments(
    function: Callable[..., Any], args: Collection[Any], given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return of what is given, a task's context included, what a function takes besides ``args``.

    Loaded late, since on Airflow 3.1 it brings all of the core with it.
    """
    try:
        from airflow.sdk.bases.decorator import determine_kwargs
    except ImportError:  # Airflow 3.1
        from airflow.utils.operator_helpers import determine_kwargs  # type: ignore[attr-defined]
    return determine_kwargs(function, args, given)


def airflow_conf() -> Any:
    """Return Airflow's configuration; loaded late, since on Airflow 3.1 it brings all of the core with it."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:  # Airflow 3.1
        from airflow.configuration import conf  # type: ignore[no-redef,assignment,unused-ignore]
    return conf


def write_dag(dag: Any, *, bundle_name: str) -> None:
    """Write a DAG into Airflow's database, as the DAG processor does; loaded late, since this is the core's."""
    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag, sync_bag_to_db  # type: ignore[no-redef,attr-defined,unused-ignore]
    bag = DagBag(collect_dags=False)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, bundle_name, None)


def mask_secret(secret: Any) -> None:
    """Keep a value, or what a dict holds under names Airflow finds sensitive, out of every log.

    The process that writes a task's log is told too; loaded late, since Airflow's logging is not light.
    """
    from airflow.sdk.log import mask_secret as mask

    mask(secret)


def redact(value: Any) -> Any:
    """Return a value without what Airflow hides in logs; loaded late like :func:`mask_secret`."""
    from airflow.sdk.log import redact as hidden  # type: ignore[attr-defined]

    return hidden(value)


def stats() -> Any:
    """Return the metrics that this process exports: on a worker those of the task SDK, elsewhere the core's.

    Since 3.2 there are two of them in every process, and Airflow initializes only one of them.
    """
    try:
        from airflow.sdk._shared.observability.metrics import stats as of_the_sdk
    except ImportError:  # Airflow 3.1
        from airflow.stats import Stats

        return Stats
    if _is_initialized(of_the_sdk):
        return of_the_sdk.Stats
    from airflow.observability.stats import Stats as of_the_core

    return of_the_core


def initialize_metrics() -> None:
    """Initialize the core's metrics, which Airflow 3.2 does not do in its API server; elsewhere do nothing."""
    if AIRFLOW_V_3_3_PLUS:
        return
    try:
        from airflow.observability import stats as of_the_core
        from airflow.observability.metrics import stats_utils
    except ImportError:  # Airflow 3.1
        return
    if not _is_initialized(of_the_core):
        core = of_the_core.Stats
        core.initialize(factory=stats_utils.get_stats_factory(core))  # type: ignore[call-arg,unused-ignore]


def _is_initialized(stats_module: Any) -> bool:
    factory = getattr(stats_module, "_factory", None) or getattr(stats_module.Stats, "factory", None)
    return getattr(factory, "__name__", "NoStatsLogger") != "NoStatsLogger"


@cache
def metrics_have_tags() -> bool:
    """Whether metrics go to Datadog, OpenTelemetry or StatsD with InfluxDB's tags, and not to plain StatsD."""

    def on(option: str) -> bool:
        return bool(airflow_conf().getboolean("metrics", option, fallback=False))

    return on("statsd_datadog_enabled") or on("statsd_influxdb_enabled" if on("statsd_on") else "otel_on")


@cache
def hostname() -> str:
    """Return this machine's name as Airflow's own metrics have it; for triggerers, which have Airflow's core."""
    from airflow.utils.net import get_hostname

    return str(get_hostname())  # type: ignore[no-untyped-call]


_PLAIN_XCOM = "airflow.sdk.execution_time.xcom.BaseXCom"
_PLAIN_XCOMS = frozenset({_PLAIN_XCOM, "airflow.sdk.bases.xcom.BaseXCom", "airflow.models.xcom.BaseXCom"})


def airflow_can_finish_without_worker() -> bool:
    """Whether this Airflow has nothing that only a worker would do at a task's end: an XCom backend, listeners.

    For API servers and triggerers, which have Airflow's core.
    """
    from airflow.listeners.listener import get_listener_manager

    return not has_xcom_backend() and not get_listener_manager().has_listeners


def has_xcom_backend() -> bool:
    """Whether a worker's XComs go through a backend, which may leave but a reference in Airflow's table."""
    return airflow_conf().get("core", "xcom_backend", fallback=_PLAIN_XCOM) not in _PLAIN_XCOMS


__all__ = [
    "AIRFLOW_V_3_3_PLUS",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSkipException",
    "BranchMixIn",
    "DownstreamTasksSkipped",
    "airflow_can_finish_without_worker",
    "airflow_conf",
    "function_arguments",
    "has_xcom_backend",
    "hostname",
    "initialize_metrics",
    "mask_secret",
    "metrics_have_tags",
    "redact",
    "stats",
    "write_dag",
]
