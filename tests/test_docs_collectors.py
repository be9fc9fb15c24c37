# SPDX-License-Identifier: Apache-2.0
"""What the page on collectors names is there."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from configparser import ConfigParser
from inspect import signature
from pathlib import Path

from airflow_provider_bkitsm.cli.definition import HISTORY
from airflow_provider_bkitsm.collectors.approval_switch import gate
from airflow_provider_bkitsm.collectors.row import CollectorState
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.get_provider_info import get_provider_info

PAGE = Path(__file__).resolve().parents[1] / "docs" / "collectors.md"
TEXT = PAGE.read_text()


def _first_cells(heading: str) -> list[str]:
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


EVENTS = _first_cells("What happened")


def test_every_file_named_exists():
    named = [path.partition("#")[0] for path in re.findall(r"\]\((?!http)([^)]+)\)", TEXT)]
    assert named
    assert all((PAGE.parent / path).exists() for path in named)


def test_the_settings_are_declared_and_can_be_read():
    parser = ConfigParser()
    parser.read_string(re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)[0])
    given, declared = dict(parser["bkitsm"]), get_provider_info()["config"]["bkitsm"]["options"]
    assert set(given) == {"collect_itsm", "collect_itsm_businesses"} <= set(declared)
    settings = (given["collect_itsm"], given["collect_itsm_businesses"])
    assert [gate(*settings, bk_biz_id=one).is_on for one in (2, 5, 9)] == [False, True, True]
    assert gate(*(declared[name]["default"] for name in given), bk_biz_id=2).is_on


def test_the_states_and_events_are_the_stores():
    assert set(_first_cells("States")) == {one.value for one in CollectorState}
    readers = {"get", "by_ticket", "applying", "history", "latest", "lost"}
    steps = {name for name in vars(CollectorStore) if not name.startswith("_")} - readers
    assert set(EVENTS) == {"bypassed" if name == "bypass" else name for name in steps}
    assert "setting" in signature(CollectorStore.bypass).parameters


def test_the_commands_options_are_there():
    parser = ArgumentParser()
    for flags, options in HISTORY:
        parser.add_argument(*flags, **options)
    said = parser.format_help()
    for option in ("--bklog-conn-id", "--store-conn-id", "{table,json,yaml,plain}"):
        assert option in said
    assert "--bklog-conn-id` (default `bklog_default`), `--store-conn-id` and `-o table|json|yaml|plain`" in TEXT
