# SPDX-License-Identifier: Apache-2.0
"""Somebody from outside may see logs, once the business's maintainers have agreed, and until a day that is set.

check -> ask -> grant, or inform.

1. `check` makes a request of the parameters: who may do what with which index sets until when. Nobody gets more
   than `MAX_DAYS`; without a day it is so many. A request that cannot be granted fails here, and nobody is asked.
2. `ask` shows the request to the approvers in ITSM, and waits up to `DAYS_TO_DECIDE` days.
3. Approved: `grant` gets the request that was approved. **It only logs it: put your own call there.** It may run
   more than once, so granting twice has to be the same as once.

**Refused**, withdrawn or not decided in time: nothing is granted, and `inform` says who refused and why; put your
own message there. The run is green then: a refusal is an answer.

With a service of your own instead of ITSM's built-in approval, give `ask` its `service_id` instead of
`fast_approval`, and its form's keys in `fields`; the log platform's own has `bk_biz_id`, `bk_biz_name`,
`expire_time`, `action_id`, `authorized_user`, `approver` and `resources`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

MAX_DAYS = 180
DAYS_TO_DECIDE = 3
# As the log platform names what may be permitted.
ACTIONS = ["log_search", "log_extract", "client_log"]

log = logging.getLogger(__name__)

with DAG(
    dag_id="bkitsm_external_permission",
    schedule=None,
    catchup=False,
    tags=["bkitsm"],
    doc_md=__doc__,
    params={
        "space_uid": Param("bkcc__2", type="string", description="The space"),
        "authorized_users": Param(["guest"], type="array", minItems=1, description="Who gets the permission"),
        "action_id": Param("log_search", enum=ACTIONS, description="What they may do"),
        "resources": Param([10001], type="array", minItems=1, description="With which index sets"),
        "expire_time": Param(
            None, type=["null", "string"], format="date-time", description=f"Until when; at most {MAX_DAYS} days"
        ),
        "approvers": Param("admin", type="string", description="Who is asked: names, with commas between"),
        "reason": Param("Support by the vendor", type="string", description="Why, for the approver"),
    },
) as dag:

    @task
    def check(params: dict, dag_run=None) -> dict[str, str]:
        now, longest = datetime.now(UTC), dag_run.run_after + timedelta(days=MAX_DAYS)
        until = datetime.fromisoformat(params["expire_time"]) if params["expire_time"] else longest
        if until.tzinfo is None or not now < until <= longest:
            raise ValueError(
                f"expire_time {until} must have an offset from UTC, be later than now and at most {MAX_DAYS} days"
                " ahead. Nobody was asked"
            )
        return {
            "space_uid": params["space_uid"],
            "authorized_user": ",".join(params["authorized_users"]),
            "action_id": params["action_id"],
            "resources": ",".join(str(one) for one in params["resources"]),
            "expire_time": until.isoformat(timespec="seconds"),
            "reason": params["reason"],
        }

    request = check()
    ask = ItsmApprovalOperator(
        task_id="ask",
        title="【外部用户授权】{{ params.space_uid }} {{ params.action_id }}",
        fast_approval=True,
        fields={
            "APPROVER": "{{ params.approvers }}",
            "APPROVAL_CONTENT": (
                "{% for key, value in ti.xcom_pull(task_ids='check').items() %}"
                "{{ key }}: {{ value }}\n"
                "{% endfor %}"
            ),
        },
        approval_timeout=timedelta(days=DAYS_TO_DECIDE),
        approved_task_ids="grant",
        rejected_task_ids="inform",
        poke_interval=10,
        retries=8,
        retry_delay=timedelta(minutes=5),
    )

    @task
    def grant(request: dict[str, str], verdict: dict, ti=None) -> dict[str, str]:
        from airflow_provider_bkitsm.tickets.approval_store import open_approval_store

        record = open_approval_store().asked_by(ti.dag_id, ti.run_id, "ask")
        asked = record.request["fields"]["APPROVAL_CONTENT"] if record else ""
        # The result of check is an XCom, which others can write while people decide.
        if asked.rpartition("\n\nsha256:")[0] != "".join(f"{key}: {value}\n" for key, value in request.items()):
            raise ValueError(f"ticket {record and record.sn} has asked for something else; nothing was granted")
        if datetime.fromisoformat(request["expire_time"]) <= datetime.now(UTC):
            raise ValueError("the permission has expired while people decided; nothing was granted")
        granted = {**request, "ticket_sn": verdict["sn"]}
        log.info("Granted: %s", granted)
        return granted

    @task
    def inform(request: dict[str, str], verdict: dict) -> str:
        said = f"Not granted to {request['authorized_user']}: ticket {verdict['sn']} is {verdict['outcome']}"
        remarks = [f"{one['operator']}: {one['remark']}" for one in verdict["approvers"] if one["remark"]]
        message = "; ".join([said, *remarks])
        log.info(message)
        return message

    request >> ask >> [grant(request, ask.output), inform(request, ask.output)]
