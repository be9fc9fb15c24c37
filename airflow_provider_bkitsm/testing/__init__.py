# SPDX-License-Identifier: Apache-2.0
"""What DAG authors test their approvals with, offline; ``docs/testing-your-dags.md`` shows how.

The fixtures are in :mod:`~airflow_provider_bkitsm.testing.plugin`, which pytest finds by itself; what they give
is a :class:`~airflow_provider_bkitsm.testing.sandbox.BkItsmSandbox`.
"""
