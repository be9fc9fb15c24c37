# SPDX-License-Identifier: Apache-2.0
"""An ITSM and a log platform to run and test against: ``python -m airflow_provider_bkitsm.sandbox``.

Answers as a BK-ITSM v2 server behind its API gateway does, keeps its state in SQLite, and has a page where a
person approves. It imports nothing of Airflow.
"""
