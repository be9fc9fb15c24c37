# SPDX-License-Identifier: Apache-2.0
"""``python -m airflow_provider_bkitsm.collectors NUMBER``: what ``airflow bkitsm history NUMBER`` does."""

from airflow_provider_bkitsm.cli.history import main

main()
