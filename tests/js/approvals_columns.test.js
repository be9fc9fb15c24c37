// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { all, define, one, speak, texts } from "./browser.js";
import { NOW, decidedTicket, task, ticket } from "./rows.js";
import { columns } from "../../airflow_provider_bkitsm/plugins/assets/approvals_columns.js";
import { WORDS } from "../../airflow_provider_bkitsm/plugins/assets/words.js";

const VIEWS = ["waiting", "decided", "all"];

afterEach(() => {
  speak("en");
  define("matchMedia", undefined);
});

function cell(name, values, view = "all") {
  return columns(view, "view=all")
    .find((column) => column.name === name)
    .cell(values, NOW);
}

test("every view has its columns, each with a word", () => {
  const names = (view) => columns(view).map(({ name }) => name);
  const people = ["asked_by", "since"];
  assert.deepEqual(names("waiting"), [
    ...["title", "status", "step", "person_asked"],
    ...[...people, "deadline"],
  ]);
  assert.deepEqual(names("decided"), [
    ...["title", "status", "by"],
    ...[...people, "decided_at", "time_to_decide", "remark"],
  ]);
  assert.deepEqual(names("all"), [
    ...["title", "status", "step", "person_either"],
    ...[...people, "either", "time_to_decide", "remark"],
  ]);
  for (const name of VIEWS.flatMap(names)) assert.ok(name in WORDS, name);
});

test("every column draws one cell of every row", () => {
  const unknown = { title: "", sn: "", step: "", since: null, deadline: null, asked_by: [] };
  const rows = [ticket(), decidedTicket(), ticket(unknown)];
  for (const view of VIEWS) {
    for (const column of columns(view)) {
      for (const values of rows) assert.equal(column.cell(values, NOW).name, "td", column.name);
    }
  }
});

test("a ticket leads to its first task's page in Airflow, and its number to ITSM", () => {
  const tasks = [task({ run_id: "a/b", map_index: 3 }), task()];
  const [page, itsm] = all(cell("title", ticket({ tasks })), "a");
  assert.equal(page.textContent, "Release 7");
  assert.equal(
    page.attributes.href,
    "https://airflow.example.com/prefix/dags/release/runs/a%2Fb/tasks/wait/mapped/3" +
      "/plugin/bkitsm-ticket",
  );
  assert.equal(itsm.textContent, "REQ20260301000001");
  assert.equal(itsm.attributes.href, "https://itsm.example.com/#/ticket/detail?id=7");
  assert.equal(itsm.attributes.target, "_blank");
  assert.equal(itsm.attributes.rel, "noopener noreferrer");
});

test("on a phone a ticket leads to a page of its own that knows the way back", () => {
  define("matchMedia", () => ({ matches: true }));
  const tasks = [task({ run_id: "a+b", map_index: 3 })];
  const [page] = all(cell("title", ticket({ tasks })), "a");
  assert.equal(
    page.attributes.href,
    "ticket?dag_id=release&run_id=a%2Bb&task_id=wait&map_index=3&list=view%3Dall",
  );
  assert.deepEqual(page.listeners, {});
});

test("an address that is none of the web is no link", () => {
  for (const ticket_url of ["javascript:alert(1)", "", null, " https://itsm.example.com"]) {
    const [title, first] = all(cell("title", ticket({ ticket_url })), "a");
    assert.deepEqual([title.textContent, first.textContent], ["Release 7", "release"]);
  }
});

test("a title with markup is text", () => {
  const title = "<img src=x onerror=alert(1)>";
  assert.deepEqual(all(cell("title", ticket({ title })), "a")[0].children, [title]);
});

test("what is not known yet is said", () => {
  const [title, number] = texts(cell("title", ticket({ title: "", sn: "", ticket_url: "" })));
  assert.deepEqual([title, number], ["(title not known yet)", "(number not known)"]);
});

test("a ticket for a collector names it", () => {
  const content = cell("title", ticket({ collector: "1001 (bklog)" })).textContent;
  assert.match(content, /Collector 1001 \(bklog\)/);
});

test("the tasks of a ticket are below its title, with links to DAG, run and task", () => {
  const links = all(cell("title", ticket({ tasks: [task({ map_index: 0 })] })), "a").slice(2);
  assert.deepEqual(
    links.map((link) => link.textContent),
    ["release", "manual__1", "wait [0]"],
  );
});

test("of many tasks a few are shown, and the others when they are asked for", () => {
  const tasks = Array.from({ length: 7 }, (_, map_index) => task({ map_index }));
  const shown = cell("title", ticket({ tasks, task_count: 207 }));
  assert.equal(one(shown, "summary").textContent, "and 204 more");
  const [few, rest] = all(shown, "ul");
  assert.equal(all(few, "li").length, 3);
  assert.equal(all(rest, "li").length, 5);
  assert.equal(all(rest, "li").at(-1).textContent, "and 200 more");
  assert.deepEqual(all(cell("title", ticket({ tasks: tasks.slice(0, 3) })), "details"), []);
});

