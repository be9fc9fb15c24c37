# SPDX-License-Identifier: Apache-2.0
"""The probe of a site, here of the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_bkitsm.cli.probe import main
from airflow_provider_bkitsm.itsm.v4.facts import FACTS
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.receiver import Receiver as Listener


@pytest.fixture
def itsm(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setattr("airflow_provider_bkitsm.cli.probe._SECONDS", 0.05)
    with SandboxServer(Settings(start_delay=0.02), dialect="v4") as server:
        monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", server.connection("bkitsm", read_retries=0))
        yield server


@pytest.fixture
def run(capsys):
    def ran(*arguments: str) -> dict:
        main(arguments)
        return dict(json.loads(capsys.readouterr().out))

    return ran


def test_by_default_it_only_reads(itsm, run):
    found = run()
    assert {one["method"] for one in itsm.requests("cw-aitsm")} == {"GET"}
    assert found["unknown_id"] == {"error": "ItsmInvalidRequestError", "code": "40000"}
    assert found["ticket_list"]["filters_honoured"] is None
    assert found["workflow"] == {"found": 1, "approval_steps": 1, "form_keys": 4, "people_keys": 1}


def test_p5_the_ticket_that_it_opens_is_withdrawn(itsm, run):
    found = run("--create", "--approver", "bob")
    (ticket,) = itsm.tickets()
    assert ticket["status"] == "revoked"
    assert (found["created"]["id_digits"], found["asks"]["steps"]) == (24, 1)
    assert found["facts"].keys() <= FACTS.keys()
    assert all(found["facts"].values())
    assert len(found["facts"]) > 9


def test_p5_a_ticket_whose_create_answer_was_lost_is_withdrawn_too(itsm, run):
    itsm.fault("ticket/create", "drop_answer")
    found = run("--create", "--approver", "bob")
    (ticket,) = itsm.tickets()
    assert ticket["status"] == "revoked"
    assert found["withdrawn_once"] == {"answered": True}


def test_p5_a_ticket_that_does_not_appear_is_named(itsm, capsys):
    itsm.fault("ticket/create", "drop_answer")
    itsm.fault("ticket/list", "html", times=99)
    with pytest.raises(SystemExit):
        main(["--create", "--approver", "bob"])
    (ticket,) = itsm.tickets()
    assert f"{ticket['title']!r} MAY BE OPEN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("switches", "wrong"),
    [
        ({"filters": "ignored"}, "list-filters"),
        ({"steps": "name"}, "steps-shape"),
        ({"withdraw": "not_done"}, "revoke"),
        ({"system_check": "not_asked"}, "system-token"),
    ],
)
def test_it_says_which_assumption_was_wrong(itsm, run, switches, wrong):
    itsm.set_itsm_v4(**switches)
    assert run("--create", "--approver", "bob")["facts"][wrong] is False


@pytest.mark.parametrize(("switch", "is_refused"), [("refused", True), ("ignored", False)])
def test_p5_odd_forms_and_a_termination_are_tried_and_every_ticket_is_ended(itsm, run, switch, is_refused):
    itsm.set_itsm_v4(unknown_key=switch)
    found = run("--more", "--approver", "bob")
    assert (found["forms"]["unknown_key"].get("error") is not None) is is_refused
    assert found["forms"].keys() == {"unknown_key", "no_approver", "unknown_approver"}
    assert found["terminated"]["status"] == "termination"
    assert (found["facts"]["no-key-no-field"], found["facts"]["terminate"]) == (is_refused, True)
    assert {one["status"] for one in itsm.tickets()} == {"revoked", "termination"}


def test_each_of_the_twelve_questions_has_what_was_seen_and_what_to_look_at_by_hand(itsm, run):
    found = run()["questions"]
    assert len(found) == 12
    assert all(one["question"].endswith("?") and one["by_hand"] for one in found)
    assert [one["seen"] for one in found].count("nothing") > 4
    after = run("--more", "--approver", "bob")["questions"]
    nothing = [one["question"] for one in after if one["seen"] == "nothing"]
    assert nothing == ["What does a callback look like, and is it repeated?"]


def test_how_earlier_tickets_ended_is_counted(itsm, run):
    for workflow, people in (("no_approval", []), ("approval", ["bob"])):
        form = {"ticket__title": "One", "content": "c", "approvers": people or ["bob"]}
        body = {"workflow_key": workflow, "operator": "alice", "system_id": "airflow", "form_data": form}
        sn = itsm.call("POST", "ticket/create", json=body)["id"]
        if people:
            itsm.approve(sn)
        itsm.wait_for_status(sn, "finished")
    past = run()["past"]
    assert past["ends"] == {"finished": 2}
    assert past["finished"] == {
        "approve_result True: 0 steps, 0 approved, 0 did not": 1,
        "approve_result True: 1 steps, 1 approved, 0 did not": 1,
    }


def test_a_callback_of_its_ticket_shows_that_itsm_reaches_airflow(itsm, run, monkeypatch):
    with Listener() as listening:
        monkeypatch.setenv("AIRFLOW__BKITSM__CALLBACK_BASE_URL", f"http://{listening.netloc}")
        found = run("--create", "--approver", "bob")
    assert found["withdrawn"]["called_back"] is True
    assert found["facts"]["callback-all-ends"] is True


FILTERS = {
    "id__in",
    "workflow_key__in",
    "creator__in",
    "current_processors__in",
    "system_id__in",
    "created_at__range",
}


@pytest.mark.parametrize(("switch", "honoured"), [("honoured", True), ("ignored", False)])
def test_it_says_of_each_filter_whether_it_is_honoured(itsm, run, switch, honoured):
    itsm.set_itsm_v4(filters=switch)
    found = run("--create", "--approver", "bob")
    for name in ("ticket_list", "system_ticket_list"):
        assert found[name]["filters"] == dict.fromkeys(FILTERS, honoured)


@pytest.mark.parametrize("path", ["ticket/detail", "ticket/logs", "approval_tasks", "ticket/list"])
def test_what_cannot_be_read_shows_no_assumption_to_be_wrong(itsm, run, path):
    itsm.fault(path, "page", status=500, times=999)
    found = run("--create", "--approver", "bob")
    assert all(found["facts"].values())
    assert itsm.tickets()[0]["status"] == "revoked"


def test_what_was_read_is_printed_though_the_ticket_is_refused(itsm, capsys, monkeypatch):
    extra = {"read_retries": 0, "form_content": "nope"}
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", itsm.connection("bkitsm", **extra))
    main(["--create"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["create"] == {"error": "ItsmInvalidRequestError", "code": None}
    assert found["facts"] == {"http-status": True, "system-token": True}
    assert "has no field 'nope'" in printed.err
    assert itsm.tickets() == []


def test_p8_nothing_of_the_site_is_in_it(itsm, run):
    text = json.dumps(run("--create", "--approver", "bob"))
    (ticket,) = itsm.tickets()
    for secret in ("bob", "sandbox", "airflow", 'approval"', ticket["id"], ticket["number"], "127.0.0.1"):
        assert secret not in text


def test_its_output_is_json_whatever_is_logged_meanwhile(itsm, monkeypatch):
    """A short secret makes Airflow log a warning, which would stand in front of the JSON."""
    extra = {"read_retries": 0, "access_token": "abc"}
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", itsm.connection("bkitsm", **extra))
    command = [sys.executable, "-m", "airflow_provider_bkitsm.cli.probe"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert json.loads(printed)["dialect"] == "v4"


def test_another_version_needs_none(sandbox, connections, capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "needs no probe" in capsys.readouterr().err
