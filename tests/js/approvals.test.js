// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { all, one, speak, texts } from "./browser.js";
import { NOW, decided, row } from "./rows.js";
import {
  Page,
  changed,
  choices,
  columns,
  counts,
  emptyWord,
  filtersFrom,
  orderAfterClick,
} from "../../airflow_provider_bkitsm/plugins/assets/approvals.js";
import { WORDS } from "../../airflow_provider_bkitsm/plugins/assets/words.js";

const VIEWS = ["waiting", "decided", "all"];

afterEach(() => speak("en"));

function cell(name, values, view = "all") {
  return columns(view)
    .find((column) => column.name === name)
    .cell(values, NOW);
}

/* Columns */

test("every view has its columns, each with a word", () => {
  const names = (view) => columns(view).map(({ name }) => name);
  const shared = ["title", "status", "step", "where", "since"];
  assert.deepEqual(names("waiting"), [...shared, "deadline"]);
  assert.deepEqual(names("decided"), [...shared, "decided_at"]);
  assert.deepEqual(names("all"), [...shared, "either"]);
  for (const name of VIEWS.flatMap(names)) assert.ok(name in WORDS, name);
});

test("every column draws one cell of every row", () => {
  const rows = [
    row(),
    decided(),
    row({ title: "", sn: "", step: "", since: null, deadline: null }),
  ];
  for (const view of VIEWS) {
    for (const column of columns(view)) {
      for (const values of rows) assert.equal(column.cell(values, NOW).name, "td", column.name);
    }
  }
});

