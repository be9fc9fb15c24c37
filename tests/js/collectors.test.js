// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { all, one, speak, texts } from "./browser.js";
import { NOW } from "./rows.js";
import {
  HISTORY_COLUMNS,
  Page,
  columns,
  keyOf,
} from "../../airflow_provider_bkitsm/plugins/assets/collectors.js";
import { WORDS } from "../../airflow_provider_bkitsm/plugins/assets/words.js";

const COLLECTOR = {
  bklog_conn_id: "bklog_default",
  collector_config_id: 1001,
  state: "success_apply",
  en: "Applied",
  zh: "已接入",
  dag_id: "onboarding",
  run_id: "manual__1",
  task_id: "apply",
  map_index: -1,
  sn: "REQ1",
  updated_at: "2026-03-01T11:00:00+00:00",
};
const KEY = { bklog_conn_id: "bklog_default", collector_config_id: "1001" };

afterEach(() => speak("en"));

const cells = (row, chosen, choose) => columns(chosen, choose).map(({ cell }) => cell(row, NOW));

test("every column has a word", () => {
  for (const { name } of [...columns(null), ...HISTORY_COLUMNS]) assert.ok(name in WORDS, name);
});

test("a collector is shown with its state, ticket and time", () => {
  assert.deepEqual(
    cells(COLLECTOR).map((cell) => texts(cell).join(" ")),
    ["1001 bklog_default", "Applied", "REQ1", "1 h 0 min ago"],
  );
  speak("zh-CN");
  assert.equal(cells(COLLECTOR)[1].textContent, "已接入");
});

test("one without a ticket yet still leads to its task", () => {
  const link = one(cells({ ...COLLECTOR, sn: "" })[2], "a");
  assert.equal(link.textContent, "…");
  assert.match(link.attributes.href, /\/dags\/onboarding\/runs\/manual__1\/tasks\/apply$/);
});

test("the chosen collector is pressed, and choosing another one names it", () => {
  const chosen = [];
  const button = one(cells(COLLECTOR, KEY, (key) => chosen.push(key))[0], "button");
  assert.equal(button.attributes["aria-pressed"], "true");
  assert.equal(one(cells(COLLECTOR, null)[0], "button").attributes["aria-pressed"], "false");
  button.listeners.click();
  assert.deepEqual(chosen, [KEY]);
});

test("a collector is named by its connection and its number, as an address has them", () => {
  assert.deepEqual(keyOf(COLLECTOR), KEY);
  assert.deepEqual(new Page(KEY).chosen, KEY);
  assert.equal(new Page({}).chosen, null);
});

test("the history says what changed and what did not", () => {
  const entry = {
    at: "2026-03-01T11:00:00+00:00",
    event: "ticket_opened",
    application: 2,
    from_state: "waiting",
    to_state: "success_apply",
    sn: "REQ1",
    reason: "",
  };
  const line = (values) => HISTORY_COLUMNS.map(({ cell }) => texts(cell(values, NOW)).join(" "));
  assert.deepEqual(line(entry), [
    "1 h 0 min ago",
    "Ticket opened ticket_opened · Application 2",
    "waiting → success_apply",
    "REQ1",
  ]);
  const noted = line({ ...entry, to_state: "waiting", reason: "again" });
  assert.deepEqual(noted.slice(2), ["waiting", "REQ1 · again"]);
  const decided = { ...entry, event: "decided", reason: "approved" };
  assert.equal(line(decided)[3], "REQ1 · Approved");
  speak("zh-CN");
  assert.deepEqual(
    [1, 3].map((place) => line(decided)[place]),
    ["已有审批结果 decided · 第 2 次申请", "REQ1 · 已通过"],
  );
  assert.equal(line({ ...entry, event: "unheard_of" })[1], "unheard_of · 第 2 次申请");
});

test("a collector without a digest yet has no line for it", () => {
  const picture = { width: 1, height: 1, boxes: [], ways: [] };
  const details = (digest) =>
    new Page({}).details({ picture, error: "", history: [], digest, payload: {} }, NOW);
  assert.equal(all(details("sha256:1"), "dt").length, 1);
  assert.equal(all(details(""), "dt").length, 0);
});

test("the picture shows the state, the way it has gone, and names in the reader's language", () => {
  const box = {
    x: 50,
    y: 40,
    width: 90,
    height: 40,
    state: "waiting",
    en: "Waiting",
    zh: "待审批",
  };
  const picture = {
    width: 400,
    height: 200,
    boxes: [{ ...box, current: true, visited: true }],
    ways: [
      { path: "M 0 0 L 9 9", start: "waiting", end: "success_apply", times: 2 },
      { path: "M 0 0 L 9 8", start: "waiting", end: "fail_apply", times: 0 },
    ],
  };
  const drawn = () =>
    new Page({}).details({ picture, error: "", history: [], digest: "d", payload: {} }, NOW);
  const rect = one(drawn(), "rect");
  assert.deepEqual([rect.attributes.x, rect.attributes.y], ["5", "20"]);
  assert.equal(rect.attributes.class, "box waiting current visited");
  const ways = all(drawn(), "path").filter((path) => "data-way" in path.attributes);
  assert.deepEqual(
    ways.map(({ attributes }) => attributes["marker-end"]),
    ["url(#gone)", "url(#open)"],
  );
  const names = () => all(drawn(), "text").map((text) => text.textContent);
  assert.deepEqual(names(), ["waiting", "Waiting"]);
  speak("zh-CN");
  assert.deepEqual(names(), ["待审批", "waiting"]);
});
