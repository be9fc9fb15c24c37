# SPDX-License-Identifier: Apache-2.0
"""Former place of :mod:`~airflow_provider_bkitsm.collectors.clean_config`, kept for DAGs that import from here."""

from airflow_provider_bkitsm.collectors.clean_config import canonical, digest, validate_clean_config, verify
from airflow_provider_bkitsm.collectors.collector import bare_table_id

__all__ = ["bare_table_id", "canonical", "digest", "validate_clean_config", "verify"]
