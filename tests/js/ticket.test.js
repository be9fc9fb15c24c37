// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { all, speak } from "./browser.js";
import { NOW, decided, row } from "./rows.js";
import { reminderText } from "../../airflow_provider_bkitsm/plugins/assets/dialogs.js";
import {
  Page,
  askedContent,
  decisionContent,
  facts,
  reminderList,
  storyList,
} from "../../airflow_provider_bkitsm/plugins/assets/ticket.js";

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
  assert.equal(line(waiting), "bob's step 等待 bob, eve 处理");
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

/* ITSM's sentences */

const told = (sentence, more = {}) => {
  const entry = {
    kind: "event",
    people: ["alice"],
    message: "alice 转单【一级审批】给 bob.",
    at: null,
    remark: "",
  };
  const whole = { person: "alice", step: "一级审批", to: "", note: "", ...sentence };
  return storyList([{ ...entry, automatic: false, sentence: whole, ...more }], NOW);
};

test("a known sentence of ITSM is told in English, with the original to hover and hear", () => {
  const list = told({ action: "handed_over", to: "bob", note: "请代审" });
  const [words, original] = all(list, "span");
  assert.equal(words.textContent, "handed 一级审批 over to bob: 请代审");
  assert.equal(words.attributes.title, "alice 转单【一级审批】给 bob.");
  assert.deepEqual([original.attributes.class, original.attributes.lang], ["hidden", "zh-CN"]);
  assert.equal(all(list, "strong")[0].textContent, "alice");
});

test("who is told once, and nobody where ITSM itself acts", () => {
  const began = told({ action: "began", person: "", step: "" }, { message: "流程开始." });
  assert.equal(all(began, "span")[0].textContent, "The flow began");
  assert.equal(all(began, "strong").length, 0);
});

test("that ITSM has answered by itself is told", () => {
  const answer = told({ action: "approved" }, { kind: "approved", automatic: true });
  assert.equal(all(answer, "span")[0].textContent, "approved at 一级审批 automatically");
});

test("a Chinese page shows ITSM's own sentence, and so does an unknown one in English", () => {
  speak("zh-CN");
  const message = "alice 转单【一级审批】给 bob.";
  assert.equal(told({ action: "handed_over" }).textContent, message);
  speak("en");
  assert.equal(line({ people: ["alice"], message, sentence: null }), message);
});

/* What was asked, and what was decided */

const ASKED = {
  title: "Drop it",
  digest: "sha256:1",
  runs_digest: "sha256:1",
  item: "",
  item_digest: "",
  fields: [],
  match: "same",
  differences: [],
  requester: "alice",
  run_by: "alice.w",
  round_number: 1,
};

const askedText = (values) =>
  askedContent({ asked: { ...ASKED, ...values } })
    .filter((one) => one !== null)
    .map((one) => one.textContent)
    .join(" | ");

test("what runs is said to match only where the server says so", () => {
  assert.match(askedText({}), /^What runs matches what people read/);
  assert.match(askedText({ match: "unknown" }), /is not known/);
  speak("zh-CN");
  assert.match(askedText({}), /^将执行的内容与审批人看到的一致/);
});

test("what differs is said with each field, a missing one and a digest", () => {
  const differences = [
    { key: "content", sent: "'a'", now: "'b'" },
    { key: "level", sent: "'3'", now: null },
    { key: "digest", sent: "sha256:1", now: "sha256:2" },
  ];
  const text = askedText({ match: "differs", differences, runs_digest: "sha256:2" });
  assert.match(text, /^What runs differs from what people read/);
  assert.match(text, /content: 'a' was sent, 'b' is in the ticket/);
  assert.match(text, /level: '3' was sent, and is not in the ticket/);
  assert.match(text, /The task would run sha256:2, people were asked sha256:1/);
});

