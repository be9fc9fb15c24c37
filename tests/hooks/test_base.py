# SPDX-License-Identifier: Apache-2.0
"""What Airflow's Test button is told."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.base import run_report
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError


def failing(error: Exception):
    def report() -> str:
        raise error

    return report


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (lambda: "all is well", (True, "all is well")),
        (failing(ItsmConfigurationError("connection 'x7Gh': login is empty")), (False, "login is empty")),
        (failing(ItsmConfigurationError("refused", code=403)), (False, "refused [code 403]")),
        (failing(OSError("s3cret")), (False, "the connection cannot be used (OSError)")),
    ],
    ids=["passed", "filled wrongly", "refused", "unforeseen"],
)
def test_p8_the_button_is_told_a_sentence_and_nothing_foreign(report, told):
    assert run_report(report, "x7Gh") == told
