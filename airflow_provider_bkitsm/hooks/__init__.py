"""Airflow connections turned into clients of ITSM and of the log platform."""
