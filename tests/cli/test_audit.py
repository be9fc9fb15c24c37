# SPDX-License-Identifier: Apache-2.0
"""The audit as an auditor gets it: complete, the same each time, and with a sum that shows a later change."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import yaml

from airflow_provider_bkitsm.cli.__main__ import main
from airflow_provider_bkitsm.cli.audit import csv_lines, json_lines, moment_of
from airflow_provider_bkitsm.tickets.audit import COLUMNS
from tests.tickets.records import record_round

REMARK = '=HYPERLINK("http://evil")\nsecond\u202eline'
END = {
    "outcome": "rejected",
    "reason": "@SUM(A1)",
    "reason_code": "refused",
    "decided_at": "2026-11-01T08:10:00+00:00",
    "approvers": [{"operator": "鲍勃", "approved": False, "remark": REMARK, "decided_at": None}],
    "waits": [{"dag_id": "dag", "run_id": "r", "task_id": "t", "map_index": 0, "outcome": "rejected"}],
}
REQUEST = {"creator": "robot", "requester": "-alice", "fields": {"title": "\u3000\uff1d1+1 [#3abcde]"}}


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    return tmp_path


@pytest.fixture
def rounds():
    record_round("SN1", request=REQUEST, verdict=END)
    record_round("SN2", task_id="other", request=REQUEST)


@pytest.fixture
def ask(capfd):
    def asked(*arguments: str) -> tuple[str, str]:
        main(["audit", "--since", "2026-01-01", *arguments])
        return capfd.readouterr()

    return asked


@pytest.mark.usefixtures("rounds")
@pytest.mark.parametrize("output", ["csv", "json"])
def test_the_sum_on_the_standard_error_is_that_of_the_file(ask, output):
    out, err = ask("-o", output)
    found = re.fullmatch(r"2 rows, SHA-256 ([0-9a-f]{64})\n", err)
    assert found is not None
    assert found[1] == hashlib.sha256(out.encode()).hexdigest()
    assert ask("-o", output) == (out, err)


@pytest.mark.usefixtures("rounds")
def test_csv_has_every_column_and_no_cell_is_a_formula(ask):
    out, _ = ask("-o", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert tuple(rows[0]) == COLUMNS
    assert len(out.splitlines()) == 3
    row = rows[0]
    assert (row["requester"], row["reason"], row["map_index"]) == ("'-alice", "'@SUM(A1)", "-1")
    assert row["title"] == "'\u3000\uff1d1+1"
    assert row["decisions"] == '鲍勃 refused at ?: =HYPERLINK("http://evil")\\nsecond\\u202eline'
    assert row["waits"].startswith("dag.t[0], run r: rejected")
    assert rows[1]["result"] == "open"


def test_nor_is_what_a_semicolon_makes_a_cell_of_its_own(ask):
    approvers = [{**END["approvers"][0], "remark": "no;=1+1"}]
    record_round("SN1", request=REQUEST, verdict={**END, "approvers": approvers})
    (row,) = csv.DictReader(io.StringIO(ask("-o", "csv")[0]))
    assert row["decisions"].endswith("no;'=1+1")


@pytest.mark.usefixtures("rounds")
def test_json_keeps_what_was_written_as_text_and_no_mark_of_direction_as_it_is(ask):
    out, _ = ask("-o", "json")
    first, second = json.loads(out)
    assert first["decisions"][0]["remark"] == REMARK
    assert "\u202e" not in out
    assert "鲍勃" in out
    assert (first["requester"], second["decided_at"]) == ("-alice", None)


@pytest.mark.usefixtures("rounds")
@pytest.mark.parametrize("output", ["table", "plain"])
def test_people_read_a_table(ask, output):
    out, _ = ask("-o", output, "--dag-id", "dag")
    for text in ("SN1", "SN2", "rejected", "open"):
        assert text in out
    assert not re.search(r":\d\d\.\d", out), "a time to the second is enough for people"


@pytest.mark.usefixtures("rounds")
def test_yaml_has_the_same_as_json(ask):
    rows = yaml.safe_load(ask("-o", "yaml")[0])
    assert [row["ticket"] for row in rows] == ["SN1", "SN2"]


@pytest.mark.usefixtures("rounds")
def test_a_period_without_rounds_is_a_file_all_the_same(ask):
    assert ask("--conn-id", "none", "-o", "json")[0] == "[]\n"
    out, err = ask("--until", "2026-01-02", "-o", "csv")
    assert out == ",".join(COLUMNS) + "\n"
    assert err.startswith("0 rows, SHA-256 ")


def test_no_store_is_no_empty_audit(ask, capfd, home):
    with pytest.raises(SystemExit) as caught:
        ask("-o", "csv")
    out, err = capfd.readouterr()
    assert (caught.value.code, out) == (1, "")
    assert "there is no store" in err
    assert not list(home.iterdir())


@pytest.mark.usefixtures("rounds")
def test_a_file_beside_workers_on_other_machines_is_said_not_to_be_all(ask, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    assert "tasks may run on several (CeleryExecutor)" in ask("-o", "csv")[1]


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "12h", "0001-01-01T00:00+08:00"])
def test_a_time_that_is_none_is_an_error(capfd, text):
    with pytest.raises(SystemExit) as caught:
        main(["audit", "--since", text])
    assert caught.value.code == 2
    assert "--since" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "is_end", "at"),
    [
        ("2026-11-01", False, datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01", True, datetime(2026, 11, 2, tzinfo=UTC)),
        ("9999-12-31", True, datetime(9999, 12, 31, tzinfo=UTC)),
        ("2026-11-01T08:00:00", True, datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("2026-11-01T08:00:00+08:00", False, datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T08:00:00Z", False, datetime(2026, 11, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_day_and_a_time_are_read(text, is_end, at):
    assert moment_of(text, "--since", is_end=is_end) == at


def test_files_are_written_while_rows_are_read():
    read = []

    def rows():
        for number in range(3):
            read.append(number)
            yield dict.fromkeys(COLUMNS)

    lines = csv_lines(rows())
    next(lines)
    assert read == []
    next(lines)
    assert read == [0]
    objects = json_lines(rows())
    next(objects)
    assert read == [0, 0]


@pytest.mark.usefixtures("rounds")
def test_the_file_is_utf_8_whatever_the_locale(home):
    arguments = ["-m", "airflow_provider_bkitsm.cli", "audit", "--since", "2026-01-01", "-o", "csv"]
    environment = {"AIRFLOW_HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "gbk"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=environment)
    assert "鲍勃" in done.stdout.decode()
    assert hashlib.sha256(done.stdout).hexdigest() in done.stderr.decode("gbk")
