# SPDX-License-Identifier: Apache-2.0
"""One request to ITSM v4: its arguments, and who makes it for which tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm_v4.installation import InstallationV4
from airflow_provider_bkitsm.sandbox.itsm_v4.workflows import Refusal
from airflow_provider_bkitsm.sandbox.world import World


@dataclass(frozen=True, kw_only=True)
class RequestV4:
    """A request.

    :param args: the query of a GET, the body of a POST.
    :param file: content of the uploaded file; None without one.
    :param user: the named user, else "".
    :param token: header ``SYSTEM-TOKEN``.
    """

    world: World
    args: dict[str, Any]
    tenant: str
    user: str = ""
    token: str = ""
    file: bytes | None = None

    @property
    def itsm(self) -> InstallationV4:
        """The installation."""
        return self.world.itsm_v4

    def text(self, name: str) -> str:
        """Return a mandatory argument.

        :raises Refusal: it is absent, or no text.
        """
        value = self.args.get(name)
        if not isinstance(value, str) or not value:
            raise Refusal(f"{name}: 该字段是必填项。")
        return value

    def listed(self, name: str) -> list[str]:
        """Return an argument that is a list with commas."""
        return [one for one in str(self.args.get(name) or "").split(",") if one]

    def number(self, name: str, default: int) -> int:
        """Return an argument that is a number of at least 1.

        :raises Refusal: it is none.
        """
        given = str(self.args.get(name) or default)
        if not given.isdecimal() or int(given) < 1:
            raise Refusal(f"{name}: 请填写合法的整数值。")
        return int(given)

    def check_system(self) -> None:
        """Check the system that the request names, and its token.

        :raises Refusal: it is unknown, or the token is wrong.
        """
        system = self.args.get("system_id")
        if system in (None, ""):
            return
        if system not in self.itsm.systems:
            raise Refusal("系统不存在")
        token = self.itsm.systems[system]
        if self.itsm.switches.system_check == "needed" and token and self.token != token:
            raise Refusal("系统 token 校验失败")
