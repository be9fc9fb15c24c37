# SPDX-License-Identifier: Apache-2.0
"""A sandbox for tests: with connections to it, and with approvers who decide automatically."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from airflow_provider_bkitsm.sandbox.itsm.tickets import RUNNING
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import RUNNING as RUNNING_V4
from airflow_provider_bkitsm.sandbox.server import SandboxServer

Answer = Literal["approve", "reject", "withdraw"]

# Looked for much more often, tickets cost more than the test.
_LOOK_SECONDS = 0.1
_RUNNING = frozenset({RUNNING, RUNNING_V4})
# Short waits, so that a test of an outage or of a lost answer is quick.
_PATIENCE = {"read_retries": 0, "settle_seconds": 0.2}


class BkItsmSandbox(SandboxServer):
    """ITSM and the log platform on a free port of this machine, for one test."""

    def connections(self, **extra: Any) -> dict[str, str]:
        """Return the default connections, with shorter waits than the real defaults."""
        return super().connections(**_PATIENCE | extra)

    @contextmanager
    def deciding(self, answer: Answer, *, remark: str = "decided by a test") -> Iterator[None]:
        """Decide every ticket as soon as it waits for somebody, as long as the block lasts.

        :param answer: ``withdraw`` acts in the creator's name, the other answers in an approver's name.
        """
        done = threading.Event()
        people = threading.Thread(target=self._decide_until, args=(done, answer, remark), daemon=True)
        people.start()
        try:
            yield
        finally:
            done.set()
            people.join()

    def _decide_until(self, done: threading.Event, answer: Answer, remark: str) -> None:
        while not done.wait(_LOOK_SECONDS):
            for ticket in self.tickets():
                if ticket["status"] in _RUNNING and ticket["waits_for"]:
                    self._answer(ticket, answer, remark)

    def _answer(self, ticket: dict[str, Any], answer: Answer, remark: str) -> None:
        if answer == "withdraw":
            self.operate(ticket["sn"], "WITHDRAW", operator=ticket["creator"])
        else:
            (self.approve if answer == "approve" else self.reject)(ticket["sn"], remark=remark)