test("a task that stands otherwise than its ticket says so", () => {
  const tasks = [task(), task({ task_id: "other", status: "timed_out", open: false })];
  const [same, other] = all(cell("title", ticket({ tasks })), "li");
  assert.equal(same.textContent, "release / manual__1 / wait");
  assert.equal(other.textContent, "release / manual__1 / other Timed out");
});

test("a status comes with what explains it", () => {
  assert.deepEqual(texts(cell("status", ticket())), ["Waiting", "polled 2 min ago"]);
  assert.deepEqual(texts(cell("status", ticket({ stalled: true, stale: true }))), [
    "Waiting",
    "Asks nobody",
    "not confirmed by ITSM, as of just now",
    "polled 2 min ago",
  ]);
  const rejected = decidedTicket();
  assert.deepEqual(texts(cell("status", rejected)), [
    "Rejected",
    "an approver refused",
    "seen by callback",
  ]);
  speak("zh-CN");
  assert.deepEqual(texts(cell("status", rejected)), ["已拒绝", "审批人拒绝", "由回调得知"]);
});

test("what may be old says as of when it is", () => {
  const read_at = "2026-03-01T11:53:00+00:00";
  const old = ticket({ stale: true, read_at, polled_at: null });
  assert.deepEqual(texts(cell("status", old)), [
    "Waiting",
    "not confirmed by ITSM, as of 7 min ago",
  ]);
  const never = ticket({ stale: true, read_at: null, polled_at: null });
  assert.deepEqual(texts(cell("status", never)), ["Waiting", "not confirmed by ITSM"]);
  const step = ticket({ step_stale: true, step_at: read_at });
  assert.deepEqual(texts(cell("step", step)), ["Leader", "as of 7 min ago"]);
  assert.deepEqual(texts(cell("person_either", step)), ["alice, bob"]);
  const nameless = ticket({ step_stale: true, step_at: read_at, step: "" });
  assert.deepEqual(texts(cell("step", nameless)), []);
  assert.deepEqual(texts(cell("person_either", nameless)), ["alice, bob", "as of 7 min ago"]);
  speak("zh-CN");
  assert.deepEqual(texts(cell("status", old)), ["待审批", "未经 ITSM 确认，7 分钟前的信息"]);
});

test("an approval needs no reason, except that ITSM gave it by itself", () => {
  const approved = { status: "approved", reason: "approved", seen_by: "" };
  assert.deepEqual(texts(cell("status", decidedTicket({ ...approved, reason_code: "approved" }))), [
    "Approved",
  ]);
  const automatic = {
    ...approved,
    reason: "by ITSM itself",
    reason_code: "approved_automatically",
  };
  assert.deepEqual(texts(cell("status", decidedTicket(automatic))), ["Approved", "by ITSM itself"]);
});

test("people are who is asked, then who decided, and who asked", () => {
  assert.equal(cell("person_either", ticket()).textContent, "alice, bob");
  assert.equal(cell("person_either", ticket()).attributes["data-label"], "Waits for");
  assert.equal(cell("person_either", decidedTicket()).textContent, "bob");
  assert.equal(cell("person_either", decidedTicket()).attributes["data-label"], "Decided by");
  assert.equal(
    cell("asked_by", ticket({ asked_by: ["carol", "dave"] })).textContent,
    "carol, dave",
  );
});

test("the last column is the deadline until there is a decision", () => {
  assert.equal(cell("either", ticket()).textContent, "in 1 d 1 h");
  assert.equal(cell("either", ticket()).attributes["data-label"], "Deadline");
  assert.equal(cell("either", decidedTicket()).textContent, "1 h 0 min ago");
  assert.equal(cell("either", decidedTicket()).attributes["data-label"], "Decided");
  assert.equal(cell("since", ticket()).textContent, "1 h 30 min ago");
});

test("a decision says how long it took", () => {
  assert.equal(cell("time_to_decide", decidedTicket()).textContent, "30 min");
  assert.equal(cell("time_to_decide", decidedTicket({ seconds_to_decide: 0 })).textContent, "0 s");
  assert.equal(cell("time_to_decide", ticket()).textContent, "");
});

test("remarks are there, with names where several people answered", () => {
  assert.equal(cell("remark", decidedTicket()).textContent, "Not now");
  const remarks = [
    { person: "alice", text: "fine" },
    { person: "bob", text: "<b>no</b>" },
  ];
  const several = decidedTicket({ decided_by: ["alice", "bob"], remarks });
  assert.equal(cell("remark", several).textContent, "alice: fine\nbob: <b>no</b>");
  assert.deepEqual(texts(cell("remark", decidedTicket({ remarks: [] }))), []);
});
