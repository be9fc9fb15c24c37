/* Elements. Whatever a person or ITSM wrote gets into the page as text, never as HTML. */

import { WORDS, say } from "./words.js";

const isAbsent = (value) => value === null || value === undefined;

/** An HTML element; attributes and children that are null are left out, `on...` are listeners. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (isAbsent(value) || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => !isAbsent(child) && child !== ""));
  return element;
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/* Links */

/** Airflow's frame lets no link of ours leave it, but its own document may open what we ask for. */
function follow(event) {
  const isFramed = window.parent !== window;
  if (!isFramed || (event.type === "auxclick" && event.button !== 1)) return;
  event.preventDefault();
  const inside = event.currentTarget;
  const outside = window.parent.document.createElement("a");
  outside.href = inside.href;
  outside.rel = "noopener noreferrer";
  const isAnother = event.ctrlKey || event.metaKey || event.type === "auxclick";
  if (isAnother || inside.target === "_blank") outside.target = "_blank";
  if (inside.hasAttribute("download")) outside.download = "";
  outside.click();
}

export function link(href, text, attributes = {}) {
  const listeners = { onclick: follow, onauxclick: follow };
  return el("a", { href, rel: "noopener noreferrer", ...listeners, ...attributes }, text);
}

/** A link to ITSM in a tab of its own; only text where the address is none of the web. */
export function itsmLink(url, text, attributes = {}) {
  const isWeb = /^https?:\/\//i.test(url || "");
  return isWeb ? link(url, text, { target: "_blank", ...attributes }) : el("span", {}, text);
}

/** The address of one of Airflow's own pages. */
export function airflowUrl(...parts) {
  return new URL(`../${parts.map(encodeURIComponent).join("/")}`, location.href).href;
}

export function taskPath(row) {
  const mapped = row.map_index >= 0 ? ["mapped", String(row.map_index)] : [];
  return ["dags", row.dag_id, "runs", row.run_id, "tasks", row.task_id, ...mapped];
}

/** Links to DAG, run and task. */
export function whereabouts(row) {
  const index = row.map_index >= 0 ? ` [${row.map_index}]` : "";
  const small = { class: "small" };
  return [
    link(airflowUrl("dags", row.dag_id), row.dag_id),
    el("br"),
    link(airflowUrl("dags", row.dag_id, "runs", row.run_id), row.run_id, small),
    el("br"),
    link(airflowUrl(...taskPath(row)), row.task_id + index, small),
  ];
}

const NARROW = "(max-width: 820px)";

/** Whether this is a phone, or a window as narrow. */
export function isNarrow() {
  return globalThis.matchMedia?.(NARROW).matches ?? false;
}

export function onNarrowChange(listener) {
  matchMedia(NARROW).addEventListener("change", listener);
}

/* Parts of a page */

export function badge(status, text) {
  const hint = `h_${status}`;
  const title = hint in WORDS ? say(hint) : null;
  return el("span", { class: `badge ${status}`, title }, text ?? say(`s_${status}`));
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

/** A list of names and values; those without a value are left out. */
export function pairs(...lines) {
  const given = lines.filter(([, value]) => !isAbsent(value) && value !== "");
  const rows = given.map(([name, value]) => [el("dt", {}, name), el("dd", {}, ...[value].flat())]);
  return el("dl", {}, rows.flat());
}

export function json(value) {
  const text = JSON.stringify(value, null, 2);
  const block = el("pre", { class: "mono", tabindex: "0" }, text);
  return el("details", { open: true }, el("summary", {}, "JSON"), block);
}

/**
 * A table of `columns`: each is `{ name, cell }`, and `cell(row, now)` is its <td>.
 *
 * `caption` is the word that screen readers say first, `heading(column)` a <th> unlike the plain
 * one, `attributes(row)` those of a <tr>.
 */
export function table(columns, rows, now, options = {}) {
  const { caption, heading = plainHeading, attributes = () => ({}) } = options;
  const line = (row) => el("tr", attributes(row), ...columns.map(({ cell }) => cell(row, now)));
  const content = el(
    "table",
    {},
    caption ? el("caption", { class: "hidden" }, say(caption)) : null,
    el("thead", {}, el("tr", {}, columns.map(heading))),
    el("tbody", {}, rows.map(line)),
  );
  return el("div", { class: "sheet" }, content);
}

export function plainHeading({ name }) {
  return el("th", { scope: "col" }, say(name));
}

/* Who works with the keyboard keeps their place when the rows are drawn anew. */
let focused = null;

export function rememberFocus() {
  focused = document.activeElement?.dataset?.key ?? null;
}

export function restoreFocus() {
  if (focused === null) return;
  const elements = [...document.querySelectorAll("[data-key]")];
  elements.find((element) => element.dataset.key === focused)?.focus({ preventScroll: true });
  focused = null;
}
