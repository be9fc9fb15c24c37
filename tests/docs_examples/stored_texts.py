# SPDX-License-Identifier: Apache-2.0
"""What ITSM stores of a text: docs/itsm-fields.md."""

# --8<-- [start:stored]
from airflow_provider_bkitsm.itsm.v2.html_filter import as_shown, as_stored, stored_title

STORED = as_stored('say "yes" <i>now</i>', "STRING")  # say &quot;yes&quot; now
SHOWN = as_shown(STORED)  # say "yes" now
LENGTH = len(stored_title('"' * 30))  # 180, of which ITSM takes 128
# --8<-- [end:stored]
