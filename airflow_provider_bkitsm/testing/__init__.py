# SPDX-License-Identifier: Apache-2.0
"""Fixtures for DAG authors to test their approvals offline; ``docs/testing-your-dags.md`` shows how.

The fixtures are in :mod:`~airflow_provider_bkitsm.testing.plugin`, which pytest finds by itself. They return
a :class:`~airflow_provider_bkitsm.testing.sandbox.BkItsmSandbox`.
"""
