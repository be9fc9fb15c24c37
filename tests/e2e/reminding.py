# SPDX-License-Identifier: Apache-2.0
"""A function that sends reminders, as somebody's company would have one: here it writes them down."""

from __future__ import annotations

import json
import os
from pathlib import Path

FILE = "reminders.jsonl"


def note(**what: object) -> None:
    """Append to a file below ``AIRFLOW_HOME``."""
    with (Path(os.environ["AIRFLOW_HOME"]) / FILE).open("a") as file:
        file.write(json.dumps(what, default=str) + "\n")


def note_message(*, reminder: dict[str, object], **_what: object) -> None:
    """Append what a triggerer sends by itself."""
    note(**reminder)
