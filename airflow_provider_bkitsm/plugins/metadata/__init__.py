# SPDX-License-Identifier: Apache-2.0
"""Airflow's metadata database; the only room that touches it."""

from airflow_provider_bkitsm.plugins.metadata.queries import AirflowTickets
from airflow_provider_bkitsm.plugins.metadata.resume import AirflowMetadata

__all__ = ["AirflowMetadata", "AirflowTickets"]
