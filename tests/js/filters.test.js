// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { speak } from "./browser.js";
import {
  STATUSES,
  addressOf,
  changed,
  choices,
  chosen,
  counts,
  csvAddress,
  emptyWord,
  filtersFrom,
  nothingChosen,
  orderAfterClick,
  orderOf,
  requestOf,
} from "../../airflow_provider_bkitsm/plugins/assets/filters.js";
import { parameters } from "../../airflow_provider_bkitsm/plugins/assets/api.js";
import { WORDS } from "../../airflow_provider_bkitsm/plugins/assets/words.js";

const VIEWS = ["waiting", "decided", "all"];

afterEach(() => speak("en"));

test("without an address the list is what waits, the nearest deadline first", () => {
  const filters = filtersFrom({});
  assert.deepEqual([filters.view, filters.page, filters.mine], ["waiting", "1", ""]);
  assert.deepEqual(orderOf(filters), { sort: "deadline", descending: "false" });
  assert.deepEqual(orderOf(filtersFrom({ view: "decided" })), {
    sort: "decided_at",
    descending: "true",
  });
  assert.deepEqual(orderOf(filtersFrom({ view: "all" })).sort, "deadline");
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
  assert.equal(filtersFrom({ view: "nonsense" }).view, "waiting");
});

test("a link that is shared leads to the same filters", () => {
  const filters = filtersFrom({
    ...{ view: "decided", mine: "true", search: "a&b=c", status: "rejected", conn_id: "itsm" },
    ...{ dag_id: "dag/1", person: "小明", from: "2026-03-01", to: "2026-03-07" },
    ...{ sort: "title", descending: "false", page: "3" },
  });
  assert.deepEqual(filtersFrom(parameters(`?${addressOf(filters)}`)), filters);
  assert.equal(addressOf(filtersFrom({})), "");
  assert.equal(addressOf(filtersFrom({ status: "waiting" })), "status=waiting");
});

test("a filter leads back to the first page, and leaves the others alone", () => {
  const filters = filtersFrom({ view: "all", search: "x", page: "4" });
  assert.deepEqual(changed(filters, { mine: "true" }), { ...filters, mine: "true", page: "1" });
  assert.equal(changed(filters, { page: "5" }).page, "5");
  assert.equal(filters.page, "4");
});

test("a status that a view never shows is none of its filters", () => {
  const rejected = filtersFrom({ view: "decided", status: "rejected" });
  assert.equal(rejected.status, "rejected");
  assert.equal(changed(rejected, { view: "all" }).status, "rejected");
  assert.equal(changed(rejected, { view: "waiting" }).status, "");
  assert.equal(filtersFrom({ status: "approved" }).status, "");
  for (const status of STATUSES.all) assert.ok(`s_${status}` in WORDS, status);
});

test("a click sorts by that column, another one the other way round", () => {
  const filters = filtersFrom({});
  const first = orderAfterClick(filters, "title");
  assert.deepEqual(first, { sort: "title", descending: "false" });
  const second = orderAfterClick(changed(filters, first), "title");
  assert.deepEqual(second, { sort: "title", descending: "true" });
  assert.equal(orderAfterClick(changed(filters, second), "title").descending, "false");
  assert.equal(orderAfterClick(changed(filters, second), "status").descending, "false");
  assert.deepEqual(orderAfterClick(filters, "deadline"), {
    sort: "deadline",
    descending: "true",
  });
});

test("a period is of whole days here, of the opening or of the decision", () => {
  const filters = filtersFrom({ from: "2026-03-01", to: "2026-03-31" });
  const asked = requestOf(filters);
  assert.equal(asked.since_gte, new Date(2026, 2, 1).toISOString());
  assert.equal(asked.since_lt, new Date(2026, 3, 1).toISOString());
  const decided = requestOf({ ...filters, view: "decided" });
  assert.equal(decided.decided_at_gte, asked.since_gte);
  assert.equal(decided.since_gte, undefined);
  for (const name of ["from", "to"]) assert.ok(!(name in asked));
});

test("what is no day limits nothing", () => {
  for (const from of ["", "yesterday", "2026-3-1", "2026-03-01T00:00"]) {
    assert.equal(requestOf(filtersFrom({ from })).since_gte, "");
  }
});

test("the export has the filters and the order, and no page", () => {
  const filters = filtersFrom({ view: "decided", status: "rejected", page: "7" });
  const address = csvAddress(filters);
  assert.match(address, /^api\/v1\/tickets\.csv\?/);
  const values = parameters(address.slice(address.indexOf("?")));
  assert.deepEqual(
    [values.view, values.status, values.sort],
    ["decided", "rejected", "decided_at"],
  );
  assert.equal(values.page, undefined);
  assert.equal(values.language, "en");
  speak("zh-CN");
  assert.match(csvAddress(filters), /language=zh$/);
});

test("what is chosen is counted and can be cleared", () => {
  const filters = filtersFrom({ person: "alice", from: "2026-03-01", dag_id: "d" });
  assert.equal(chosen(filters), 3);
  assert.equal(chosen(changed(filters, nothingChosen())), 0);
  assert.equal(chosen(filtersFrom({ dag_id: "d", run_id: "r", mine: "true" })), 0);
});

test("a list without rows says why", () => {
  assert.equal(emptyWord(filtersFrom({})), "empty_waiting");
  assert.equal(emptyWord(filtersFrom({ view: "decided" })), "empty_decided");
  assert.equal(emptyWord(filtersFrom({ view: "all" })), "empty_all");
  for (const view of VIEWS) {
    assert.equal(emptyWord(filtersFrom({ view, dag_id: "dag", run_id: "run" })), "empty_run");
    assert.equal(emptyWord(filtersFrom({ view, run_id: "run", search: "x" })), "empty_search");
  }
  for (const filter of ["mine", "search", "dag_id", "collector", "person", "from", "conn_id"]) {
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
