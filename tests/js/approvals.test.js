// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { all, one, speak } from "./browser.js";
import { decidedTicket, task, ticket } from "./rows.js";
import {
  Page,
  isPickable,
  pickedIn,
  totalText,
} from "../../airflow_provider_bkitsm/plugins/assets/approvals.js";
import { columns, keyOf } from "../../airflow_provider_bkitsm/plugins/assets/approvals_columns.js";

afterEach(() => speak("en"));

/* Headings */

test("a heading says the order to eyes and to screen readers", () => {
  const page = new Page({ sort: "since", descending: "true", view: "all" });
  const heading = (name) => page.heading(columns("all").find((column) => column.name === name));
  assert.equal(heading("since").textContent, "Opened ↓");
  assert.equal(heading("since").attributes["aria-sort"], "descending");
  assert.equal(heading("title").textContent, "Ticket");
  assert.equal(heading("title").attributes["aria-sort"], "none");
  assert.deepEqual(all(heading("step"), "button"), []);
  const first = new Page({}).heading({ name: "deadline", sort: "deadline" });
  assert.equal(first.textContent, "Deadline ↑");
  assert.equal(first.attributes["aria-sort"], "ascending");
  assert.equal(one(first, "button").attributes["data-key"], "sort-deadline");
});

/* Choosing */

test("a row is chosen by its ticket, whichever task comes first", () => {
  const tasks = [task(), task({ task_id: "other" })];
  assert.equal(keyOf(ticket({ tasks })), keyOf(ticket({ tasks: tasks.toReversed() })));
  assert.notEqual(keyOf(ticket({ conn_id: "another" })), keyOf(ticket()));
  const unnumbered = (task_id) => keyOf(ticket({ sn: "", tasks: [task({ task_id })] }));
  assert.notEqual(unnumbered("a"), unnumbered("b"));
});

test("only an open ticket with a number can be chosen, and only while it is shown", () => {
  assert.ok(isPickable(ticket()));
  assert.ok(!isPickable(decidedTicket()));
  assert.ok(!isPickable(ticket({ status: "resuming" })));
  assert.ok(!isPickable(ticket({ sn: "" })));
  assert.ok(!isPickable(ticket({ conn_id: "" })));
  const [shown, gone] = [ticket({ sn: "1" }), ticket({ sn: "2" })];
  const picked = new Set([keyOf(shown), keyOf(gone)]);
  assert.deepEqual([...pickedIn([shown, decidedTicket({ sn: "2" })], picked)], [keyOf(shown)]);
});

/* Pages */

test("the buttons of the pages end where the pages do", () => {
  const buttons = (answer) => new Page({}).pageButtons(answer);
  const [previous, next] = buttons({ page: 1, pages: 2 });
  assert.ok("disabled" in previous.attributes);
  assert.ok(!("disabled" in next.attributes));
  assert.ok("disabled" in buttons({ page: 2, pages: 2 })[1].attributes);
});

test("what is counted are tickets", () => {
  assert.equal(totalText({ page: 1, pages: 2, total: 30 }), "Page 1 of 2, 30 tickets");
  assert.equal(totalText({ page: 1, pages: 1, total: 1 }), "Page 1 of 1, 1 ticket");
  assert.equal(totalText({ page: 1, pages: 1, total: 0 }), "Page 1 of 1, 0 tickets");
  speak("zh-CN");
  assert.equal(totalText({ page: 1, pages: 1, total: 1 }), "第 1 页，共 1 页，1 张单据");
});
