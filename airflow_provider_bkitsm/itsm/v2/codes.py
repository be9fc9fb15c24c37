# SPDX-License-Identifier: Apache-2.0
"""The codes of v2's answers. See docs/itsm-behaviour.md#error-codes."""

from __future__ import annotations

import re

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.protocol import Codes

CODES = Codes(
    # Numbers of ITSM's platform, and names.
    own=re.compile(r"39\d{5}|[A-Z][A-Z0-9_]*"),
    errors={
        "3900003": errors.ItsmInvalidRequestError,
        "3900004": errors.ItsmRefusedError,
        "3900005": errors.ItsmInvalidRequestError,
        "3900015": errors.ItsmPermissionError,
        "3900022": errors.ItsmTicketNotFoundError,
        "3900042": errors.CollectItsmNotExists,
        "3900404": errors.ItsmNotFoundError,
        "3900499": errors.ItsmPermissionError,
        "3900500": errors.ItsmCrashError,
        "SERVER_500_ERROR": errors.ItsmCrashError,
        "PERMISSION_DENIED": errors.ItsmPermissionError,
        "UNAUTHORIZED": errors.ItsmAuthenticationError,
        "OBJECT_NOT_EXIST": errors.ItsmEndpointNotFoundError,
        "METHOD_NOT_ALLOWED": errors.ItsmEndpointNotFoundError,
    },
)
