# SPDX-License-Identifier: Apache-2.0
"""Nothing stays behind."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from demo.airflow_api import wait_until
from demo.processes import (
    Process,
    alone,
    empty,
    end,
    ends_orderly,
    environment,
    free_ports,
    marked_with,
    stop_all,
)

# Starts a child in a session of its own that ignores being asked to end, as task processes may.
STUBBORN = """
import os, signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
print("started", flush=True)
time.sleep(600)
"""


def start(home: Path, program: str) -> Process:
    return Process(name="program", command=[sys.executable, "-c", program], env=environment(home), logs=home)


def test_what_moved_to_a_session_of_its_own_is_found_and_ended(tmp_path):
    process = start(tmp_path, STUBBORN)
    wait_until(lambda: len(list(marked_with(tmp_path))) == 2, lambda: "not seen", seconds=20)
    stop_all([process], home=tmp_path)
    assert list(marked_with(tmp_path)) == []


def test_one_process_is_ended_and_the_others_stay(tmp_path):
    first, second = (start(tmp_path, "import time; time.sleep(600)") for _ in range(2))
    end(first)
    with pytest.raises(RuntimeError):
        first.check()
    second.check()
    stop_all([second], home=tmp_path)


def test_other_homes_are_left_alone(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for home in (mine, other):
        home.mkdir()
    kept = start(other, "import time; time.sleep(600)")
    wait_until(lambda: list(marked_with(other)), lambda: "not seen", seconds=20)
    stop_all([], home=mine)
    kept.check()
    stop_all([kept], home=other)


def test_a_process_that_ended_by_itself_is_told_with_its_last_words(tmp_path):
    process = start(tmp_path, "raise SystemExit('no database')")
    assert process.wait(20)
    with pytest.raises(RuntimeError, match="no database"):
        process.check()


def test_being_asked_to_end_runs_the_clean_up():
    cleaned = []
    with pytest.raises(SystemExit), ends_orderly():  # noqa: PT012 - the clean-up inside is what is tested
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned.append(True)
    assert cleaned


def test_a_callers_own_airflow_does_not_leak_in(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "Nothing")
    assert not [name for name in environment(tmp_path) if name.startswith("AIRFLOW")]


def test_ports_are_different():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(port < 32768 for port in ports), "above, a client's connection may take one meanwhile"


def test_a_home_is_for_one_demo_at_a_time(tmp_path):
    with alone(tmp_path), pytest.raises(SystemExit, match="in use"), alone(tmp_path):
        pass
    with alone(tmp_path):
        (tmp_path / "logs").mkdir()
        (tmp_path / "airflow.db").touch()
        empty(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_killed_it_leaves_no_descendant_whatever_session_that_moved_to(tmp_path):
    process = start(tmp_path, STUBBORN)
    wait_until(lambda: len(list(marked_with(tmp_path))) == 2, lambda: "not seen", seconds=20)
    process.kill_tree()
    assert process.has_ended
    assert list(marked_with(tmp_path)) == []
