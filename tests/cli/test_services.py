# SPDX-License-Identifier: Apache-2.0
"""A service imported into ITSM, and services checked, as an administrator does it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_bkitsm.cli.__main__ import main
from airflow_provider_bkitsm.cli.services import operator_call, shipped_service
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.models import Service, ServiceField
from tests.record import EVIDENCE


@pytest.fixture
def run(connections, capsys, monkeypatch):
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)

    def ran(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


def test_the_shipped_service_has_the_shape_a_real_server_has_imported():
    recorded, shipped = EVIDENCE["import_service__countersign_rate60"]["request"], shipped_service()
    assert shipped.keys() | {"catalog_id"} == recorded.keys()
    theirs, ours = recorded["workflow"], shipped["workflow"]
    assert ours.keys() == theirs.keys()
    for group in ("states", "transitions", "fields"):
        (keys,) = {frozenset(one) for one in ours[group].values()}
        assert keys == set(next(iter(theirs[group].values()))), group


def test_the_shipped_service_is_none_the_log_platform_takes_for_its_own():
    """The log platform asks the first service of its display role, whichever that is."""
    assert shipped_service()["display_role"] == ""


def test_the_shipped_service_is_created_once_and_its_number_printed(run):
    code, out, err = run("import-service", "--catalog-id", "12")
    number = int(out)
    assert code == 0
    assert f"service_id {number}" in err
    assert ItsmHook("bkitsm_default").get_service_detail(number).name == "Airflow 日志采集接入"
    code, out, err = run("import-service", "--catalog-id", "12")
    assert (code, out) == (1, "")
    assert f"has service {number} " in err
    assert "nothing was changed" in err


def test_the_only_catalogue_people_see_is_taken_and_of_several_one_has_to_be_named(run):
    assert run("import-service", "--name", "first")[0] == 0
    ItsmHook("bkitsm_default").create_service_catalog(name="second", project_key="0", parent_key="root")
    code, _, err = run("import-service", "--name", "other")
    assert code == 1
    assert "--catalog-id" in err
    assert "(second)" in err


def test_another_export_may_be_imported(run, tmp_path):
    file = tmp_path / "service.json"
    file.write_text(json.dumps(shipped_service() | {"name": "mine"}), "utf-8")
    assert run("import-service", "--file", str(file))[0] == 0
    assert run("check-service", "mine")[0] == 0
    assert run("import-service", "--file", str(tmp_path / "none.json"))[0] == 2


@pytest.mark.parametrize("export", ["[]", "null", "1", '"x"', "{}", '{"name": " "}', "[{}]", "<html>"])
def test_a_file_that_holds_no_service_is_said_and_nothing_is_sent(run, sandbox, tmp_path, export):
    file = tmp_path / "service.json"
    file.write_text(export, "utf-8")
    code, out, err = run("import-service", "--file", str(file))
    assert (code, out, sandbox.requests("import_service")) == (2, "", [])
    assert err.count("\n") == 1


def test_blanks_around_a_name_make_no_second_service_of_that_name(run):
    assert run("import-service", "--name", " mine ")[0] == 0
    assert run("import-service", "--name", "mine")[0] == 1
    assert run("check-service", "mine")[0] == 0


@pytest.mark.parametrize("service", ["Airflow 日志采集接入", "日志采集接入", "11", "日志平台容量评估", "单级审批"])
def test_a_service_that_fits_is_said_to_fit(run, service):
    run("import-service")
    code, out, _ = run("check-service", service)
    assert code == 0, out
    assert "CollectorApplyOperator: fits" in out
    assert "ItsmApprovalOperator: fits" in out


def test_why_a_service_does_not_fit_is_said(run):
    code, out, _ = run("check-service", "无审批节点")
    assert code == 1
    assert "CollectorApplyOperator: does not fit" in out
    assert "nobody approves in its flow" in out


def test_what_is_filled_in_and_what_has_to_be_given_is_said(run):
    code, out, _ = run("check-service", "17", "--for", "collector")
    assert code == 0
    assert "single_log_size" in out
    assert "answers in the field 'approval_result'" in out
    assert "ItsmApprovalOperator" not in out
    assert "approver (MEMBERS)" in run("check-service", "12", "--for", "approval")[1]


@pytest.mark.parametrize(
    ("service", "line"),
    [
        ("日志平台容量评估", "withdrawal: its tickets cannot be withdrawn, as ITSM installs"),
        ("日志采集接入", "withdrawal: ITSM says so of open tickets only, not of services"),
    ],
)
def test_p5_whether_a_ticket_can_be_withdrawn_is_said_as_far_as_it_shows(run, service, line):
    assert line in run("check-service", service)[1]


def test_a_service_that_is_not_there_is_an_error_of_its_own(run, connect):
    code, _, err = run("check-service", "日志接入")
    assert code == 2
    assert "日志采集接入 (11)" in err
    connect("wrong", conn_type="bkitsm", host="http://127.0.0.1:9", login="a", password="p4ss")
    code, _, err = run("check-service", "11", "--bkitsm-conn-id", "wrong")
    assert code == 2
    assert "p4ss" not in err


@pytest.fixture
def asked(run, sandbox, task):
    """Import the service and ask for a collector in it; return the ticket's number."""
    from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator

    run("import-service")
    clean = {"table_id": "t", "etl_config": "bk_log_text", "storage_cluster_id": 3, "retention": 7}
    apply = CollectorApplyOperator(
        task_id="apply",
        collector_config_id=1001,
        bk_biz_id=2,
        clean_config=clean | {"allocation_min_days": 0},
        approvers="alice",
        service_id="Airflow 日志采集接入",
    )
    sn = apply.execute(task("apply").context)
    sandbox.wait_for_step(sn)
    return sn


