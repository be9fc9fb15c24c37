# SPDX-License-Identifier: Apache-2.0
"""Old indices are deleted once somebody has seen the list and agreed; the whole DAG in functions.

find -> approve -> delete. Where `find` finds nothing, the others are skipped and nobody is asked.

`approve` is a `@task.bkitsm_approval`: its function returns what the ticket asks, its parameters are those of
`ItsmApprovalOperator`, and its result is the verdict (`sn`, `outcome`, `approvers`, ...). The function is called
again after an approval, and if it then asks for something else the task fails: what is deleted is what was
approved. So let it only build text from its arguments; whatever may change meanwhile, such as the time or a list
on a server, belongs into a task before it.

**Refused**, withdrawn or not decided in time: `approve` fails for good, its log says who refused and why, and
`delete` does not run. **`delete` only logs the names: put your own call there.**
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import Param, dag, task

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    catchup=False,
    tags=["bkitsm"],
    doc_md=__doc__,
    params={
        "indices": Param(
            {"app_20260101": 320, "app_20261101": 16}, type="object", description="Age in days by name"
        ),
        "older_than": Param(90, type="integer", minimum=1, description="Days after which an index is old"),
        "approvers": Param("admin", type="string", description="Who is asked: names, with commas between"),
    },
)
def bkitsm_taskflow():
    @task.short_circuit
    def find(params: dict) -> list[str]:
        return sorted(name for name, days in params["indices"].items() if days > params["older_than"])

    @task.bkitsm_approval(
        title="Delete old indices", fast_approval=True, approval_timeout=timedelta(days=1), poke_interval=10
    )
    def approve(found: list[str], params: dict) -> dict[str, str]:
        return {"APPROVER": params["approvers"], "APPROVAL_CONTENT": "\n".join(["To be deleted:", *found])}

    @task
    def delete(found: list[str], verdict: dict, ti=None) -> dict[str, list[str]]:
        from airflow_provider_bkitsm.tickets.approval_store import open_approval_store

        record = open_approval_store().asked_by(ti.dag_id, ti.run_id, "approve")
        asked = record.request["fields"]["APPROVAL_CONTENT"] if record else ""
        # The result of find is an XCom, which others can write while people decide.
        if asked.rpartition("\n\nsha256:")[0] != "\n".join(["To be deleted:", *found]):
            raise ValueError(f"ticket {record and record.sn} has asked for something else; nothing was deleted")
        log.info("Deleted as %s allows: %s", verdict["sn"], found)
        return {verdict["sn"]: found}

    found = find()
    delete(found, approve(found))


dag = bkitsm_taskflow()
