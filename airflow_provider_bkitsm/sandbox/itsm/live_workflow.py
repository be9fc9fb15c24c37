# SPDX-License-Identifier: Apache-2.0
"""The live workflow of a service: administrators change it while tickets run on the version they were opened in.

ITSM computes ``approve_result`` from the variables of the *live* workflow. Deleting an approval node on ITSM's
page sends a signal that deletes the node's variable too; from then on the node no longer counts, also for open and
finished tickets. Without the signal only the node's row goes, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class LiveWorkflow:
    """What is left of a workflow.

    :param deleted: the nodes deleted, by ``state_id``: whether the signal was sent.
    """

    deleted: dict[int, bool] = field(default_factory=dict)

    def delete_node(self, state_id: int, *, signal: bool) -> None:
        """Delete a node, with or without the signal that deletes its variables."""
        self.deleted[state_id] = signal or self.deleted.get(state_id, False)

    def counts(self, state_id: object) -> bool:
        """Whether a node's result still counts for the ticket's."""
        return not self.deleted.get(int(str(state_id)), False)

    def conjunction(self, results: Mapping[str, bool]) -> bool:
        """Return ITSM's verdict over the results of the approval nodes visited; true if none counts."""
        return all(result for state_id, result in results.items() if self.counts(state_id))