const DECISION = {
  outcome: "approved",
  answers: [
    { operator: "bob", approved: true, remark: "<b>ok</b>", decided_at: null, automatic: false },
    { operator: "", approved: null, remark: "", decided_at: null, automatic: true },
  ],
  evidence: [{ step: "Leader", operator: "bob", approved: true, at: null, automatic: false }],
  evidence_required: true,
  seconds: 5400,
  airflow_url: "",
};

const decisionText = (values, of = decided()) =>
  decisionContent({ decision: { ...DECISION, ...values }, ticket: of })
    .map((one) => one.textContent)
    .join(" | ");

test("a decision has who answered what, in which time, and on what it rests", () => {
  const text = decisionText({});
  assert.match(text, /Time to decide1 h 30 min/);
  assert.match(text, /EvidenceLeader · bob approved/);
  assert.match(text, /bob approved<b>ok<\/b>/);
  assert.match(text, /the system answered automatically/);
  assert.match(decisionText({ seconds: 40 }), /Time to decide40 s/);
});

test("an approval without evidence says so", () => {
  assert.match(decisionText({ evidence: [] }), /Evidencenone is recorded/);
  const waived = decisionText({ evidence: [], evidence_required: false });
  assert.match(waived, /Evidencenot asked for by this task/);
  assert.doesNotMatch(decisionText({ evidence: [], outcome: "withdrawn" }), /Evidence/);
});

test("where ITSM shows no form, what was sent stands in for it", () => {
  const fields = [{ name: "content", text: "drop it", rows: [] }];
  assert.match(askedText({ fields }), /contentdrop it/);
  const shown = askedContent({ asked: { ...ASKED, fields }, story: { form: fields } });
  assert.ok(!shown.some((one) => one?.textContent.includes("drop it")));
});

/* Its reminders */

const AT = "2026-03-01T11:00:00+00:00";

function remindersText(reminders, next_reminder = null) {
  const list = reminderList({ reminders, next_reminder, now: NOW });
  return all(list, "li").map((item) => item.textContent);
}

const act = (kind, state, ...recipients) => ({ kind, state, recipients, at: AT });

test("what went out is told with who got it and when", () => {
  const [reminder, escalation, handOver] = remindersText([
    act("reminder", "sent", "alice", "<b>bob</b>"),
    act("escalation", "sent", "carol"),
    act("hand_over", "sent", "carol"),
  ]);
  assert.match(reminder, /^Reminder sent to alice, <b>bob<\/b>.*2026.* · 1 h 0 min ago$/);
  assert.match(escalation, /^Escalation sent to carol/);
  assert.match(handOver, /^Handed over to carol/);
});

test("what did not go out is never told as sent", () => {
  const texts = remindersText([
    act("reminder", "merged"),
    act("reminder", "given_up"),
    act("reminder", "claimed"),
    act("hand_over", "refused", "carol"),
    act("hand_over", "refused"),
  ]);
  const expected = [
    /^Reminder left out: the escalation was due as well/,
    /^Reminder could not be sent, given up/,
    /^Reminder due, not known to be sent/,
    /^Not handed over to carol/,
    /^Not handed over to anybody/,
  ];
  texts.forEach((text, index) => assert.match(text, expected[index]));
});

test("what is due next is told last, and nothing where there is neither", () => {
  const next = { kind: "reminder", at: "2026-03-01T14:30:00+00:00" };
  const [sent, following] = remindersText([act("reminder", "sent", "alice")], next);
  assert.match(sent, /^Reminder sent/);
  assert.match(following, /^Next reminder due.*2026.* · in 2 h 30 min$/);
  assert.match(remindersText([], { ...next, kind: "escalation" })[0], /^Escalation due/);
  assert.equal(reminderList({ reminders: [], next_reminder: null, now: NOW }), null);
});

test("every state of every message has its words", () => {
  const states = ["sent", "claimed", "given_up"];
  const those = ["reminder", "escalation", "hand_over"].flatMap((kind) =>
    states.map((state) => act(kind, state, "alice")),
  );
  for (const language of ["en", "zh-CN"]) {
    speak(language);
    for (const text of remindersText(those)) assert.doesNotMatch(text, /rem_/);
  }
});
