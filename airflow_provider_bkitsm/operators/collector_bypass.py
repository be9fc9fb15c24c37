# SPDX-License-Identifier: Apache-2.0
"""Going on without a ticket, where an administrator has switched the approval off for a business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.mixins import TaskMixin, map_index
from airflow_provider_bkitsm.version_compat import BranchMixIn, DownstreamTasksSkipped

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.collectors.approval_switch import Gate


def read_gate(bk_biz_id: int) -> Gate:
    """Read Airflow's configuration.

    :raises ItsmConfigurationError: it cannot be read as on or off.
    """
    from airflow_provider_bkitsm.collectors import approval_switch

    return approval_switch.gate(settings.collect_itsm(), settings.collect_itsm_businesses(), bk_biz_id=bk_biz_id)


class SkipSensorsMixin(BranchMixIn, TaskMixin):
    """A task that can say to Airflow that nothing is to be waited for.

    It has to be said: a wait that is given an empty number fails, whatever the reason (P3). For a wait that is
    cleared later to be skipped again, the operator has to set ``_can_skip_downstream``, as Airflow's own do.
    """

    def skip_waits(self, context: Context) -> None:
        """Skip each ``ItsmTicketSensor`` directly behind this task; returns only if there is none to skip.

        Of tasks mapped over collectors, each that opens no ticket returns no number, so no wait is mapped over it.
        """
        waits, ti = self.waits(), context["ti"]
        index = map_index(ti)
        if not waits or (index >= 0 and self.get_closest_mapped_task_group() is None):
            return
        self.log.info("Nothing to wait for: skipping %s", waits)
        # Airflow's own way, which also counts when a wait is cleared; in a mapped group it skips nothing yet.
        self.skip(ti, [one for one in self.downstream_list if one.node_id in waits])
        raise DownstreamTasksSkipped(tasks=[(one, index) for one in waits])  # type: ignore[no-untyped-call]

    def waits(self) -> list[str]:
        """Return the tasks directly behind this one that wait for a ticket."""
        from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

        behind = self.downstream_list if self.downstream_task_ids else ()
        kinds = {one.node_id: getattr(one, "operator_class", type(one)) for one in behind}
        return sorted(name for name, kind in kinds.items() if issubclass(kind, ItsmTicketSensor))
