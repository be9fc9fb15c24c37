# SPDX-License-Identifier: Apache-2.0
"""A whole Airflow with the sandbox beside it on this machine: ``make demo``, and what the e2e tests run on."""
