# SPDX-License-Identifier: Apache-2.0
"""What Airflow's Test button is told: a sentence for the administrator, never a secret, never an exception."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_bkitsm.itsm.errors import ItsmError


def tell(report: Callable[[], str], conn_id: str) -> tuple[bool, str]:
    """Return whether ``report`` succeeded, and its sentence or the reason of its failure.

    The button tests under a random connection id, which would only puzzle its reader.
    """
    try:
        return True, report()
    except ItsmError as error:
        return False, str(error).removeprefix(f"connection {conn_id!r}: ")
    except Exception as error:
        # Foreign words may hold anything, a secret included: the kind must do.
        return False, f"the connection cannot be used ({type(error).__name__})"
