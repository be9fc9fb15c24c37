# SPDX-License-Identifier: Apache-2.0
"""What was recorded of a real BK-ITSM v2 server and of the real log platform's code.

``{gateway}`` and ``{esb}`` stand for the roots of ITSM at either door, ``{bklog}`` for the log platform's; other
paths are the server's own. The texts of messages are never matched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _read(name: str) -> Any:
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


EXCHANGES: dict[str, dict[str, Any]] = _read("exchanges.json")
"""170 exchanges of each call's successes and refusals, by name, without the messages' texts."""

ANSWERS = {name: one for name, one in EXCHANGES.items() if one["kind"] == "api"}
CALLBACKS = {name: one for name, one in EXCHANGES.items() if one["kind"] == "callback"}

EVIDENCE: dict[str, dict[str, Any]] = _read("evidence.json")
"""692 exchanges of every way a ticket can go, and of what is stored of what was sent."""

BKLOG: dict[str, dict[str, Any]] = _read("bklog.json")
"""137 exchanges of the log platform."""

CLEAN_CONFIG_VERDICTS: list[dict[str, Any]] = _read("clean_config_verdicts.json")
"""415 ETL payloads, and what the log platform says to each: accepted and normalized, or refused with a code."""
