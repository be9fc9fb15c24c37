// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { speak } from "./browser.js";
import { task, ticket } from "./rows.js";
import { oneByOne, targetOf } from "../../airflow_provider_bkitsm/plugins/assets/bulk.js";
import { whyNot } from "../../airflow_provider_bkitsm/plugins/assets/dialogs.js";

afterEach(() => speak("en"));

const three = ["1", "2", "3"].map((sn) => ticket({ sn }));

async function sent(tickets, send, isStopped = () => false) {
  const states = [];
  const tell = ({ sn }, state, text) => states.push([sn, state, text]);
  const left = await oneByOne(tickets, { send, tell, isStopped });
  return { states, left: left.map(({ sn }) => sn) };
}

test("tickets are sent one after the other, and each says what became of it", async () => {
  const running = [];
  let most = 0;
  const send = async ({ sn }) => {
    running.push(sn);
    most = Math.max(most, running.length);
    await Promise.resolve();
    running.pop();
  };
  const { states, left } = await sent(three, send);
  assert.equal(most, 1);
  assert.deepEqual(left, []);
  assert.deepEqual(
    states.map(([sn, state]) => sn + state),
    ["1sending", "1done", "2sending", "2done", "3sending", "3done"],
  );
});

test("a failure holds up no other ticket, and stays to be tried again", async () => {
  const send = async ({ sn }) => {
    if (sn === "2") throw new Error("The ticket is no longer open; nobody was reminded");
  };
  speak("zh-CN");
  const { states, left } = await sent(three, send);
  assert.deepEqual(left, ["2"]);
  assert.deepEqual(
    states.filter(([, state]) => state !== "sending"),
    [
      ["1", "done", ""],
      ["2", "failed", "单据已结束，未发送提醒"],
      ["3", "done", ""],
    ],
  );
});

test("who closes the dialog stops what is not sent yet", async () => {
  let number = 0;
  const send = async () => {
    number += 1;
  };
  const { left } = await sent(three, send, () => number > 0);
  assert.equal(number, 1);
  assert.deepEqual(left, ["2", "3"]);
});

test("a ticket is acted on by a task that one may change", () => {
  const tasks = [
    task({ dag_id: "theirs", may_change: false }),
    task({ dag_id: "mine", map_index: 2 }),
  ];
  assert.deepEqual(targetOf(ticket({ tasks })), {
    dag_id: "mine",
    run_id: "manual__1",
    task_id: "wait",
    map_index: 2,
    sn: "REQ20260301000001",
  });
});

test("who may not withdraw learns who may", () => {
  const may_change = true;
  assert.equal(
    whyNot({ may_change, withdraw_by: ["robot"] }),
    "Only robot may withdraw it in ITSM.",
  );
  assert.match(whyNot({ may_change, withdraw_by: [] }), /not known until ITSM answers/);
  assert.match(whyNot({ may_change: false, withdraw_by: ["robot"] }), /change the runs of its DAG/);
  speak("zh-CN");
  assert.equal(whyNot({ may_change, withdraw_by: ["robot"] }), "在 ITSM 中只有 robot 可以撤单。");
});
