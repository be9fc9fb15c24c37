"""What moved between Airflow's minors; the only place that knows."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
except ImportError:  # Airflow 3.1
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowFailException,
        AirflowSkipException,
    )


def airflow_conf() -> Any:
    """Return Airflow's configuration; loaded late, since on Airflow 3.1 it brings all of the core with it."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:  # Airflow 3.1
        from airflow.configuration import conf  # type: ignore[no-redef,assignment,unused-ignore]
    return conf


def mask_secret(secret: Any) -> None:
    """Keep a value, or what a dict holds under names Airflow finds sensitive, out of every log.

    The process that writes a task's log is told too; loaded late, since Airflow's logging is not light.
    """
    from airflow.sdk.log import mask_secret as mask

    mask(secret)


def count(name: str) -> None:
    """Add one to a counter of Airflow's core, where an API server or scheduler exports its own."""
    try:
        from airflow.observability.stats import Stats
    except ImportError:  # Airflow 3.1
        from airflow.stats import Stats  # type: ignore[assignment]
    Stats.incr(name)


__all__ = ["AirflowFailException", "AirflowSkipException", "airflow_conf", "count", "mask_secret"]
