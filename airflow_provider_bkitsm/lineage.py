# SPDX-License-Identifier: Apache-2.0
"""The approval as an OpenLineage facet; loaded only by OpenLineage's own provider, where that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.facet_v2 import RunFacet

FACET = "bkitsm_approval"


@define(kw_only=True)
class ItsmApprovalRunFacet(RunFacet):  # type: ignore[misc,unused-ignore]
    """Who allowed a run to go on, or did not, in which ticket. Holds no secret, and no remark of a person.

    :param conn_id: connection to the ITSM, in which alone ``sn`` means something.
    :param outcome: see :class:`~airflow_provider_bkitsm.itsm.outcome.Outcome`.
    :param approvers: ``operator``, ``approved`` and ``decided_at`` of each who answered, oldest first.
    :param decided_at: when the last one did (ISO 8601, UTC).
    :param evidence_required: whether a visible approval step had to stand behind a yes.
    :param service_id: the ITSM service, as the task names it.
    """

    conn_id: str
    sn: str
    outcome: str
    reason: str
    title: str
    ticket_url: str
    approvers: list[dict[str, Any]]
    decided_at: str | None
    evidence_required: bool
    service_id: str | None


def approval_lineage(
    verdict: Mapping[str, Any] | None, *, conn_id: str, service_id: object
) -> OperatorLineage | None:
    """Return what OpenLineage is told of a task; None where it has seen no ticket.

    :param verdict: a ticket's verdict, as its ``as_dict`` has it, or as much as is known of it.
    """
    if verdict is None:
        return None
    facet = ItsmApprovalRunFacet(
        conn_id=conn_id,
        sn=str(verdict["sn"]),
        outcome=str(verdict["outcome"]),
        reason=str(verdict.get("reason", "")),
        title=str(verdict.get("title", "")),
        ticket_url=str(verdict.get("ticket_url") or ""),
        approvers=[_answer(one) for one in verdict.get("approvers", ())],
        decided_at=verdict.get("decided_at"),
        evidence_required=bool(verdict.get("evidence_required", True)),
        service_id=None if service_id is None else str(service_id),
    )
    return OperatorLineage(run_facets={FACET: facet})


def _answer(approver: Mapping[str, Any]) -> dict[str, Any]:
    return {name: approver[name] for name in ("operator", "approved", "decided_at")}
