/* What all pages have: a heading, a notice, and a request to Airflow every few seconds. */

import { Refused } from "./api.js";
import { el, onNarrowChange } from "./dom.js";
import { language, say } from "./words.js";

const INTERVAL = 5_000;
const LONGEST_INTERVAL = 60_000;

let page = null;
let timer = 0;
let latest = 0;
let failures = 0;
let drawn = "";

/**
 * Show a page and keep it up to date. It has a `name`, the word in its title; `start()` draws its
 * frame, `load()` asks Airflow, `draw(answer)` shows the answer (one that `isQuick` is followed by
 * the next at once), and `clear()` removes it when this
 * person may not see it.
 */
export function show(newPage) {
  page = newPage;
  start();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  window.addEventListener("storage", (event) => {
    if (event.key === "i18nextLng") start();
  });
  onNarrowChange(() => {
    if (!document.querySelector("dialog[open]")) start();
  });
}

function start() {
  drawn = "";
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  document.title = say(page.name);
  page.start();
  refresh();
}

/** Ask Airflow now, and from then on every few seconds; a hidden page asks nothing. */
export async function refresh() {
  clearTimeout(timer);
  latest += 1;
  const request = latest;
  let isQuick = false;
  try {
    const answer = await page.load();
    if (request !== latest) return;
    failures = 0;
    notice("");
    page.draw(answer);
    isQuick = Boolean(answer.isQuick);
  } catch (error) {
    if (request !== latest) return;
    failures += 1;
    if (error instanceof Refused) {
      notice(error.message);
      page.clear();
      return;
    }
    notice(say("failed", error.message));
  }
  if (!document.hidden) timer = setTimeout(refresh, isQuick ? 0 : delay(failures));
}

/** Milliseconds until the next request, longer after each failure in a row. */
export function delay(failuresInARow) {
  return Math.min(INTERVAL * 2 ** failuresInARow, LONGEST_INTERVAL);
}

function notice(text) {
  const content = text ? [el("div", { class: "notice error", role: "alert" }, text)] : [];
  document.getElementById("problem")?.replaceChildren(...content);
}

export const main = () => document.getElementById("main");

export function frame(title, ...content) {
  const pulse = el("span", { id: "pulse", class: "pulse soft small" });
  const top = el("div", { class: "top" }, el("h1", {}, title), pulse);
  main().replaceChildren(top, el("div", { id: "problem" }), ...content);
}

/** Whether an answer shows anything new: if not, what is selected, scrolled or opened stays so. */
export function isNew(answer, ...choices) {
  const content = fingerprint(answer, choices);
  if (content === drawn || document.querySelector("dialog[open]")) return false;
  drawn = content;
  return true;
}

const UNSEEN = ["read_at", "step_at", "now"];

/** What of an answer can be seen: not when it was read, and of its time only the minutes. */
export function fingerprint(answer, choices) {
  const unseen = (key, value) => (UNSEEN.includes(key) ? undefined : value);
  return JSON.stringify([answer, choices, answer.now.slice(0, 16)], unseen);
}

export function pulse(now) {
  const { lang } = document.documentElement;
  const time = new Intl.DateTimeFormat(lang, { timeStyle: "medium" }).format(new Date(now));
  document.getElementById("pulse")?.replaceChildren(say("updated", time));
}
