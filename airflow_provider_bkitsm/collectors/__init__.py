# SPDX-License-Identifier: Apache-2.0
"""Who holds a collector, and how far its application got.

``row``, ``state``, ``payload``, ``form``, ``switch`` and ``story`` are pure; ``store`` keeps the rows in a SQL
database by compare-and-set. Nothing in this package imports Airflow or talks to ITSM or the log platform; run as a
program, it tells a collector's history.
"""
