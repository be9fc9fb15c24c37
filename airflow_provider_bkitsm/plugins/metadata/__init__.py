# SPDX-License-Identifier: Apache-2.0
"""Airflow's metadata database; the only room that touches it."""

from airflow_provider_bkitsm.plugins.metadata.resuming import AirflowMetadata
from airflow_provider_bkitsm.plugins.metadata.tickets import AirflowTickets

__all__ = ["AirflowMetadata", "AirflowTickets"]
