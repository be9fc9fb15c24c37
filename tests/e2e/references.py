# SPDX-License-Identifier: Apache-2.0
"""An XCom backend that keeps values in files, and no more than their names in Airflow's table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow.sdk.bases.xcom import BaseXCom

_PREFIX = "reference:"


class References(BaseXCom):
    """Reads nothing but its own references."""

    @staticmethod
    def serialize_value(value: Any, **_: Any) -> str:
        """Write a file; return its name."""
        name = uuid4().hex
        (_folder() / name).write_text(json.dumps(value))
        return f"{_PREFIX}{name}"

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """Read the file."""
        return json.loads((_folder() / result.value.removeprefix(_PREFIX)).read_text())


def _folder() -> Path:
    folder = Path(os.environ["AIRFLOW_HOME"]) / "references"
    folder.mkdir(exist_ok=True)
    return folder
