/* What all pages have: a heading, a notice, and a look at Airflow every few seconds. */

import { Refused } from "./asking.js";
import { el } from "./dom.js";
import { language, say } from "./words.js";

const EVERY_MS = 5000;
const root = document.documentElement;
let shown = null, timer = 0, turn = 0, failures = 0, drawn = "";

/* A page is an object: `name`, `start` draws its frame, `load` asks, `draw` shows the answer, `lost` that there is none. */
export function show(page) {
  shown = page;
  start();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  window.addEventListener("storage", (event) => { if (event.key === "i18nextLng") start(); });
}
function start() {
  drawn = "";
  root.lang = language() === "zh" ? "zh-CN" : "en";
  document.title = say(shown.name);
  shown.start();
  refresh();
}

/* A page that nobody looks at asks nothing. */
export async function refresh() {
  clearTimeout(timer);
  const mine = ++turn;
  try {
    const told = await shown.load();
    if (mine !== turn) return;
    failures = 0;
    notice("");
    shown.draw(told);
  } catch (error) {
    if (mine !== turn) return;
    failures += 1;
    const lasting = error instanceof Refused;
    notice(lasting ? error.message : say("failed", error.message));
    shown.lost(lasting);
    if (lasting) return;
  }
  if (!document.hidden) timer = setTimeout(refresh, Math.min(EVERY_MS * 2 ** failures, 60000));
}
function notice(text) {
  const place = document.getElementById("problem");
  if (place) place.replaceChildren(...(text ? [el("div", { class: "notice error", role: "alert" }, text)] : []));
}

export const main = () => document.getElementById("main");
export function frame(title, ...more) {
  main().replaceChildren(
    el("div", { class: "top" }, el("h1", {}, title), el("span", { id: "pulse", class: "pulse soft small" })),
    el("div", { id: "problem" }), ...more,
  );
}

/* What is selected, scrolled or opened stays so until there is something new to show; ages count minutes. */
export function isNew(told, ...more) {
  const unseen = (key, value) => (key === "read_at" || key === "now" ? undefined : value);
  const now = JSON.stringify([told, ...more, told.now.slice(0, 16)], unseen);
  if (now === drawn || document.querySelector("dialog[open]")) return false;
  drawn = now;
  return true;
}
export function pulse(now) {
  const time = new Intl.DateTimeFormat(root.lang, { timeStyle: "medium" }).format(new Date(now));
  document.getElementById("pulse")?.replaceChildren(say("updated", time));
}
