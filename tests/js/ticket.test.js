// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { all, speak } from "./browser.js";
import { NOW, decided, row } from "./rows.js";
import { reminderText } from "../../airflow_provider_bkitsm/plugins/assets/dialogs.js";
import { Page, facts, storyList } from "../../airflow_provider_bkitsm/plugins/assets/ticket.js";

afterEach(() => speak("en"));

function line(values) {
  const entry = { kind: "done", people: [], message: "", at: null, remark: "", automatic: false };
  return storyList([{ ...entry, ...values }], NOW).textContent;
}

test("the page is about one task instance", () => {
  const task = { dag_id: "release", run_id: "manual__1", task_id: "wait" };
  assert.deepEqual(new Page({ ...task, other: "1" }).task, { ...task, map_index: "-1" });
  assert.equal(new Page({ ...task, map_index: "3" }).task.map_index, "3");
});

/* The story */

test("who did something is named once", () => {
  assert.equal(line({ people: ["alice"], message: "submitted" }), "alice submitted");
  assert.equal(line({ people: ["alice"], message: "alice submitted" }), "alice submitted");
});

test("an answer is said before what ITSM says of it", () => {
  const answer = { people: ["bob"], message: "handled Leader" };
  assert.equal(line({ ...answer, kind: "approved" }), "bob approved · handled Leader");
  assert.equal(line({ ...answer, kind: "refused" }), "bob refused · handled Leader");
  assert.equal(line({ ...answer, kind: "answered" }), "bob answered · handled Leader");
  const automatic = { kind: "approved", automatic: true, message: "passed" };
  assert.equal(line(automatic), "approved automatically · passed");
});

test("a step that waits names all it waits for, whatever it is called", () => {
  const waiting = { kind: "pending", people: ["bob", "eve"], message: "bob's step" };
  assert.equal(line(waiting), "bob's step waits for bob, eve");
  speak("zh-CN");
  assert.equal(line(waiting), "bob's step 等待处理： bob, eve");
});

test("a remark stands with its answer, and a time with its age", () => {
  const list = storyList(
    [
      {
        kind: "refused",
        people: ["bob"],
        message: "",
        at: "2026-03-01T11:00:00+00:00",
        remark: "<b>no</b>",
        automatic: false,
      },
    ],
    NOW,
  );
  assert.deepEqual(all(list, "p")[0].children, ["<b>no</b>"]);
  assert.match(all(list, "time")[0].textContent, /2026.* · 1 h 0 min ago$/);
  assert.equal(all(list, "li")[0].attributes.class, "refused");
});

/* Facts */

function factsOf(values, story = { creator: "alice" }) {
  const list = facts(values, { story, now: NOW });
  const names = all(list, "dt").map((name) => name.textContent);
  const details = all(list, "dd").map((value) => value.textContent);
  return Object.fromEntries(names.map((name, index) => [name, details[index]]));
}

test("the facts of a ticket that waits", () => {
  const shown = factsOf(row());
  assert.equal(shown["Asked by"], "carol");
  assert.equal(shown["Opened by"], "alice");
  assert.match(shown.Deadline, / · in 1 d 1 h$/);
  assert.ok(!("Decided" in shown));
  assert.ok(!("Reason" in shown));
  assert.equal(shown.Connection, "bkitsm_default");
});

test("the facts of a ticket that was decided", () => {
  const shown = factsOf(decided({ deadline: null }), null);
  assert.equal(shown["Decided by"], "bob");
  assert.equal(shown.Reason, "an approver refused");
  assert.ok(!("Deadline" in shown));
  assert.ok(!("Opened by" in shown));
  assert.ok(!("Asked by" in factsOf(row({ asked_by: [] }))));
  assert.ok(!("Reason" in factsOf(decided({ reason_code: "approved" }))));
});

/* The reminder */

test("a reminder has all that an approver needs", () => {
  const lines = reminderText(row(), null).split("\n");
  assert.equal(lines[0], "ITSM ticket REQ20260301000001 waits for approval: Release 7");
  assert.equal(lines[1], "Approvers: alice, bob");
  assert.match(lines[2], /^Waiting since: .*2026/);
  assert.equal(lines[3], "https://itsm.example.com/#/ticket/detail?id=7");
});

test("a reminder leaves out what is not known", () => {
  const bare = row({ title: "", approvers: [], since: null, ticket_url: "" });
  assert.equal(
    reminderText(bare, { title: "From ITSM" }),
    "ITSM ticket REQ20260301000001 waits for approval: From ITSM",
  );
  speak("zh-CN");
  assert.equal(reminderText(bare, null), "ITSM 单据 REQ20260301000001 等待审批：（标题未知）");
});
