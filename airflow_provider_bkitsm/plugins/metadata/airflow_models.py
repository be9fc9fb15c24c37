# SPDX-License-Identifier: Apache-2.0
"""Where Airflow has its models and what goes with them: the one module to change when Airflow moves them.

Heavy: it connects to Airflow's database. The package ``metadata`` is imported by the first request to the API
server, which has all of this loaded, and by nothing that is loaded while DAGs are parsed.
"""

from airflow.exceptions import AirflowNotFoundException  # type: ignore[attr-defined,unused-ignore]
from airflow.jobs.job import Job
from airflow.models.connection import Connection
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, TaskInstanceNote
from airflow.models.trigger import Trigger, handle_event_submit
from airflow.models.xcom import XComModel
from airflow.triggers.base import TriggerEvent
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState

__all__ = [
    "AirflowNotFoundException",
    "Connection",
    "DagRun",
    "Job",
    "TaskInstance",
    "TaskInstanceNote",
    "TaskInstanceState",
    "Trigger",
    "TriggerEvent",
    "XComModel",
    "create_session",
    "handle_event_submit",
    "run_with_db_retries",
]
