// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { define, speak } from "./browser.js";
import {
  Refused,
  addressed,
  ask,
  keepAddress,
  parameters,
  post,
  query,
} from "../../airflow_provider_bkitsm/plugins/assets/api.js";

afterEach(() => speak("en"));

test("the values of an address are read, and a plus sign is one", () => {
  assert.deepEqual(parameters("?run_id=manual__2026-03-01T10:00:00+00:00&search=a%20%26%20b"), {
    run_id: "manual__2026-03-01T10:00:00+00:00",
    search: "a & b",
  });
});

test("what is no query, or broken, is read as far as it goes", () => {
  assert.deepEqual(parameters(""), {});
  assert.deepEqual(parameters("?&=1&a"), { a: "" });
  assert.deepEqual(parameters("?title=100%&note=a=b"), { title: "100%", note: "a=b" });
});

/** A window whose address can be changed; `parent` is that of Airflow's page around it. */
function opened(href, parent = null) {
  const place = { location: new URL(href), name: "", parent };
  place.history = {
    state: "router's",
    replaceState(state, _, url) {
      place.history.state = state;
      place.location = new URL(url, place.location);
      if (place === globalThis.window) define("location", place.location);
    },
  };
  return place;
}

/** Open a page in Airflow's frame; give the frame and what is around it. */
function framed(inner, outer) {
  const around = opened(`https://airflow.example.com${outer}`);
  around.parent = around;
  const frame = opened(`https://airflow.example.com/bkitsm/${inner}`, around);
  define("window", frame);
  define("history", frame.history);
  define("location", frame.location);
  return { frame, around };
}

const LIST = "/plugin/bkitsm-approvals";

test("in a frame the address around it has what is chosen, and leads there again", () => {
  const { around } = framed("approvals", LIST);
  assert.deepEqual(addressed(), {});
  keepAddress("view=all&search=a%20b");
  assert.equal(location.search, "?view=all&search=a%20b");
  assert.equal(around.location.href, `https://airflow.example.com${LIST}?view=all&search=a%20b`);
  assert.equal(around.history.state, "router's");
  framed("approvals", around.location.pathname + around.location.search);
  assert.deepEqual(addressed(), { view: "all", search: "a b" });
  assert.equal(location.search, "?view=all&search=a%20b");
});

test("a tab is that of its run, whatever is around it", () => {
  framed("approvals?view=all&dag_id=a&run_id=r", "/dags/a/x?view=decided&dag_id=b&search=a+b%2B");
  assert.deepEqual(addressed(), { view: "decided", dag_id: "a", run_id: "r", search: "a b+" });
});

test("a link inside a frame leads where it says", () => {
  const { frame } = framed("approvals", `${LIST}?search=x`);
  addressed();
  frame.history.replaceState(null, "", "ticket?task_id=t&list=search%3Dx");
  assert.deepEqual(addressed(), { task_id: "t", list: "search=x" });
});

test("without a frame, or in one of somebody else, the page's own address counts", () => {
  const page = opened("https://airflow.example.com/bkitsm/approvals?view=all");
  const theirs = {
    get location() {
      throw new Error("SecurityError");
    },
  };
  for (const parent of [page, theirs, null]) {
    page.parent = parent;
    define("window", page);
    define("history", page.history);
    define("location", page.location);
    assert.deepEqual(addressed(), { view: "all" });
    keepAddress("view=all");
    assert.equal(location.search, "?view=all");
  }
});

test("a placeholder that Airflow did not fill in is left out", () => {
  assert.deepEqual(parameters("?dag_id={DAG_ID}&map_index=%7BMAP_INDEX%7D&search={x}"), {
    search: "{x}",
  });
});

test("a query has what is not empty, and is read back as it was", () => {
  const values = {
    view: "all",
    search: "a+b & c=%",
    page: 0,
    dag_id: "",
    run_id: null,
    sort: undefined,
  };
  assert.equal(query(values), "view=all&search=a%2Bb%20%26%20c%3D%25&page=0");
  assert.deepEqual(parameters(`?${query(values)}`), {
    view: "all",
    search: "a+b & c=%",
    page: "0",
  });
});

function answers(status, body) {
  const requests = [];
  define("fetch", async (path, options) => {
    requests.push({ path, ...options });
    return new Response(body, { status });
  });
  return requests;
}

test("an answer is read as JSON, with this origin's session only", async () => {
  const requests = answers(200, '{"rows": []}');
  assert.deepEqual(await ask("api/approvals"), { rows: [] });
  assert.deepEqual(requests, [{ path: "api/approvals", credentials: "same-origin" }]);
});

test("who may not see a page is told so in their language", async () => {
  answers(401, "");
  await assert.rejects(
    ask("api/approvals"),
    (error) => error instanceof Refused && /signed out/.test(error),
  );
  answers(403, "");
  speak("zh-CN");
  await assert.rejects(ask("api/approvals"), { message: "您没有查看权限。" });
});

test("any other failure says what Airflow says, or its status", async () => {
  const cases = [
    ['{"detail": "The ticket is no longer open"}', "The ticket is no longer open"],
    ['{"detail": [{"loc": "page"}]}', "HTTP 500"],
    ["null", "HTTP 500"],
    ["<html>", "HTTP 500"],
  ];
  for (const [body, message] of cases) {
    answers(500, body);
    await assert.rejects(ask("api/ticket"), { message, status: 500 });
  }
});

test("what changes something is JSON with a header that other sites cannot send", async () => {
  const requests = answers(200, "{}");
  await post("api/ticket/remind", { sn: "REQ1" });
  const [{ method, body, headers }] = requests;
  assert.deepEqual([method, body], ["POST", '{"sn":"REQ1"}']);
  assert.deepEqual(headers, { "Content-Type": "application/json", "X-Bkitsm-Action": "1" });
});