test("a ticket leads to its task's page in Airflow, and its number to ITSM", () => {
  const [page, itsm] = all(cell("title", row({ run_id: "a/b", map_index: 3 })), "a");
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

test("an address that is none of the web is no link", () => {
  for (const ticket_url of ["javascript:alert(1)", "", null, " https://itsm.example.com"]) {
    const links = all(cell("title", row({ ticket_url })), "a");
    assert.deepEqual(
      links.map((link) => link.textContent),
      ["Release 7"],
    );
  }
});

test("a title with markup is text", () => {
  const title = "<img src=x onerror=alert(1)>";
  assert.deepEqual(all(cell("title", row({ title })), "a")[0].children, [title]);
});

test("what is not known yet is said", () => {
  assert.deepEqual(texts(cell("title", row({ title: "", sn: "", ticket_url: "" }))), [
    "(title not known yet)",
    "(number not known)",
  ]);
});

test("a ticket for a collector names it", () => {
  assert.match(
    cell("title", row({ collector: "1001 (bklog)" })).textContent,
    /Collector 1001 \(bklog\)$/,
  );
});

test("a status comes with what explains it", () => {
  assert.deepEqual(texts(cell("status", row())), ["Waiting", "polled 2 min ago"]);
  assert.deepEqual(texts(cell("status", row({ stalled: true, stale: true }))), [
    "Waiting",
    "Asks nobody",
    "not confirmed by ITSM, as of just now",
    "polled 2 min ago",
  ]);
  const rejected = decided();
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
  const old = row({ stale: true, read_at, polled_at: null });
  assert.deepEqual(texts(cell("status", old)), [
    "Waiting",
    "not confirmed by ITSM, as of 7 min ago",
  ]);
  const never = row({ stale: true, read_at: null, polled_at: null });
  assert.deepEqual(texts(cell("status", never)), ["Waiting", "not confirmed by ITSM"]);
  const step = row({ step_stale: true, step_at: read_at });
  assert.deepEqual(texts(cell("step", step)), ["Leader: alice, bob", "as of 7 min ago"]);
  const none = row({ step_stale: true, step_at: read_at, step: "", approvers: [] });
  assert.deepEqual(texts(cell("step", none)), []);
  speak("zh-CN");
  assert.deepEqual(texts(cell("status", old)), ["待审批", "未经 ITSM 确认，7 分钟前的信息"]);
});

test("an approval needs no reason, except that ITSM gave it by itself", () => {
  const approved = { status: "approved", reason: "approved", seen_by: "" };
  assert.deepEqual(texts(cell("status", decided({ ...approved, reason_code: "approved" }))), [
    "Approved",
  ]);
  const automatic = {
    ...approved,
    reason: "by ITSM itself",
    reason_code: "approved_automatically",
  };
  assert.deepEqual(texts(cell("status", decided(automatic))), ["Approved", "by ITSM itself"]);
});

test("a step names who is asked, then who decided", () => {
  assert.equal(cell("step", row()).textContent, "Leader: alice, bob");
  assert.equal(cell("step", decided()).textContent, "Leader: bob");
  assert.equal(cell("step", row({ step: "" })).textContent, "alice, bob");
  assert.equal(cell("step", row({ approvers: [] })).textContent, "Leader");
  assert.equal(cell("step", row({ step: "", approvers: [] })).textContent, "");
});

test("a row links to its DAG, run and task", () => {
  const links = all(cell("where", row({ map_index: 0 })), "a");
  assert.deepEqual(
    links.map((link) => link.textContent),
    ["release", "manual__1", "wait [0]"],
  );
});

test("the last column is the deadline until there is a decision", () => {
  assert.equal(cell("either", row()).textContent, "in 1 d 1 h");
  assert.equal(cell("either", row()).attributes["data-label"], "Deadline");
  assert.equal(cell("either", decided()).textContent, "1 h 0 min ago");
  assert.equal(cell("either", decided()).attributes["data-label"], "Decided");
  assert.equal(cell("since", row()).textContent, "1 h 30 min");
});

/* Headings */

test("a heading says the order to eyes and to screen readers", () => {
  const page = new Page({ sort: "since", descending: "true" });
  const heading = (name) => page.heading(columns("all").find((column) => column.name === name));
  assert.equal(heading("since").textContent, "Age ↓");
  assert.equal(heading("since").attributes["aria-sort"], "descending");
  assert.equal(heading("title").textContent, "Ticket");
  assert.equal(heading("title").attributes["aria-sort"], "none");
  assert.deepEqual(all(heading("step"), "button"), []);
  const reversed = new Page({ descending: "false" }).heading({ name: "since", sort: "since" });
  assert.equal(reversed.attributes["aria-sort"], "ascending");
  assert.equal(one(reversed, "button").attributes["data-key"], "sort-since");
});

test("a click sorts descending, another one the other way round", () => {
  const filters = filtersFrom({});
  const first = orderAfterClick(filters, "title");
  assert.deepEqual(first, { sort: "title", descending: "true" });
  const second = orderAfterClick(changed(filters, first), "title");
  assert.deepEqual(second, { sort: "title", descending: "false" });
  assert.equal(orderAfterClick(changed(filters, second), "title").descending, "true");
  assert.equal(orderAfterClick(changed(filters, second), "status").descending, "true");
});

/* Filters */

test("without an address the list is what waits, the newest first", () => {
  const { view, sort, descending, page, mine, search } = filtersFrom({});
  assert.deepEqual([view, sort, descending, page], ["waiting", "since", "true", "1"]);
  assert.deepEqual([mine, search], ["", ""]);
});

test("an address chooses filters, and nothing else", () => {
  const filters = filtersFrom({
    view: "all",
    run_id: "r",
    page: "2",
    search: "",
    toString: "x",
    other: "1",
  });
  assert.deepEqual([filters.view, filters.run_id, filters.page], ["all", "r", "2"]);
  assert.deepEqual(Object.keys(filters), Object.keys(filtersFrom({})));
});

test("a filter leads back to the first page, and leaves the others alone", () => {
  const filters = filtersFrom({ view: "all", search: "x", page: "4" });
  assert.deepEqual(changed(filters, { mine: "true" }), { ...filters, mine: "true", page: "1" });
  assert.equal(changed(filters, { page: "5" }).page, "5");
  assert.equal(filters.page, "4");
});

test("a list without rows says why", () => {
  assert.equal(emptyWord(filtersFrom({})), "empty_waiting");
  assert.equal(emptyWord(filtersFrom({ view: "decided" })), "empty_decided");
  assert.equal(emptyWord(filtersFrom({ view: "all" })), "empty_all");
  for (const view of VIEWS) {
    assert.equal(emptyWord(filtersFrom({ view, dag_id: "dag", run_id: "run" })), "empty_run");
    assert.equal(emptyWord(filtersFrom({ view, run_id: "run", search: "x" })), "empty_search");
  }
  for (const filter of ["mine", "search", "dag_id", "collector"]) {
    assert.equal(emptyWord(filtersFrom({ [filter]: "x" })), "empty_search");
  }
  const views = VIEWS.map((view) => `empty_${view}`);
  for (const word of [...views, "empty_run", "empty_search"]) {
    assert.ok(word in WORDS && `${word}_more` in WORDS, word);
  }
});

test("a filter offers what was chosen even when no row has it", () => {
  assert.deepEqual(choices(["a", "b"], ""), ["a", "b"]);
  assert.deepEqual(choices(["a", "b"], "b"), ["a", "b"]);
  assert.deepEqual(choices(["a"], "gone"), ["gone", "a"]);
});

test("all are those that wait and those decided", () => {
  assert.deepEqual(counts({ waiting: 2, decided: 3 }), { waiting: 2, decided: 3, all: 5 });
});

test("the buttons of the pages end where the pages do", () => {
  const buttons = (answer) => new Page({}).pageButtons(answer);
  const [text, previous, next] = buttons({ page: 1, pages: 2, total: 30 });
  assert.equal(text.textContent, "Page 1 of 2, 30 tickets");
  assert.ok("disabled" in previous.attributes);
  assert.ok(!("disabled" in next.attributes));
  assert.ok("disabled" in buttons({ page: 2, pages: 2, total: 30 })[2].attributes);
});
