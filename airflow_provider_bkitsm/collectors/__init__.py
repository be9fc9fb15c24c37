# SPDX-License-Identifier: Apache-2.0
"""Who holds a collector, and how far its application got.

Most modules are pure; ``store`` keeps the rows in a SQL database by compare-and-set, ``database``, ``tables`` and
``migrations`` serve it. Nothing in this package imports Airflow or talks to ITSM or the log platform.
"""
