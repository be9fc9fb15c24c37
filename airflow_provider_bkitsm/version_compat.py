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


__all__ = ["AirflowFailException", "AirflowSkipException", "airflow_conf"]
