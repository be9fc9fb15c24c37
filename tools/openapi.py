# SPDX-License-Identifier: Apache-2.0
"""Writes ``docs/openapi.json``: the JSON API of the API server, as the code has it.

``make api`` writes the file, ``tests/plugins/test_api_document.py`` compares it with the code: so a change of the
API is seen when it is reviewed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def content() -> str:
    """Return the whole file."""
    from airflow_provider_bkitsm.plugins.api import create_api, openapi_document
    from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
    from airflow_provider_bkitsm.plugins.views import ApprovalViews

    document = openapi_document(create_api(ApprovalViews(AirflowMetadata())))
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def main() -> int:
    """Write the file."""
    FILE.write_text(content(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
