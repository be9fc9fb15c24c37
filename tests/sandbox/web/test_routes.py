# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
import requests

from airflow_provider_bkitsm.cli.trial_ticket import open_trial_ticket
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings


def page(client, path="/"):
    return client.raw("GET", client.server.url + path).text


def decide(client, sn, answer, *, remark="", operator="alice", back="list", headers=None):
    number = client.server.ticket(sn)["id"]
    form = {"answer": answer, "operator": operator, "remark": remark, "back": back}
    return client.raw("POST", f"{client.server.url}/ticket/{number}/decide", data=form, headers=headers or {})


def detail(*rows):
    return {"config": {}, "schemes": {}, "form_data": [{"label": "", "value": "x", "children": list(rows)}]}


@pytest.mark.parametrize(("answer", "remark", "verdict"), [("approve", "", True), ("reject", "too big", False)])
def test_a_person_decides(client, answer, remark, verdict):
    sn = client.opened(fields={"title": f"decide {answer}"})
    assert f"decide {answer}" in page(client)
    done = decide(client, sn, answer, remark=remark, operator="bob")
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert client.verdict(sn) == ("FINISHED", verdict)
    decision = client.get("get_ticket_logs", sn=sn)["data"]["logs"][2]
    assert (decision["operator"], decision["source"]) == ("bob", "WEB")


def test_a_rejection_needs_a_remark(client):
    sn = client.opened()
    done = decide(client, sn, "reject", remark="  ")
    assert done.headers["location"] == "/?problem=remark"
    assert "needs a remark" in page(client, done.headers["location"])
    assert client.verdict(sn) == ("RUNNING", False)


@pytest.mark.parametrize("operator", ["eve", ""])
def test_somebody_who_is_not_asked_decides_nothing(client, operator):
    sn = client.opened()
    assert decide(client, sn, "approve", operator=operator).status_code in {303, 422}
    assert client.verdict(sn) == ("RUNNING", False)


def test_a_decision_that_comes_too_late_says_so(client, server):
    sn = client.opened()
    server.approve(sn)
    done = decide(client, sn, "reject", remark="no", back="ticket")
    assert done.headers["location"] == f"/ticket/{server.ticket(sn)['id']}?problem=late"
    assert client.verdict(sn) == ("FINISHED", True)


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 403), ("null", 403)])
def test_another_sites_form_decides_nothing(client, origin, status):
    sn = client.opened()
    assert decide(client, sn, "approve", headers={"Origin": origin}).status_code == status
    assert decide(client, sn, "approve", headers={"Origin": client.server.url}).status_code == 303


def test_what_people_wrote_is_shown_as_text(client, server):
    sn = client.opened(fields={"title": "<script>alert(1)</script>", "APPROVAL_CONTENT": "<b>bold</b>"})
    for path in ("/", f"/ticket/{server.ticket(sn)['id']}"):
        shown = page(client, path)
        assert "<script>alert(1)</script>" not in shown
        # The title went through ITSM's filter, which drops the tag; a TEXT field is stored as it was written.
        assert ">alert(1)</a>" in shown or ">alert(1)</h1>" in shown
        assert "&lt;b&gt;bold&lt;/b&gt;" in shown


def open_onboarding(client, form):
    fields = {"title": "onboarding", "bk_biz_id": "2", "approvals": "alice", "collector_detail": form}
    pairs = [{"key": key, "value": value} for key, value in fields.items()]
    body = {"service_id": service_catalog.LOG_COLLECTOR, "creator": "carol", "fields": pairs}
    sn = client.post("create_ticket", body)["data"]["sn"]
    client.server.wait_for_step(sn)
    return page(client, f"/ticket/{client.server.ticket(sn)['id']}")


def test_a_custom_form_sent_as_an_object_is_a_table(client):
    form = detail({"label": "名称：", "value": "app-runtime"}, {"label": "日志路径-1：", "value": "/data/<x>.log"})
    shown = open_onboarding(client, form)
    assert '<th scope="row">名称</th><td>app-runtime</td>' in shown
    assert '<th scope="row">日志路径-1</th><td>/data/&lt;x&gt;.log</td>' in shown
    assert "schemes" not in shown


