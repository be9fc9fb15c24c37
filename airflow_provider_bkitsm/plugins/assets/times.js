/* Times: ages by the server's clock, moments in the reader's zone. */

import { el } from "./dom.js";
import { say } from "./words.js";

function span(milliseconds) {
  const minutes = Math.max(0, Math.floor(milliseconds / 60000)), hours = Math.floor(minutes / 60);
  if (minutes < 60) return say("m", minutes);
  if (hours < 24) return say("h", hours, minutes % 60);
  return say("d", Math.floor(hours / 24), hours % 24);
}
export function exact(iso) {
  return new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso));
}
export function timed(iso, text, attributes = {}) {
  return iso ? el("time", { datetime: iso, title: exact(iso), ...attributes }, text) : "";
}
export function passed(iso, now, said = "{0}") {
  const milliseconds = new Date(now) - new Date(iso);
  return milliseconds < 60000 ? say("now") : said.replace("{0}", span(milliseconds));
}
/* How ITSM's word reached Airflow: the last poll while a task waits, what brought the decision afterwards. */
export function heard(row, now) {
  if (row.open) return row.polled_at ? timed(row.polled_at, say("polled", passed(row.polled_at, now, say("ago", "{0}")))) : "";
  return row.seen_by ? timed(row.seen_at, say(`by_${row.seen_by}`)) : "";
}
export function age(iso, now) {
  return timed(iso, iso && passed(iso, now));
}
export function ago(iso, now) {
  return timed(iso, iso && passed(iso, now, say("ago", "{0}")));
}
export function deadline(iso, now) {
  if (!iso) return "";
  const left = new Date(iso) - new Date(now);
  return timed(iso, left >= 0 ? say("in", span(left)) : say("overdue", span(-left)), { class: left < 0 ? "bad" : null });
}
