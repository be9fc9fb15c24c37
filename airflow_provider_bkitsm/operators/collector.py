# SPDX-License-Identifier: Apache-2.0
"""Operators for the approval of a log collector: plan, apply, provision its ETL, complete, reconcile.

The provider's own store keeps the collector's approval state, because the log platform has no call that sets it.
The decision is always read from ITSM itself, never taken from another task.
"""

from airflow_provider_bkitsm.operators.collector_apply import CollectorApplyOperator
from airflow_provider_bkitsm.operators.collector_complete import CollectorCompleteOperator
from airflow_provider_bkitsm.operators.collector_provision import CollectorProvisionEtlOperator
from airflow_provider_bkitsm.operators.collector_reconcile import CollectorReconcileOperator
from airflow_provider_bkitsm.operators.collector_storage import CollectorStoragePlanOperator

__all__ = [
    "CollectorApplyOperator",
    "CollectorCompleteOperator",
    "CollectorProvisionEtlOperator",
    "CollectorReconcileOperator",
    "CollectorStoragePlanOperator",
]

# Airflow writes a task's class and module into the serialized DAG and into logs: there it is what users import.
for _name in __all__:
    globals()[_name].__module__ = __name__