def test_a_custom_form_sent_as_text_is_as_unreadable_as_on_itsms_page(client):
    shown = open_onboarding(client, json.dumps(detail({"label": "name", "value": "app-runtime"})))
    assert "Sent as text: ITSM cannot show it as a form." in shown
    assert "{&amp;quot;config&amp;quot;" in shown


def test_a_ticket_has_a_page_with_its_log(client, server):
    sn = client.opened(fields={"title": "with a log"})
    server.approve(sn, remark="looks fine")
    shown = page(client, f"/ticket/{server.ticket(sn)['id']}")
    for part in (sn, "with a log", "looks fine", "流程结束.", "approved"):
        assert part in shown


@pytest.mark.parametrize(
    ("end", "word"), [("approve", "approved"), ("reject", "rejected"), ("withdraw", "withdrawn")]
)
def test_an_ended_ticket_says_how(client, server, end, word):
    sn = client.opened()
    getattr(server, end)(sn)
    assert f">{word}</span>" in page(client, f"/ticket/{server.ticket(sn)['id']}")


def test_an_approval_without_evidence_is_not_called_approved(client, server):
    sn = client.opened()
    server.finish_without_evidence(sn)
    assert ">finished</span>" in page(client, f"/ticket/{server.ticket(sn)['id']}")


@pytest.mark.parametrize(("method", "path"), [("GET", "/ticket/9999"), ("GET", "/nothing")])
def test_pages_that_are_not_there(client, server, method, path):
    assert client.raw(method, server.url + path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/weixin/"])
def test_the_servers_own_addresses_lead_to_a_page_that_follows_the_hash(client, path):
    assert 'location.replace("/ticket/" + found[1])' in page(client, path)


def test_the_collectors_page_shows_their_etl(client, server):
    server.put_collector(1001, collector_config_name="<i>odd</i>")
    body = {"table_id": "t1", "etl_config": "bk_log_text", "storage_cluster_id": 3, "retention": 7}
    client.bklog("POST", "1002/update_or_create_clean_config/", body | {"allocation_min_days": 0})
    shown = page(client, "/collectors")
    for part in ("&lt;i&gt;odd&lt;/i&gt;", "2_bklog.t1", "bk_log_text", "no ETL yet", "stopped"):
        assert part in shown


def test_nothing_is_loaded_from_elsewhere(client, server):
    sn = client.opened()
    for path in ("/", "/collectors", f"/ticket/{server.ticket(sn)['id']}"):
        shown = page(client, path)
        assert "http://" not in shown.replace(server.url, "")
        assert "https://" not in shown
        assert "src=" not in shown


def read(client, path="/", **headers):
    return client.raw("GET", client.server.url + path, headers=headers)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("en;q=0.2, ZH-Hans-CN;q=0.7", "zh"),
        ("de-DE, fr;q=0.9, zh;q=0.1", "zh"),
        ("zh;q=0, en;q=0.1", "en"),
        ("zh;q=0", "en"),
        ("zh", "zh"),
        ("zhuang, dezh", "en"),
        ("zh;q=much, en;q=0.1", "en"),
        ("zh;q=nan", "en"),
        (",;=,;q=", "en"),
        ("*", "en"),
        ("", "en"),
    ],
)
def test_a_page_is_in_the_language_that_the_browser_prefers(client, accepted, language):
    got = read(client, **{"Accept-Language": accepted})
    assert f'<html lang="{language}">' in got.text
    assert ("待审批" in got.text, "Waiting for a decision" in got.text) == (language == "zh", language == "en")
    assert got.headers["content-language"] == language
    assert {"accept-language", "cookie"} == {one.strip().lower() for one in got.headers["vary"].split(",")}


def test_without_a_wish_a_page_is_in_english(client):
    assert '<html lang="en">' in client.raw("GET", client.server.url + "/").text


