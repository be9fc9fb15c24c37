# SPDX-License-Identifier: Apache-2.0
"""The faults a sandbox can be asked for, of requests, of callbacks and of automatic steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["html", "page", "status", "esb", "drop_answer", "delay", "refuse", "etl_refuse", "app_refused"]
CallbackKind = Literal["callback_lost", "callback_late", "callback_twice"]
TaskKind = Literal["task_failed"]

Subject = Literal["request", "callback", "task"]

_ETL_PATH = "update_or_create_clean_config/"


@dataclass(kw_only=True)
class Fault:
    """A fault of the next ``times`` requests whose path contains ``path``, or of the next callbacks.

    Instead of the work: ``html``: the crash page with HTTP 200. ``page``: a proxy's page with that ``status``.
    ``status``: that HTTP status as the gateway answers it, with its usual code or another ``code``, and
    ``Retry-After`` if given. ``esb``: the ESB's own body with that ``code``; ``refuse``: the platform's envelope
    with that ``code``; ``etl_refuse``: the same for clean configurations only; these with HTTP 200 or another
    ``status``. ``app_refused``: the gateway or the ESB refuses the application.

    ``drop_answer``: the work is done, then the connection is cut. ``delay``: the work waits so many ``seconds``.

    Of callbacks (``path`` is then the ticket's number, or part of it): ``callback_lost``: never sent, and on no
    list. ``callback_late``: sent after so many ``seconds``. ``callback_twice``: sent a second time.

    Of automatic steps (``path`` as with callbacks): ``task_failed``: a TASK or WEBHOOK step fails, and the ticket
    stays RUNNING for ever.
    """

    kind: Kind | CallbackKind | TaskKind
    path: str = ""
    times: int = 1
    status: int | None = None
    code: int | str | None = None
    seconds: float = 1.0
    retry_after: int | None = None

    @property
    def subject(self) -> Subject:
        """What the fault applies to."""
        if self.kind.startswith("callback_"):
            return "callback"
        return "task" if self.kind.startswith("task_") else "request"

    def strikes(self, path: str) -> bool:
        """Whether the fault applies to a request, callback or step of this path."""
        etl = self.kind != "etl_refuse" or path.endswith(_ETL_PATH)
        return self.times > 0 and self.path in path and etl


@dataclass(kw_only=True)
class Faults:
    """The faults that are still to come, in the order they were asked for."""

    pending: list[Fault] = field(default_factory=list)

    def take(self, path: str) -> Fault | None:
        """Return the fault of a request, if one is due, and use it up."""
        return self._take(path, "request")

    def take_of_callback(self, sn: str) -> Fault | None:
        """Return the fault of a ticket's callback, if one is due, and use it up."""
        return self._take(sn, "callback")

    def take_of_task(self, sn: str) -> Fault | None:
        """Return the fault of a ticket's automatic step, if one is due, and use it up."""
        return self._take(sn, "task")

    def _take(self, path: str, subject: Subject) -> Fault | None:
        due = (one for one in self.pending if one.subject == subject and one.strikes(path))
        fault = next(due, None)
        if fault is not None:
            fault.times -= 1
            self.pending = [one for one in self.pending if one.times > 0]
        return fault
