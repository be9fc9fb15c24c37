// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import "./browser.js";
import { delay, fingerprint } from "../../airflow_provider_bkitsm/plugins/assets/page.js";

test("a page asks every five seconds, and less often while Airflow does not answer", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 50].map(delay), [5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
});

test("an answer is drawn anew for what can be seen, and once a minute", () => {
  const answer = {
    rows: [{ sn: "REQ1", read_at: "10:00:01", step_at: "10:00:01" }],
    now: "2026-03-01T10:00:01+00:00",
  };
  const later = {
    rows: [{ sn: "REQ1", read_at: "10:00:06", step_at: "10:00:06" }],
    now: "2026-03-01T10:00:06+00:00",
  };
  assert.equal(fingerprint(answer, ["all"]), fingerprint(later, ["all"]));
  assert.notEqual(fingerprint(answer, ["all"]), fingerprint(answer, ["waiting"]));
  const anotherMinute = { ...answer, now: "2026-03-01T10:01:01+00:00" };
  assert.notEqual(fingerprint(answer, []), fingerprint(anotherMinute, []));
  const anotherRow = { ...answer, rows: [{ sn: "REQ2" }] };
  assert.notEqual(fingerprint(answer, []), fingerprint(anotherRow, []));
});

test("no line of a script is wider than 100 columns", () => {
  const width = (line) => [...line.replace(/[\u2E80-\uFFEF]/g, "  ")].length;
  const rooms = ["../../airflow_provider_bkitsm/", "./"].map(
    (path) => new URL(path, import.meta.url),
  );
  for (const room of rooms) {
    const names = readdirSync(room, { recursive: true }).filter((name) => name.endsWith(".js"));
    assert.ok(names.length > 5);
    for (const name of names) {
      const lines = readFileSync(new URL(name, room), "utf8").split("\n");
      const wide = lines.filter((line) => width(line) > 100);
      assert.deepEqual(wide, [], name);
    }
  }
});
