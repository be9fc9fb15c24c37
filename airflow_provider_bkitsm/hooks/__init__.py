# SPDX-License-Identifier: Apache-2.0
"""Airflow connections turned into clients of ITSM and of the log platform."""
