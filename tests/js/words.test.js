// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { speak } from "./browser.js";
import {
  WORDS,
  because,
  language,
  say,
} from "../../airflow_provider_bkitsm/plugins/assets/words.js";

afterEach(() => speak("en"));

test("every word has a text in both languages, with the same values to fill in", () => {
  const values = (text) => [...new Set(text.match(/\{\d\}/g) ?? [])].sort();
  for (const [key, texts] of Object.entries(WORDS)) {
    assert.equal(texts.length, 2, key);
    const [english, chinese] = texts;
    assert.ok(english && chinese, key);
    assert.deepEqual(values(english), values(chinese), key);
  }
});

test("no text of one language is left in the other", () => {
  for (const [key, [english, chinese]] of Object.entries(WORDS)) {
    assert.doesNotMatch(english, /\p{Script=Han}/u, key);
    assert.match(chinese, /\p{Script=Han}/u, key);
  }
});

test("the language is Airflow's, or else the browser's", () => {
  const cases = [
    ["zh-CN", "en-US", "zh"],
    ["zh-TW", "en-US", "zh"],
    ["en", "zh-CN", "en"],
    [null, "zh-CN", "zh"],
    [null, "ZH", "zh"],
    ["", "de-DE", "en"],
    ["de", "zh-CN", "en"],
  ];
  for (const [chosen, browsers, expected] of cases) {
    speak(chosen, browsers);
    assert.equal(language(), expected, `${chosen} ${browsers}`);
  }
});

test("a browser that stores nothing has a language all the same", (context) => {
  context.mock.method(globalThis.localStorage, "getItem", () => {
    throw new Error("denied");
  });
  speak("en", "zh-CN");
  assert.equal(language(), "zh");
});

test("a word is said with its values", () => {
  assert.equal(say("page", 2, 3, 51), "Page 2 of 3, 51 tickets");
  assert.equal(say("m", 0), "0 min");
  speak("zh-CN");
  assert.equal(say("page", 2, 3, 51), "第 2 页，共 3 页，51 张单据");
});

test("a value that looks like a placeholder stays as it is", () => {
  assert.equal(say("r_waits", "{1}", "$& {0}"), "ITSM ticket {1} waits for approval: $& {0}");
});

test("a word that is missing is its key", () => {
  assert.equal(say("s_expired"), "s_expired");
});

test("a reason is translated by its code, another message by its text", () => {
  assert.equal(because("an approver refused", "refused"), "an approver refused");
  speak("zh-CN");
  assert.equal(because("an approver refused", "refused"), "审批人拒绝");
  assert.equal(
    because("The reminder was not sent: its function failed"),
    "催办函数执行失败，提醒未发送",
  );
  assert.equal(because("somebody said so", "unheard_of"), "somebody said so");
});
