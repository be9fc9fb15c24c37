# SPDX-License-Identifier: Apache-2.0
"""The settings of a sandbox, and the paths below which it serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ITSM_ROOT = "/api/bk-itsm/prod/v2/itsm"
ITSM_V4_ROOT = "/api/cw-aitsm/prod"
ITSM_V4_TE_ROOT = "/api/bk-itsm4/prod"
ESB_ROOT = "/api/c/compapi/v2/itsm"
SAAS_ROOT = "/openapi"
BKLOG_ROOT = "/api/bk-log-search/prod"
CMSI_ROOT = "/api/bk-cmsi/prod"
CMSI_ESB_ROOT = "/api/c/compapi/v2/cmsi"
CONTROL_ROOT = "/sandbox"
DEFAULT_PORT = 8099

Dialects = Literal["v2", "v4", "both"]
LogServices = Literal["approval", "built-in", "both"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one sandbox.

    :param database: SQLite file; None keeps the state in memory only.
    :param public_url: what ticket addresses begin with.
    :param numbers_after: what a day's first ticket number follows; on the command line the tenth of a second
        of the day, so that a sandbox started anew does not give a store the numbers of the one before.
    :param start_delay: seconds until a new ticket reaches its first step (a real one takes about one).
    :param decision_delay: seconds between an answer and its effect, during which the step is ``QUEUEING``; None
        takes half of ``start_delay``.
    :param demand_verified_user: refuse a bare ``bk_username`` where a gateway does by default; a deployment
        that has put the application on its white list does not.
    :param auto_approve_delay: seconds until a step approves itself that asks nobody, or asks the ticket's creator
        where the flow allows that.
    :param utf8mb4: the database stores characters of four bytes (emoji, rare Han); the measured server's does not.
    :param log_services: which services have the log platform's display role (``LOG_SEARCH``): an approval by the
        people the form names, the one ITSM installs, or both.
    :param dialect: which versions of ITSM are served, each on its gateway's path.
    :param tenants: of ITSM v4; several make the tenant's header mandatory.
    :param businesses: the businesses of the configuration platform; the built-in log service takes no others.
    """

    app_code: str = "sandbox"
    app_secret: str = "sandbox-secret"  # noqa: S105 - the documented default, not a secret
    database: Path | None = None
    public_url: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    numbers_after: int = 0
    start_delay: float = 0.3
    decision_delay: float | None = None
    demand_verified_user: bool = False
    auto_approve_delay: float = 5.0
    utf8mb4: bool = False
    log_services: LogServices = "approval"
    dialect: Dialects = "both"
    tenants: tuple[str, ...] = ("default",)
    businesses: tuple[int, ...] = (2,)

    @property
    def settle_after(self) -> float:
        """Seconds between an answer and its effect."""
        return self.start_delay / 2 if self.decision_delay is None else self.decision_delay
