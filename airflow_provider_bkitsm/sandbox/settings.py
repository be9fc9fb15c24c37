# SPDX-License-Identifier: Apache-2.0
"""What a sandbox can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ITSM_ROOT = "/api/bk-itsm/prod/v2/itsm"
ESB_ROOT = "/api/c/compapi/v2/itsm"
SAAS_ROOT = "/openapi"
BKLOG_ROOT = "/api/bk-log-search/prod"
CONTROL_ROOT = "/sandbox"
DEFAULT_PORT = 8099


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one sandbox.

    :param database: SQLite file; None keeps the state in memory only.
    :param public_url: what ticket addresses begin with.
    :param start_delay: seconds until a new ticket reaches its first step (a real one takes about one).
    :param decision_delay: seconds between an answer and its effect, during which the step is ``QUEUEING``; None
        takes half of ``start_delay``.
    :param demand_verified_user: refuse a bare ``bk_username`` where a gateway does by default; a deployment
        that has put the application on its white list does not.
    :param basic_plane_only: the measured server's database takes no character beyond the basic plane
        (reference 4.1.1).
    """

    app_code: str = "sandbox"
    app_secret: str = "sandbox-secret"  # noqa: S105 - the documented default, not a secret
    database: Path | None = None
    public_url: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    start_delay: float = 0.3
    decision_delay: float | None = None
    demand_verified_user: bool = False
    basic_plane_only: bool = True

    @property
    def settle_after(self) -> float:
        """Seconds between an answer and its effect."""
        return self.start_delay / 2 if self.decision_delay is None else self.decision_delay
