# SPDX-License-Identifier: Apache-2.0
"""Operators for any ITSM ticket: open one, wait for its decision, operate on one."""

from airflow_provider_bkitsm.operators.ticket_approval import ItsmApprovalOperator
from airflow_provider_bkitsm.operators.ticket_create import ItsmCreateTicketOperator
from airflow_provider_bkitsm.operators.ticket_operate import ItsmOperateTicketOperator

__all__ = ["ItsmApprovalOperator", "ItsmCreateTicketOperator", "ItsmOperateTicketOperator"]

# Airflow writes a task's class and module into the serialized DAG and into logs: there it is what users import.
for _name in __all__:
    globals()[_name].__module__ = __name__
