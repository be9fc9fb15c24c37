# SPDX-License-Identifier: Apache-2.0
"""Operators' parameters as templates leave them: text where a number or an object was meant, or the reverse."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError


def number(name: str, value: object) -> int:
    """Read a whole number.

    :raises ItsmConfigurationError: it is none.
    """
    try:
        return int(str(value).strip())
    except ValueError:
        raise ItsmConfigurationError(f"{name} must be a number, not {value!r}; nothing was done") from None


def json_value(given: Any) -> Any:
    """Read what was rendered to JSON text; other text is left for its reader to refuse."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given
