# SPDX-License-Identifier: Apache-2.0
"""The approval as an OpenLineage facet. Only Airflow's OpenLineage provider loads this module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.facet_v2 import RunFacet

from airflow_provider_bkitsm.itsm.models import web_address

FACET = "bkitsm_approval"


@define(kw_only=True)
class ItsmApprovalRunFacet(RunFacet):  # type: ignore[misc,unused-ignore]
    """The approval that let a run go on or stopped it: ticket, outcome, approvers. No secrets, no remarks.

    :param conn_id: connection to the ITSM; ``sn`` is unique only there.
    :param outcome: see :class:`~airflow_provider_bkitsm.itsm.outcome.Outcome`.
    :param approvers: ``operator``, ``approved`` and ``decided_at`` of each answer, oldest first.
    :param decided_at: time of the last answer (ISO 8601, UTC).
    :param evidence_required: whether an approval counted only with a visible approval step.
    :param service_id: number or name of the ITSM service in the task's parameters.
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
    """Return the lineage of a task; None where it has no ticket.

    :param verdict: the result of ``Verdict.as_dict``; of an open ticket, only some of its keys.
    """
    if verdict is None:
        return None
    facet = ItsmApprovalRunFacet(
        conn_id=conn_id,
        sn=str(verdict["sn"]),
        outcome=str(verdict["outcome"]),
        reason=str(verdict.get("reason", "")),
        title=str(verdict.get("title", "")),
        ticket_url=web_address(verdict.get("ticket_url")),
        approvers=[_answer(approver) for approver in verdict.get("approvers", ())],
        decided_at=verdict.get("decided_at"),
        evidence_required=bool(verdict.get("evidence_required", True)),
        service_id=None if service_id is None else str(service_id),
    )
    return OperatorLineage(run_facets={FACET: facet})


def _answer(approver: Mapping[str, Any]) -> dict[str, Any]:
    return {name: approver[name] for name in ("operator", "approved", "decided_at")}