def wait_for(sn, task):
    from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

    wait = ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False, on_not_approved="pass")
    return wait.execute(task("wait").context)["outcome"]


def test_p1_an_approval_in_the_imported_service_arrives(asked, sandbox, task):
    assert sandbox.ticket(asked)["fields"]["approvals"] == "alice"
    sandbox.approve(asked)
    assert wait_for(asked, task) == "approved"


def test_p3_a_refusal_in_the_imported_service_arrives(asked, sandbox, task):
    sandbox.reject(asked, remark="no")
    assert wait_for(asked, task) == "rejected"


def test_p5_a_ticket_of_the_imported_service_can_be_withdrawn(asked, sandbox, task):
    sandbox.withdraw(asked)
    assert wait_for(asked, task) == "withdrawn"


def test_it_is_there_on_the_command_line(connections):
    command = [sys.executable, "-m", "airflow_provider_bkitsm.cli", "check-service", "11"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "CollectorApplyOperator: fits" in done.stdout


def test_an_answer_of_itsm_writes_no_line_of_its_own(run, sandbox):
    name = "fine\x1b[2K\u202e"
    assert run("import-service", "--name", name)[0] == 0
    code, out, err = run("import-service", "--name", name)
    assert (code, out) == (1, "")
    assert r"(fine\x1b[2K\u202e) already" in err
    assert "\x1b" not in run("services")[1]


def test_services_are_listed_with_their_catalogue_and_approval_steps(run):
    code, out, _ = run("services", "-o", "json")
    rows = {one["name"]: one for one in json.loads(out)}
    assert code == 0
    assert rows["单级审批"].keys() == {"id", "name", "catalogue", "approval_steps"}
    assert rows["无审批节点"]["approval_steps"] == "none"
    assert "评估采集容量 answers in the field 'approval_result'" in rows["日志平台容量评估"]["approval_steps"]
    assert rows["单级审批"]["approval_steps"] not in ("", "none")
    few = json.loads(run("services", "--name", "单级", "-o", "json")[1])
    assert [one["name"] for one in few] == ["单级审批"]


def test_a_services_fields_are_shown_with_a_call_that_can_be_pasted(run):
    code, out, _ = run("services", "单级审批")
    assert code == 0
    assert "MEMBERS" in out
    names: dict = {}
    exec(out[out.index("from airflow") :].replace("ItsmApprovalOperator(", "made = ItsmApprovalOperator("), names)
    assert (names["made"].service_id, names["made"].fields) == (12, {"approver": "alice,bob"})


def test_the_page_shows_what_is_printed(run):
    page = (Path(__file__).resolve().parents[2] / "docs" / "services.md").read_text(encoding="utf-8")
    shown = page.split("## Which service, which fields\n")[1].split("```text\n")[1].split("```")[0]
    code, out, _ = run("services", "单级审批")
    assert code == 0
    assert [line.rstrip() for line in out.splitlines()] == [line.rstrip() for line in shown.splitlines()]


def test_fields_are_rows_for_scripts(run):
    rows = json.loads(run("services", "12", "-o", "json")[1])
    assert {one["key"]: one["required"] for one in rows}["title"] == "yes"


@pytest.mark.parametrize("text", ["a\nimport os", "\r'", 'x"""', "\u2028print(1)", "\\\n)", "\x00"])
def test_p6_what_is_pasted_runs_nothing_that_a_services_editor_wrote(text):
    field = ServiceField(key=text, name=text, type=text, choices={text: text})
    hidden = ServiceField(key=text + "2", name=text, type=text, is_required=False)
    call = operator_call(Service(service_id=1, name=text, fields=(field, hidden)), bkitsm_conn_id=text)
    (only,) = ast.parse(call).body
    assert isinstance(only, ast.Expr)
    assert isinstance(only.value, ast.Call)
    assert {one.arg: ast.literal_eval(one.value) for one in only.value.keywords} == {
        "task_id": "ask",
        "title": text,
        "bkitsm_conn_id": text,
        "service_id": 1,
        "fields": {text: text},
    }


def test_a_service_that_is_not_there_is_a_line_and_an_exit_code(run):
    code, out, err = run("services", "nothing like it")
    assert (code, out, err.count("\n")) == (2, "", 1)
