# SPDX-License-Identifier: Apache-2.0
"""The workflow that publishes: it needs no secret, and publishes only what has passed."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
BUILD, PUBLISH = WORKFLOW["jobs"]["build"], WORKFLOW["jobs"]["publish"]


def test_only_a_tag_publishes():
    # YAML 1.1 reads the key "on" as true.
    assert list(WORKFLOW[True]) == ["push"]
    assert list(WORKFLOW[True]["push"]) == ["tags"]


def test_p8_no_secret_is_stored_and_only_the_publishing_job_may_prove_who_it_is():
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in BUILD
    assert PUBLISH["permissions"] == {"id-token": "write"}


def test_what_is_published_has_passed_everything_that_a_change_has_to():
    assert PUBLISH["needs"] == "build"
    assert any(step.get("run") == "bash .ci/run" for step in BUILD["steps"])
    assert not any("run" in step for step in PUBLISH["steps"])
