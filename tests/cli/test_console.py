# SPDX-License-Identifier: Apache-2.0
"""What commands say in the language of the process' locale, and what is the same in every language."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
import yaml

from airflow_provider_bkitsm.cli.__main__ import main
from airflow_provider_bkitsm.cli.cures import cure_of, with_cure
from airflow_provider_bkitsm.cli.definition import COMMANDS, get_bkitsm_cli_commands
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.translation import Text, verbatim
from tests.plugins.database import airflow_database
from tests.plugins.rows import insert_dag, insert_waits

HAN = re.compile(r"[\u4e00-\u9fff]")
ERRORS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ItsmError)]


@pytest.fixture
def run(connections, capsys, monkeypatch):
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)

    def ran(*arguments: str, locale: str = "C.UTF-8") -> tuple[int, str, str]:
        monkeypatch.setenv("LC_ALL", locale)
        code, _ = 0, capsys.readouterr()
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return ran


@pytest.fixture
def chinese(run):
    return lambda *arguments: run(*arguments, locale="zh_CN.UTF-8")


@pytest.fixture
def waiting(tmp_path, connections, sandbox):
    """A test ticket that a task waits for; return its number."""
    with airflow_database(tmp_path, f"sqlite:///{tmp_path / 'airflow.db'}"):
        from airflow_provider_bkitsm.cli.trial_ticket import open_trial_ticket
        from airflow_provider_bkitsm.hooks.itsm import ItsmHook

        sn = str(open_trial_ticket(ItsmHook(), approver="alice").sn)
        sandbox.wait_for_step(sn)
        insert_waits([sn], dag_version=insert_dag(), conn_id="bkitsm_default")
        yield sn


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_is_in_the_language_of_the_locale(run, chinese, command):
    code, out, _ = chinese(command, "--help")
    assert (code, COMMANDS[command][1].into("zh") in out.replace("\n", "")) == (0, True)
    assert all(HAN.search(options["help"].into("zh")) for _, options in COMMANDS[command][2])
    assert not HAN.search(run(command, "--help")[1])


def test_airflows_own_help_has_it_too(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    (group,) = get_bkitsm_cli_commands()
    assert all(HAN.search(one.help) for one in [group, *group.subcommands])
    assert all(HAN.search(arg.kwargs["help"]) for one in group.subcommands for arg in one.args)


@pytest.mark.parametrize("output", ["table", "plain"])
def test_headings_and_words_are_in_chinese(chinese, waiting, output):
    out = chinese("tickets", "-o", output)[1]
    for word in ("单据", "标题", "状态", "待审批", "审批人", "alice", "bkitsm_default"):
        assert word in out.replace("\n", "")
    assert "approvers" not in out
    fields = chinese("services", "12", "-o", output)[1]
    for word in ("必填", "是", "ItsmApprovalOperator("):
        assert word in fields
    story = chinese("tickets", waiting, "-o", output)[1]
    for word in ("提单", "时间", "待处理", "备注"):
        assert word in story


@pytest.mark.parametrize("command", [["services"], ["services", "12"], ["tickets"], ["tickets", "SN"]])
@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_what_scripts_read_is_the_same_in_every_language(run, chinese, waiting, command, output, read):
    arguments = [waiting if one == "SN" else one for one in command]
    english, other = (read(ran(*arguments, "-o", output)[1]) for ran in (run, chinese))
    assert english
    for row in (*english, *other):
        row.pop("age", None)
    assert english == other


def test_nothing_to_list_is_said_in_both_languages(run, chinese):
    assert run("services", "--name", "nothing like it")[1] == "No data found\n"
    assert chinese("services", "--name", "nothing like it")[1] == "没有数据\n"


def test_an_errors_message_stays_as_it_is_and_its_cure_is_translated(run, chinese):
    code, out, err = run("services", "nothing like it")
    message, cure = err.rstrip("\n").split(". WHAT TO DO: ")
    assert (code, out, "name a service or workflow that exists" in cure) == (2, "", True)
    code, out, err = chinese("services", "nothing like it")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{message}。处理建议：")


def test_a_connection_that_there_is_not_is_said_with_where_to_define_it(run, chinese):
    code, _, err = run("services", "--bkitsm-conn-id", "nowhere")
    assert (code, "nowhere" in err, ". WHAT TO DO: define it in the environment" in err) == (2, True, True)
    code, _, err = chinese("services", "--bkitsm-conn-id", "nowhere")
    assert (code, "nowhere" in err, "处理建议：在环境变量、密钥后端" in err) == (2, True, True)


def test_what_is_typed_wrongly_is_said_in_chinese(chinese, waiting):
    for arguments in (["--older-than", "x"], ["withdraw", waiting], ["a", "b"], ["open", "--field", "x"]):
        code, _, err = chinese("tickets", *arguments)
        assert (code, bool(HAN.search(err)), err.count("\n")) == (2, True, 1)


def test_why_a_service_does_not_fit_is_said_in_chinese(chinese):
    for service in ("无审批节点", "日志平台容量评估", "单级审批", "日志采集接入"):
        lines = chinese("check-service", service)[1].splitlines()
        assert len(lines) > 4
        assert [line for line in lines if not HAN.search(line)] == []


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_a_cure_in_both_languages(kind):
    cure = cure_of(kind("mine"))
    assert isinstance(cure, Text)
    assert HAN.search(cure.into("zh"))
    assert with_cure(verbatim("mine."), cure, "en") == f"mine. WHAT TO DO: {cure}"
    assert with_cure(verbatim("mine."), cure, "zh") == f"mine。处理建议：{cure.into('zh')}"


_EACH_LOCALE = """
import os, sys
import airflow_provider_bkitsm.cli.services
from airflow_provider_bkitsm.cli.__main__ import main
for name in ("LANG", "LC_MESSAGES", "LC_ALL"):
    if os.fork():
        os.wait()
        continue
    os.environ[name] = "zh_CN.UTF-8"
    main(["check-service", "11"])
    sys.exit()
