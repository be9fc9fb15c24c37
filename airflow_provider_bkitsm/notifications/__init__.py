# SPDX-License-Identifier: Apache-2.0
"""Notifiers: what becomes known in ITSM when a DAG or a task fails."""
