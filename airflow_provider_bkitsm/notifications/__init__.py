# SPDX-License-Identifier: Apache-2.0
"""Notifiers: they open or comment on an ITSM ticket when a DAG or a task fails."""
