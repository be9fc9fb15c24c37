# SPDX-License-Identifier: Apache-2.0
"""Rows of the tables of calls: what is sent where, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.protocol import Call, Front


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A call, and the facts about it (docs/itsm-behaviour.md#names-at-the-fronts).

    :param sent: the query of a GET, the JSON body of a POST.
    :param esb: its path at the ESB; None where the ESB has no such call.
    :param data: an answer's ``data``; a list is given as the list of its only row.
    :param read: what the answer, or its only row, is read as.
    """

    build: Callable[[], Call[Any]]
    path: str
    sent: dict[str, Any] | None
    data: Any = field(default_factory=list)
    read: type = NoneType
    method: str = "POST"
    esb: str | None = ""
    is_write: bool = False
    verified: bool = False

    def check(self) -> None:
        """Assert that the call is as the row says."""
        call = self.build()
        assert (call.method, call.path, call.is_write) == (self.method, self.path, self.is_write)
        assert (call.params, call.body) == ((self.sent, None) if self.method == "GET" else (None, self.sent))
        assert call.needs_verified_user is self.verified
        assert esb_path(call) == (self.path if self.esb == "" else self.esb)
        answer = call.parse(self.data)
        assert type(answer[0] if isinstance(answer, tuple) else answer) is self.read


def esb_path(call: Call[Any]) -> str | None:
    """Return the path at the ESB, None where it has none."""
    try:
        return call.path_at(Front.ESB)
    except ItsmConfigurationError:
        return None
