"""Notifiers: what becomes known in ITSM when a DAG or a task fails."""
