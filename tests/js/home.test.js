// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";

import { define, speak } from "./browser.js";

const { WaitingApprovals, keepCounting } =
  await import("../../airflow_provider_bkitsm/plugins/assets/home.js");

afterEach(() => {
  speak("en");
  mock.timers.reset();
  document.hidden = false;
});

/** What the component shows while so many approvals wait. */
function shown(waiting) {
  define("React", {
    useState: () => [waiting, () => {}],
    useEffect: () => {},
    createElement: (name, attributes, text) => ({ name, attributes, text }),
  });
  return WaitingApprovals();
}

/** Let what was asked be answered. */
const answered = () => new Promise((done) => setImmediate(done));

test("Airflow finds the component where it looks for it", () => {
  assert.equal(globalThis.AirflowPlugin, WaitingApprovals);
});

test("Home says how many approvals wait, and leads to them", () => {
  const link = shown(12);
  assert.equal(link.name, "a");
  assert.match(link.text, /12 approvals wait in BlueKing ITSM/);
  assert.match(link.attributes.href, /\/plugin\/bkitsm-approvals$/);
  assert.match(shown(1).text, /1 approval waits/);
  speak("zh-CN");
  assert.match(shown(12).text, /有 12 项审批待处理/);
});

test("while nothing waits Home shows nothing", () => {
  assert.equal(shown(0), null);
});

test("it counts at once and each minute, not while nobody looks, nor after the end", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  const counts = [];
  const asked = [];
  define("fetch", async (address) => {
    asked.push(address);
    return { ok: true, json: async () => ({ waiting: asked.length }) };
  });
  const stop = keepCounting((waiting) => counts.push(waiting));
  await answered();
  assert.deepEqual(counts, [1]);
  assert.match(asked[0], /\/api\/v1\/tickets\?view=waiting&size=1&wait=false$/);
  mock.timers.tick(60_000);
  await answered();
  document.hidden = true;
  mock.timers.tick(60_000);
  await answered();
  document.hidden = false;
  stop();
  mock.timers.tick(120_000);
  await answered();
  assert.deepEqual(counts, [1, 2]);
});

test("a count that cannot be had is no error on Home", async () => {
  const counts = [];
  define("fetch", async () => ({ ok: false, status: 403, json: async () => ({}) }));
  keepCounting((waiting) => counts.push(waiting))();
  await answered();
  await answered();
  assert.deepEqual(counts, [0]);
});
