# SPDX-License-Identifier: Apache-2.0
"""A log platform that answers what was recorded, for the hook's transport."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from airflow_provider_bkitsm.hooks.bklog import BkLogHook
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.transport import Reply
from airflow_provider_bkitsm.itsm.protocol import Call

BEYOND_THE_END = {
    "result": False,
    "code": "3600404",
    "data": None,
    "message": "无效页。（3600404）",
    "errors": None,
}


class RecordedPlatform:
    """Gives one answer after the other, and the last one for ever; ``calls`` are those that were made."""

    def __init__(self, answers: Iterable[Any], *, status: int = 200, **extra: Any) -> None:
        self.gateway = Gateway(
            conn_id="bklog_default", root="https://x", app_code="a", app_secret="s", extra=extra
        )
        self._answers, self._status = list(answers), status
        self.calls: list[Call[Any]] = []

    def send(self, call: Call[Any]) -> Reply:
        """Answer a call."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.calls.append(call)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return Reply(status_code=self._status, content_type="application/json", body=body)


def hook_on(platform: RecordedPlatform) -> BkLogHook:
    """Return a hook whose connection leads to this platform."""
    return BkLogHook.over(platform)  # type: ignore[arg-type]
