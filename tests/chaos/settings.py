# SPDX-License-Identifier: Apache-2.0
"""An Airflow that notices in seconds what is dead, and tries again at once."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_bkitsm.sandbox.control import SandboxControl

LOCAL, CELERY = "LocalExecutor", "CeleryExecutor"
# How long a lost create_ticket may still appear; held requests are let go before.
SETTLE_SECONDS = 60
# What is dead is noticed in seconds, not minutes.
_IMPATIENT = {
    "CORE__PARALLELISM": "16",
    "CORE__MAX_ACTIVE_RUNS_PER_DAG": "32",
    "CELERY__WORKER_CONCURRENCY": "16",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
}
# A cluster policy, as an administrator would write it: every task is tried again, soon.
_POLICY = """
from datetime import timedelta


def task_policy(task):
    task.retries = 20
    task.retry_delay = timedelta(seconds=2)
"""


def environment(database: str, gateway: str) -> dict[str, str]:
    """Return Airflow's settings and connections.

    :param gateway: what stands in front of the sandbox.
    """
    patient = {"read_timeout": 180}
    through = SandboxControl(gateway)
    return {
        **{f"AIRFLOW__{name}": value for name, value in _IMPATIENT.items()},
        "AIRFLOW__BKITSM__STORE_CONN_ID": "bkitsm_store",
        "AIRFLOW_CONN_BKITSM_STORE": database.replace("postgresql+psycopg2", "postgresql"),
        "AIRFLOW_CONN_BKITSM_DEFAULT": through.connection("bkitsm", settle_seconds=SETTLE_SECONDS, **patient),
        "AIRFLOW_CONN_BKLOG_DEFAULT": through.connection("bklog", **patient),
    }


def celery(broker: str, database: str) -> dict[str, str]:
    """Return what the CeleryExecutor needs besides."""
    return {
        "AIRFLOW__CORE__EXECUTOR": CELERY,
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
    }


def write_policy(home: Path) -> None:
    """Put the policy where an Airflow at ``home`` looks for it."""
    config = home / "config"
    config.mkdir(parents=True)
    (config / "airflow_local_settings.py").write_text(_POLICY)
