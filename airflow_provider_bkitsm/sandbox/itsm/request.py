# SPDX-License-Identifier: Apache-2.0
"""The request an endpoint of ITSM answers: its arguments, their checks, and who sent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.world import World

_MESSAGE_LIMIT = 255


@dataclass(frozen=True, kw_only=True)
class ItsmRequest:
    """A call's arguments, whichever entrance they came through.

    :param query: the query string's, of a POST.
    :param user: the verified user, else "".
    """

    world: World
    args: dict[str, Any]
    query: dict[str, str]
    user: str

    @property
    def ticket(self) -> Ticket:
        """The ticket the call is about."""
        return self.world.one(self.args.get("sn"))

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a mandatory parameter that is one of some."""
        value = self.args.get(name)
        if value is None:
            raise refusals.required(name)
        if value not in choices:
            raise refusals.bad_key(name, f"“{value}” 不是合法选项。", "invalid_choice")
        return str(value)

    def text(self, name: str) -> str:
        """Return a mandatory, non-blank text."""
        value = self.args.get(name)
        if value is None:
            raise refusals.required(name)
        if not str(value).strip():
            raise refusals.blank(name)
        return str(value)

    def message(self, name: str) -> str:
        """Return a text of 1 to 255 characters whose absence the server does not expect."""
        message = self.args[name]
        if not str(message).strip():
            raise refusals.blank(name)
        if len(str(message)) > _MESSAGE_LIMIT:
            raise refusals.bad_key(name, "请确保这个字段不能超过 255 个字符。", "max_length")
        return str(message)
