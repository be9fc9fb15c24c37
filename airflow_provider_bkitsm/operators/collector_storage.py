# SPDX-License-Identifier: Apache-2.0
"""The plan of a change of a live collector's storage, made before the approval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, printable
from airflow_provider_bkitsm.mixins import number
from airflow_provider_bkitsm.operators.collector_base import CollectorOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class CollectorStoragePlanOperator(CollectorOperator):
    """Reads a live collector's clean config and returns the one with another storage; changes nothing.

    Returns three XComs, each under its own key (``plan.output["clean_config"]``):

    - ``clean_config``: the whole payload with only the storage changed, for :class:`CollectorApplyOperator`;
    - ``detail_rows``, for the same: what the approver sees, which is each change, what cannot be read back and may
      be lost, and the capacity before and after;
    - ``before``: the payload as it is now, for ``expected_before`` of :class:`CollectorProvisionEtlOperator`.

    Starts from the collector's table as its detail shows it. Fails for a collector that has no ETL, is stopped, or
    shows too little of its clean config to be written again, and if nothing would change. Less storage is treated
    like more: the log platform takes both without an approval, and a shorter retention deletes logs.

    Parameters of :class:`~.collector_base.CollectorOperator`, and:

    :param storage: any of ``retention`` (days), ``allocation_min_days``, ``storage_replies``, ``es_shards``; None
        leaves one as it is. (templated)
    :param daily_gb_per_host: how much a host logs in a day, in GB, for the estimate. (templated)
    :param hosts: how many hosts. (templated)
    """

    template_fields: Sequence[str] = (
        *CollectorOperator.template_fields,
        "storage",
        "daily_gb_per_host",
        "hosts",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"storage": "json"}

    def __init__(
        self,
        *,
        storage: Mapping[str, int | str | None],
        daily_gb_per_host: float | str,
        hosts: int | str,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        self.storage = storage
        self.daily_gb_per_host = daily_gb_per_host
        self.hosts = hosts

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Return the payload before and after the change, and the approver's rows."""
        from airflow_provider_bkitsm.collectors.current_config import present_clean_config, unseen
        from airflow_provider_bkitsm.collectors.storage_plan import changed_storage, storage_rows

        given = {key: value for key, value in self.storage.items() if value not in (None, "")}
        wanted = {key: number(key, value) for key, value in given.items()}
        daily, hosts = self._daily(), number("hosts", self.hosts)
        # The list comes first: only the list shows whether the collector belongs to this business.
        detail = self.bklog.get_collector_detail(self.collector()["collector_config_id"])
        before, after = present_clean_config(detail), changed_storage(detail, wanted)
        hidden = self._changed_since_approval(detail) | unseen(detail)
        rows = storage_rows(before, after, daily_gb_per_host=daily, hosts=hosts, hidden=hidden)
        self.log.info("%s", printable("; ".join(f"{label}{value}" for label, value in rows.items())))
        return {"clean_config": after, "detail_rows": rows, "before": before}

    def _changed_since_approval(self, detail: Mapping[str, Any]) -> dict[str, str]:
        """Return a row for the approver if the collector is not as it was approved last."""
        from airflow_provider_bkitsm.collectors.current_config import differences

        row = self.store.get(*self.key)
        found = differences(row.etl_payload, detail) if row.has_success and row.etl_payload else []
        if not found:
            return {}
        self.log.warning("the collector is not as it was approved last: %s", printable("; ".join(found)))
        return {"现状与上次审批不一致": "; ".join(found)}

    def _daily(self) -> float:
        try:
            daily = float(self.daily_gb_per_host)
        except ValueError:
            daily = -1.0
        if not 0 <= daily < math.inf:
            raise ItsmConfigurationError(
                f"daily_gb_per_host must be a number of GB, not {self.daily_gb_per_host!r}; nothing was done"
            )
        return daily
