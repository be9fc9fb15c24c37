# SPDX-License-Identifier: Apache-2.0
"""What was recorded of a real BK-ITSM v2 server: 170 exchanges, without message texts (which are never matched).

``{gateway}`` and ``{esb}`` stand for the roots of ITSM at either door; other paths are the server's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXCHANGES: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("exchanges.json").read_text(encoding="utf-8")
)
ANSWERS = {name: one for name, one in EXCHANGES.items() if one["kind"] == "api"}
CALLBACKS = {name: one for name, one in EXCHANGES.items() if one["kind"] == "callback"}
