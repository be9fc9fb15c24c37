# SPDX-License-Identifier: Apache-2.0
"""The hooks, in tasks of one's own."""

# --8<-- [start:sync]
from airflow.sdk import task


@task
def open_tickets(user: str) -> list[str]:
    """Return the numbers of the tickets that a user has open."""
    from airflow_provider_bkitsm.hooks.itsm import ItsmHook

    hook = ItsmHook("bkitsm_default")
    found = hook.iter_tickets_by_user(user=user, view_type="my_created")
    return [one.sn for one in found if one.current_status == "RUNNING"]


# --8<-- [end:sync]


# --8<-- [start:async]
async def statuses(numbers: list[str]) -> dict[str, str]:
    """Return how tickets stand, for a trigger of one's own."""
    from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook

    async with ItsmAsyncHook("bkitsm_default") as hook:
        found = await hook.ticket_approval_result(numbers)
    return {one.sn: one.current_status for one in found}


# --8<-- [end:async]


# --8<-- [start:bklog]
@task
def collectors(bk_biz_id: int) -> list[int]:
    """Return a business's collectors that have no table yet."""
    from airflow_provider_bkitsm.hooks.bklog import BkLogHook

    found = BkLogHook("bklog_default").list_collectors(bk_biz_id=bk_biz_id)
    return [one["collector_config_id"] for one in found if not one["table_id"]]


# --8<-- [end:bklog]


# --8<-- [start:native]
@task
def still_applying(bk_biz_id: int) -> list[str]:
    """Return the tickets that the log platform itself waits for."""
    from airflow_provider_bkitsm.hooks.bklog import BkLogHook

    found = BkLogHook("bklog_default").list_collectors(bk_biz_id=bk_biz_id)
    return [one["itsm_ticket_sn"] for one in found if one["itsm_ticket_status"] == "applying"]


# --8<-- [end:native]
