# SPDX-License-Identifier: Apache-2.0
"""Apache Airflow provider for BlueKing ITSM (BK-ITSM)."""

__version__ = "0.2.0"
