// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { speak } from "./browser.js";
import { NOW, decided, row } from "./rows.js";
import {
  age,
  ago,
  agoText,
  deadline,
  heard,
  span,
} from "../../airflow_provider_bkitsm/plugins/assets/times.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

afterEach(() => speak("en"));

const before = (milliseconds) => new Date(new Date(NOW) - milliseconds).toISOString();

test("a span is said in its two largest units", () => {
  const cases = [
    [-MINUTE, "0 min"],
    [0, "0 min"],
    [MINUTE - 1, "0 min"],
    [59 * MINUTE, "59 min"],
    [HOUR, "1 h 0 min"],
    [24 * HOUR - 1, "23 h 59 min"],
    [24 * HOUR, "1 d 0 h"],
    [49 * HOUR + 30 * MINUTE, "2 d 1 h"],
  ];
  for (const [milliseconds, text] of cases) assert.equal(span(milliseconds), text);
  speak("zh-CN");
  assert.equal(span(25 * HOUR), "1 天 1 小时");
});

test("what is younger than a minute is just now", () => {
  assert.equal(agoText(before(MINUTE - 1), NOW), "just now");
  assert.equal(agoText(before(MINUTE), NOW), "1 min ago");
  assert.equal(age(before(0), NOW).textContent, "just now");
  assert.equal(age(before(90 * MINUTE), NOW).textContent, "1 h 30 min");
});

test("a clock of the server that is behind makes nothing older or younger than now", () => {
  assert.equal(ago(before(-5 * MINUTE), NOW).textContent, "just now");
});

test("a moment is in the tooltip, in whatever zone it was given", () => {
  const time = ago("2026-03-01T19:00:00+08:00", NOW);
  assert.equal(time.textContent, "1 h 0 min ago");
  assert.equal(time.attributes.datetime, "2026-03-01T19:00:00+08:00");
  assert.match(time.attributes.title, /2026/);
});

test("a deadline counts down, and turns red when it has passed", () => {
  assert.equal(deadline(before(-HOUR), NOW).textContent, "in 1 h 0 min");
  assert.equal(deadline(before(-HOUR), NOW).attributes.class, undefined);
  assert.equal(deadline(before(0), NOW).textContent, "in 0 min");
  assert.equal(deadline(before(HOUR), NOW).textContent, "overdue by 1 h 0 min");
  assert.equal(deadline(before(HOUR), NOW).attributes.class, "bad");
});

test("a time that is not there is nothing", () => {
  for (const text of [age, ago, deadline]) assert.equal(text(null, NOW) || "", "");
});

test("an open ticket says when it was polled, a decided one how its decision came", () => {
  assert.equal(heard(row(), NOW).textContent, "polled 2 min ago");
  assert.equal(heard(row({ polled_at: null }), NOW) || "", "");
  assert.equal(heard(decided(), NOW).textContent, "seen by callback");
  assert.equal(heard(decided({ seen_by: "poll" }), NOW).textContent, "seen by polling");
  assert.equal(heard(decided({ seen_by: "" }), NOW), "");
});
