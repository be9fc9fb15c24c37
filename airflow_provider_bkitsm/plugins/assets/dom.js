/* Elements. Everything a person or ITSM wrote gets into the page as text, never as HTML. */

import { WORDS, say } from "./words.js";

const framed = window.parent !== window;

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== ""));
  return made;
}
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* Airflow's frame lets no link of ours leave it, but its own document may open what we ask for. */
function follow(event) {
  const link = event.currentTarget;
  if (!framed || (event.type === "auxclick" && event.button !== 1)) return;
  event.preventDefault();
  const another = event.ctrlKey || event.metaKey || event.type === "auxclick" || link.target === "_blank";
  const outside = window.parent.document.createElement("a");
  outside.href = link.href;
  outside.rel = "noopener noreferrer";
  if (another) outside.target = "_blank";
  outside.click();
}
export function link(href, text, attributes = {}) {
  const on = { onclick: follow, onauxclick: follow };
  return el("a", { href, rel: "noopener noreferrer", ...on, ...attributes }, text);
}
export function toItsm(url, text, attributes = {}) {
  return /^https?:\/\//i.test(url || "") ? link(url, text, { target: "_blank", ...attributes }) : el("span", {}, text);
}
export function airflow(...parts) {
  return new URL(`../${parts.map(encodeURIComponent).join("/")}`, location.href).href;
}
export function taskPath(row) {
  const mapped = row.map_index >= 0 ? ["mapped", String(row.map_index)] : [];
  return ["dags", row.dag_id, "runs", row.run_id, "tasks", row.task_id, ...mapped];
}
export function whereabouts(row) {
  const index = row.map_index >= 0 ? ` [${row.map_index}]` : "";
  return [
    link(airflow("dags", row.dag_id), row.dag_id), el("br"),
    link(airflow("dags", row.dag_id, "runs", row.run_id), row.run_id, { class: "small" }), el("br"),
    link(airflow(...taskPath(row)), row.task_id + index, { class: "small" }),
  ];
}
export function badge(status, text) {
  const hint = WORDS.en[`h_${status}`] ? say(`h_${status}`) : null;
  return el("span", { class: `badge ${status}`, title: hint }, text ?? say(`s_${status}`));
}
export function empty(what) {
  return el("div", { class: "empty" }, el("strong", {}, say(what)), say(`${what}_more`));
}
export function loading() {
  return el("div", { class: "empty loading", role: "status" }, say("loading"));
}
export function card(name, ...content) {
  return el("section", { class: "card", "data-card": name }, el("h2", {}, say(name)), ...content);
}
export function pairs(...lines) {
  return el("dl", {}, lines.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, ...[value].flat())]));
}
export function json(value) {
  return el("details", { open: true }, el("summary", {}, "JSON"), el("pre", { class: "mono", tabindex: "0" }, JSON.stringify(value, null, 2)));
}

/* Who works with the keyboard keeps their place when the rows are drawn anew. */
let kept = null;
export function remember() { kept = document.activeElement?.dataset?.key ?? null; }
export function restore() {
  if (kept === null) return;
  [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === kept)?.focus({ preventScroll: true });
  kept = null;
}
