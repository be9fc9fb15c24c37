# SPDX-License-Identifier: Apache-2.0
"""Every five minutes, every collector that waits for its approval is compared with its ITSM ticket.

Differences are in the log of ``reconcile`` and in its XCom. Nothing is completed or provisioned here: an approved
collector goes on in its own run, which the report names. One that was refused, withdrawn or terminated, and whose
run never came to say so, is ended as ``fail_apply``, because nobody could apply for it again otherwise, and so is
one whose run Airflow does not have any more; ``CLOSE_REFUSED = False`` only reports it. Tickets of waits that were
ended while no triggerer ran are withdrawn.

Paused until somebody switches it on: it needs a connection ``bkitsm_default``. Several ITSMs need one task each.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.collector import CollectorReconcileOperator

# The log platform's own interval. A look costs one call for each 50 collectors that wait; where once a night is
# enough, write "0 1 * * *".
SCHEDULE = timedelta(minutes=5)
CLOSE_REFUSED = True

with DAG(
    dag_id="bkitsm_reconcile",
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["bkitsm"],
    doc_md=__doc__,
) as dag:
    CollectorReconcileOperator(
        task_id="reconcile", close_refused=CLOSE_REFUSED, retries=2, retry_delay=timedelta(seconds=30)
    )