"""


def test_it_is_so_in_a_process_of_its_own(connections, monkeypatch):
    """One for each variable, of which all are without any of them when they start."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run([sys.executable, "-c", _EACH_LOCALE], capture_output=True, check=False)
    assert done.stdout.decode().count("审批结果") == 3, done.stderr.decode()


@pytest.fixture(params=["ascii", "latin-1"])
def without_chinese(request, chinese, monkeypatch):
    """Return a function that runs a command whose output lacks Chinese: exit code, output, errors."""

    def ran(*arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=request.param) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            code, *_ = chinese(*arguments)
            for stream in streams:
                stream.flush()
        return code, *(stream.buffer.getvalue().decode("ascii") for stream in streams)

    return ran


@pytest.mark.parametrize("output", ["table", "plain", "json", "yaml"])
def test_an_output_that_lacks_chinese_has_it_spelled_under_english_headings(without_chinese, output):
    code, out, err = without_chinese("services", "12", "-o", output)
    assert (code, err) == (0, "")
    assert "required" in out
    assert r"\u5ba1\u6279" in out.lower()
    if output == "json":
        assert json.loads(out)[1]["name"] == "审批人"


def test_an_output_that_lacks_chinese_keeps_the_exit_code_and_the_help(without_chinese):
    assert without_chinese("check-service", "无审批节点")[0] == 1
    code, out, err = without_chinese("services", "nothing like it")
    assert (code, out, "WHAT TO DO" in err) == (2, "", True)
    code, out, _ = without_chinese("services", "--help")
    assert (code, COMMANDS["services"][1] in out.replace("\n", " ")) == (0, True)


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "zh_CN.UTF-8", "PYTHONIOENCODING": "ascii"},
        {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"},
    ],
)
def test_it_is_spelled_in_a_process_of_its_own(connections, monkeypatch, environment):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "airflow_provider_bkitsm.cli", "services", "12"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, b"required" in done.stdout) == (0, True), done.stderr
