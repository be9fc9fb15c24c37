# SPDX-License-Identifier: Apache-2.0
"""Tickets as an administrator lists, reads, withdraws and tries them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from airflow_provider_bkitsm.cli.__main__ import main
from airflow_provider_bkitsm.cli.tickets import age_of
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.plugins.database import airflow_database
from tests.plugins.rows import DAG, insert_dag, insert_waits


@pytest.fixture
def dag_version(tmp_path) -> Iterator[Any]:
    with airflow_database(tmp_path, f"sqlite:///{tmp_path / 'airflow.db'}"):
        yield insert_dag()


@pytest.fixture
def run(connections, dag_version, capsys, monkeypatch):
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)

    def ran(*arguments: str) -> tuple[int, str, str]:
        code, _ = 0, capsys.readouterr()
        try:
            main(["tickets", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


@pytest.fixture
def rows(run):
    def listed(*arguments: str) -> list[dict[str, Any]]:
        code, out, err = run(*arguments, "-o", "json")
        assert code == 0, err
        return list(json.loads(out))

    return listed


@pytest.fixture
def ours(connections, sandbox, task, dag_version) -> str:
    """Open a ticket as a task does, and let a task wait for it."""
    return opened(sandbox, task, "alice")


def opened(sandbox: SandboxServer, task: Any, approver: str) -> str:
    ask = ItsmCreateTicketOperator(
        task_id=f"ask_{approver}",
        title="Deploy",
        fields={"APPROVER": approver, "APPROVAL_CONTENT": "v2"},
        fast_approval=True,
    )
    sn = str(ask.execute(task(f"ask_{approver}").context))
    sandbox.wait_for_step(sn)
    return sn


@pytest.fixture
def waits(dag_version):
    def wait(sn: str, **more: Any) -> str:
        (made,) = insert_waits(
            [sn], dag_version=dag_version, conn_id=more.pop("conn_id", "bkitsm_default"), **more
        )
        return made.run_id

    return wait


@pytest.fixture
def foreign(connections, sandbox) -> str:
    """Open a ticket as another application does."""
    form = {"title": "theirs", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
    sn = str(ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn)
    sandbox.wait_for_step(sn)
    return sn


def of_run(found: list[dict[str, Any]], run_id: str) -> dict[str, Any]:
    return next(one for one in found if one["run_id"] == run_id)


def test_what_waits_is_listed_with_who_is_asked(rows, ours, waits):
    run_id = waits(ours, approval_seconds=3600.0)
    found = of_run(rows(), run_id)
    assert found | {"age": 0, "deadline": "", "title": ""} == {
        "ticket": ours,
        "title": "",
        "status": "waiting",
        "age": 0,
        "deadline": "",
        "approvers": ["alice"],
        "dag_id": DAG,
        "run_id": run_id,
        "task_id": "wait",
        "connection": "bkitsm_default",
    }
    assert found["title"] == "Deploy"
    assert found["deadline"]
    assert 0 <= int(found["age"]) < 3600


def test_the_list_is_filtered(rows, sandbox, task, ours, waits):
    bobs, runs = opened(sandbox, task, "bob"), {}
    runs["alice"], runs["bob"] = waits(ours), waits(bobs)
    runs["other"] = waits("REQ0", conn_id="other", deferred_for=timedelta(days=3))

    def found(*arguments: str) -> set[str]:
        listed = {one["run_id"] for one in rows(*arguments)}
        return {name for name, run_id in runs.items() if run_id in listed}

    assert found() == {"alice", "bob", "other"}
    assert found("--approver", "bob") == {"bob"}
    assert found("--conn-id", "other") == found("--bkitsm-conn-id", "other") == {"other"}
    assert found("--dag-id", DAG) == {"alice", "bob", "other"}
    assert found("--dag-id", "none") == set()
    assert found("--older-than", "4d") == set()


def test_a_ticket_that_itsm_does_not_answer_about_is_listed_all_the_same(rows, waits, sandbox):
    sandbox.fault("", "html", times=1000)
    run_id = waits("REQ1")
    found = of_run(rows(), run_id)
    assert (found["ticket"], found["approvers"]) == ("REQ1", [])


@pytest.mark.parametrize("output", ["table", "plain"])
def test_people_read_a_table(run, ours, waits, output):
    waits(ours)
    code, out, _ = run("-o", output)
    assert code == 0
    for word in ("ticket", "approvers", "alice", "bkitsm_default"):
        assert word in out.replace("\n", "")


@pytest.mark.parametrize(
    ("written", "age"),
    [("90s", 90), ("30m", 1800), ("12h", 43200), (" 3d ", 259200)],
)
def test_an_age_has_a_unit(written, age):
    assert age_of(written) == timedelta(seconds=age)


@pytest.mark.parametrize("written", ["", "3", "h", "-1h", "1.5h", "1w", "9999999d", "1h2m"])
def test_another_age_is_a_line_and_an_exit_code(run, written):
    with pytest.raises(ValueError, match="older-than"):
        age_of(written)
    code, out, err = run(f"--older-than={written or ' '}")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_tickets_story_is_shown(run, sandbox, ours):
    sandbox.approve(ours, remark="go\x1b[2K")
    code, out, _ = run(ours)
    assert code == 0
    for word in (ours, "Deploy", "alice", "approved", "http://", "v2"):
        assert word in out
    assert "\x1b" not in out
    (story,) = yaml.safe_load(run(ours, "-o", "yaml")[1])
    assert story["sn"] == ours
    assert "approved" in {one["kind"] for one in story["entries"]}


def test_a_ticket_that_a_task_waits_for_is_found_on_its_connection(run, sandbox, foreign, waits, connect):
    connect("second", conn_type="bkitsm", host=sandbox.itsm_url, login="sandbox", password="sandbox-secret")
    waits(foreign, conn_id="second")
    code, out, _ = run(foreign, "-o", "json")
    assert (code, json.loads(out)[0]["connection"]) == (0, "second")
    waits(foreign, conn_id="bkitsm_default")
    code, _, err = run(foreign)
    assert (code, "--bkitsm-conn-id" in err) == (2, True)
    assert run(foreign, "--conn-id", "second")[0] == 0


def test_p5_a_ticket_of_ours_is_withdrawn_with_its_reason(run, sandbox, ours):
    code, out, _ = run("withdraw", ours, "--reason", "the run was a mistake")
    assert (code, sandbox.ticket(ours)["status"]) == (0, "REVOKED")
    assert "REVOKED" in out
    (sent,) = [one for one in sandbox.requests("operate_ticket") if one["method"] == "POST"]
    assert sent["body"]["action_message"] == "the run was a mistake"
    code, _, err = run("withdraw", ours, "--reason", "again")
    assert code == 1
    assert "had ended already: it is REVOKED; nothing was done" in err
    assert len(sandbox.requests("operate_ticket")) == 1


def test_p6_a_ticket_of_another_application_is_not_touched_although_a_task_waits_for_it(
    run, sandbox, foreign, waits
):
    waits(foreign)
    code, _, err = run("withdraw", foreign, "--reason", "x")
    assert code == 1
    assert "left alone" in err
    assert sandbox.requests("operate_ticket") == []
    assert sandbox.ticket(foreign)["status"] == "RUNNING"


def test_p6_a_ticket_of_another_application_is_not_shown(run, foreign):
    code, out, err = run(foreign)
    assert (code, out) == (1, "")
    assert "theirs" not in err


@pytest.mark.parametrize("mark", ["#89abcdef", "[#4k7pqz]", "x"])
def test_p6_a_title_that_only_looks_like_a_test_tickets_makes_it_none(run, sandbox, mark):
    from airflow_provider_bkitsm.cli.trial_ticket import TITLE

    form = {"title": f"{TITLE} 01234567 {mark}", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
    sn = ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn
    assert run("withdraw", sn, "--reason", "x")[0] == 1
    assert sandbox.ticket(sn)["status"] != "REVOKED"


def test_a_ticket_nobody_has_is_a_line_and_an_exit_code(run):
    code, out, err = run("REQ_nobody")
    assert (code, out, err.count("\n")) == (1, "", 1)


def test_a_withdrawal_that_itsm_refuses_is_said(run, sandbox, ours):
    sandbox.fault("operate_ticket", "refuse", times=10)
    code, _, err = run("withdraw", ours, "--reason", "x")
    assert code == 1
    assert "stays open" in err


@pytest.mark.parametrize("arguments", [["withdraw"], ["withdraw", "a", "b"], ["open", "x"], ["a", "b"]])
def test_other_words_are_answered_with_the_usage(run, arguments):
    code, _, err = run(*arguments)
    assert (code, "tickets withdraw SN" in err) == (2, True)


@pytest.mark.parametrize("reason", [[], ["--reason", " "]])
def test_a_withdrawal_has_a_reason(run, sandbox, ours, reason):
    code, _, err = run("withdraw", ours, *reason)
    assert (code, "--reason" in err) == (2, True)
    assert sandbox.ticket(ours)["status"] == "RUNNING"


def test_a_test_ticket_is_opened_shown_and_withdrawn(run, sandbox):
    code, out, _ = run("open", "--approver", "bob", "-o", "json")
    (made,) = json.loads(out)
    ticket = sandbox.ticket(made["ticket"])
    assert code == 0
    assert made["address"].startswith("http")
    assert ticket["title"].startswith("TEST")
    sandbox.wait_for_step(made["ticket"])
    assert run(made["ticket"])[0] == 0
    assert run("withdraw", made["ticket"], "--reason", "seen")[0] == 0
    assert sandbox.ticket(made["ticket"])["status"] == "REVOKED"


@pytest.mark.parametrize(
    ("service", "more"),
    [("单级审批", ()), ("日志采集接入", ()), ("日志平台容量评估", ("--field", "bk_biz_id=2"))],
)
def test_a_test_ticket_fills_in_what_a_service_requires(run, reconnect, sandbox, service, more):
    reconnect(service_id=service)
    code, out, err = run("open", "--approver", "bob", *more, "-o", "json")
    assert code == 0, err
    assert sandbox.ticket(json.loads(out)[0]["ticket"])["title"].startswith("TEST")


def test_fields_of_a_test_ticket_can_be_given(run, reconnect, sandbox):
    reconnect(service_id="单级审批")
    code, out, _ = run("open", "--field", "approver=carol", "-o", "json")
    assert code == 0
    assert sandbox.ticket(json.loads(out)[0]["ticket"])["fields"]["approver"] == "carol"
    assert run("open", "--field", "approver")[0] == 2


def test_what_a_test_ticket_lacks_is_said_with_how_to_give_it(run, reconnect, sandbox):
    reconnect(service_id="日志平台容量评估")
    code, _, err = run("open", "--approver", "bob")
    assert (code, sandbox.tickets()) == (2, [])
    assert "--field KEY=VALUE" in err


def test_p2_a_test_ticket_whose_answer_was_lost_is_found(run, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    code, out, err = run("open", "--approver", "bob", "-o", "json")
    assert code == 0, err
    assert [one["sn"] for one in sandbox.tickets()] == [json.loads(out)[0]["ticket"]]


def test_v4_has_the_same_commands(run, connect, monkeypatch):
    with SandboxServer(Settings(start_delay=0.02), dialect="v4") as server:
        monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", server.connection("bkitsm"))
        code, out, err = run("open", "--approver", "bob", "-o", "json")
        assert code == 0, err
        number = json.loads(out)[0]["ticket"]
        server.wait_for_step(number)
        assert run(number)[0] == 0
        assert run("withdraw", number, "--reason", "seen")[0] == 0
        assert run("1020261130002441000099")[0] == 1


def test_a_database_without_tables_is_a_line(run):
    from airflow.utils.session import create_session

    with create_session() as session:
        session.execute(text("DROP TABLE xcom"))
    code, out, err = run()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "airflow db migrate" in err
