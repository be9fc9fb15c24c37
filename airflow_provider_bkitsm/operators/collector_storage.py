# SPDX-License-Identifier: Apache-2.0
"""Working out a change of a live collector's storage, before anybody is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.operators.collector_base import CollectorOperator
from airflow_provider_bkitsm.operators.parameters import number

if TYPE_CHECKING:
    from airflow.sdk import Context


class CollectorStoragePlanOperator(CollectorOperator):
    """Reads a live collector's clean config and works out what it is with another storage; changes nothing.

    Returns three XComs, each under its own key (``plan.output["clean_config"]``):

    - ``clean_config``: the whole payload, nothing but the storage changed, for :class:`CollectorApplyOperator`;
    - ``detail_rows``: each change and the capacity before, after and between, for the same, so that the approver
      sees them;
    - ``before``: the payload as it is now, for ``expected_before`` of :class:`CollectorProvisionEtlOperator`.

    Fails for a collector without ETL, and if nothing would change. More and less are treated alike: the log
    platform takes both without asking anybody, and a shorter retention deletes logs.

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
        """Read, change, estimate."""
        from airflow_provider_bkitsm.collectors.storage import changed_storage, present_clean_config, storage_rows

        given = {key: value for key, value in self.storage.items() if value not in (None, "")}
        wanted = {key: number(key, value) for key, value in given.items()}
        daily, hosts = self._daily(), number("hosts", self.hosts)
        # The list is asked first: it alone says whether the collector is this business's.
        detail = self.bklog.get_collector_detail(self.collector()["collector_config_id"])
        before, after = present_clean_config(detail), changed_storage(detail, wanted)
        rows = storage_rows(before, after, daily_gb_per_host=daily, hosts=hosts)
        self.log.info("%s", "; ".join(f"{label}{value}" for label, value in rows.items()))
        return {"clean_config": after, "detail_rows": rows, "before": before}

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
