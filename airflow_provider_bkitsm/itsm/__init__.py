# SPDX-License-Identifier: Apache-2.0
"""What an approval is, and how an ITSM is asked for it: the core, and below ``v2`` the version it speaks.

Nothing in this package touches the network, the clock or Airflow.
"""
