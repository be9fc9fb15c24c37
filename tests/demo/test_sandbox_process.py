# SPDX-License-Identifier: Apache-2.0
"""A sandbox of its own process keeps its state in a file."""

from __future__ import annotations

import pytest
import requests

from demo.sandbox_process import SandboxProcess


def test_killed_and_started_again_it_has_its_state_at_the_same_address(tmp_path):
    with SandboxProcess(home=tmp_path) as sandbox:
        sandbox.control.put_collector(7, bk_biz_id=9)
        sandbox.kill()
        with pytest.raises(requests.ConnectionError):
            sandbox.control.collector(7)
        sandbox.start()
        assert sandbox.control.collector(7)["bk_biz_id"] == 9
