// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { define, speak } from "./browser.js";
import {
  Refused,
  ask,
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
