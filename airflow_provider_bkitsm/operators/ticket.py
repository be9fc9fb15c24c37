# SPDX-License-Identifier: Apache-2.0
"""Operators for any ITSM ticket: open one, wait for its decision, operate on one."""

from airflow_provider_bkitsm.operators.ticket_approval import ItsmApprovalOperator
from airflow_provider_bkitsm.operators.ticket_create import ItsmCreateTicketOperator
from airflow_provider_bkitsm.operators.ticket_operate import ItsmOperateTicketOperator

__all__ = ["ItsmApprovalOperator", "ItsmCreateTicketOperator", "ItsmOperateTicketOperator"]