@pytest.mark.parametrize("path", ["/", "/weixin/", "/collectors", "/ticket/{number}"])
def test_the_language_is_switched_on_every_page_and_kept(client, path):
    number = client.server.ticket(client.opened())["id"]
    path = path.format(number=number)
    assert 'href="?language=zh"' in page(client, path)
    chosen = read(client, f"{path}?language=zh", **{"Accept-Language": "en"})
    assert (chosen.status_code, chosen.headers["location"]) == (303, path)
    cookie = chosen.headers["set-cookie"].partition(";")[0]
    kept = read(client, path, **{"Accept-Language": "en", "Cookie": cookie}).text
    assert '<html lang="zh">' in kept
    assert "单据" in kept
    back = read(client, f"{path}?language=en", **{"Accept-Language": "zh", "Cookie": cookie})
    assert back.headers["set-cookie"].partition(";")[0] == cookie.replace("zh", "en")


@pytest.mark.parametrize("odd", ["", "de", "zh%0d%0aSet-Cookie:x=1", "../../", "zh-CN"])
def test_a_language_that_there_is_not_chooses_nothing(client, odd):
    got = read(client, f"/?language={odd}", **{"Accept-Language": "zh", "Cookie": "bkitsm_sandbox_language=de"})
    assert (got.status_code, "set-cookie" in got.headers) == (200, False)
    assert '<html lang="zh">' in got.text


@pytest.mark.parametrize(("end", "word"), [("approve", "已通过"), ("reject", "已拒绝"), ("withdraw", "已撤单")])
def test_an_ended_ticket_says_how_in_chinese(client, server, end, word):
    sn = client.opened()
    getattr(server, end)(sn)
    assert (
        f">{word}</span>" in read(client, f"/ticket/{server.ticket(sn)['id']}", **{"Accept-Language": "zh"}).text
    )


def test_what_people_wrote_is_shown_as_text_in_chinese_too(client, server):
    sn = client.opened(fields={"title": "{0} <i>", "APPROVAL_CONTENT": "<b>{person}</b>"}, creator="<u>{x}")
    for path in ("/", f"/ticket/{server.ticket(sn)['id']}"):
        for language in ("zh", "en"):
            shown = read(client, path, **{"Accept-Language": language}).text
            assert "&lt;b&gt;{person}&lt;/b&gt;" in shown
            assert "<b>&lt;u&gt;{x}</b>" in shown
            assert "<u>" not in shown


def test_a_refused_decision_is_explained_in_chinese(client):
    sn = client.opened()
    for problem, words in (("remark", "拒绝时必须填写备注"), ("late", "不再等待此人审批")):
        assert words in read(client, f"/?problem={problem}", **{"Accept-Language": "zh"}).text
    decided = decide(client, sn, "reject", headers={"Accept-Language": "zh"})
    assert decided.headers["location"] == "/?problem=remark"


def test_the_page_of_the_collectors_is_in_chinese(client, server):
    body = {"table_id": "t1", "etl_config": "bk_log_text", "storage_cluster_id": 3, "retention": 7}
    client.bklog("POST", "1002/update_or_create_clean_config/", body | {"allocation_min_days": 0})
    shown = read(client, "/collectors", **{"Accept-Language": "zh"}).text
    for part in ("日志平台的采集项", "尚未配置清洗", "</span>，已写入 ", "集群 3，保留 7 天"):
        assert part in shown


def test_a_ticket_of_v4_is_in_chinese(monkeypatch):
    with SandboxServer(Settings(start_delay=0.02), dialect="v4") as server:
        monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", server.connection("bkitsm"))
        number = open_trial_ticket(ItsmHook(), approver="bob").sn
        server.wait_for_step(number)
        shown = requests.get(f"{server.url}/", headers={"Accept-Language": "zh"}, timeout=20).text
        for part in ("待审批", "提单人 <b>", "等待 <b>bob</b> 处理", "处理人 <select", "通过</button>"):
            assert part in shown
        server.reject(number, remark="no")
        shown = requests.get(f"{server.url}/ticket/{number}", headers={"Accept-Language": "zh"}, timeout=20).text
        assert ">已拒绝</span>" in shown
