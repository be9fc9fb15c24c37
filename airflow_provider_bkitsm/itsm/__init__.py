# SPDX-License-Identifier: Apache-2.0
"""The BK-ITSM v2 protocol: requests built, answers decoded, outcomes decided.

Nothing in this package touches the network, the clock or Airflow.
"""
