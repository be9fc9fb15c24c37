# SPDX-License-Identifier: Apache-2.0
"""Reads and writes of Airflow's metadata database; no other package of the provider touches it."""

from airflow_provider_bkitsm.plugins.metadata.queries import AirflowTickets
from airflow_provider_bkitsm.plugins.metadata.resume import AirflowMetadata
from airflow_provider_bkitsm.plugins.metadata.task_notes import TaskNotes

__all__ = ["AirflowMetadata", "AirflowTickets", "TaskNotes"]
