/* Times: how long ago by the server's clock, moments in the reader's time zone. */

import { el } from "./dom.js";
import { say } from "./words.js";

const MINUTE = 60_000;

/** A length of time in words, to the minute; below zero it is none. */
export function span(milliseconds) {
  const minutes = Math.max(0, Math.floor(milliseconds / MINUTE));
  const hours = Math.floor(minutes / 60);
  if (minutes < 60) return say("m", minutes);
  if (hours < 24) return say("h", hours, minutes % 60);
  return say("d", Math.floor(hours / 24), hours % 24);
}

/** Date and time, in the page's language. */
export function exact(iso) {
  const style = { dateStyle: "medium", timeStyle: "medium" };
  return new Intl.DateTimeFormat(document.documentElement.lang, style).format(new Date(iso));
}

/** An element with a text about a moment, and the moment itself as its tooltip. */
export function timed(iso, text, attributes = {}) {
  return iso ? el("time", { datetime: iso, title: exact(iso), ...attributes }, text) : "";
}

const passed = (iso, now) => new Date(now) - new Date(iso);

/** "5 min ago"; what is less than a minute old is "just now". */
export function agoText(iso, now) {
  return passed(iso, now) < MINUTE ? say("now") : say("ago", span(passed(iso, now)));
}

/** When something happened. */
export function ago(iso, now) {
  return timed(iso, iso && agoText(iso, now));
}

/** How old something is: "5 min". */
export function age(iso, now) {
  return timed(iso, iso && (passed(iso, now) < MINUTE ? say("now") : span(passed(iso, now))));
}

/** The time left until a deadline, or by how much it is overdue. */
export function deadline(iso, now) {
  const left = -passed(iso, now);
  const text = left < 0 ? say("overdue", span(-left)) : say("in", span(left));
  return timed(iso, text, { class: left < 0 ? "bad" : null });
}

/** How long something took; empty where that is not known. */
export function lasted(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 60 ? say("sec", Math.round(seconds)) : span(seconds * 1000);
}

/** As of when something is shown that may be old. */
export function asOf(iso, now) {
  return timed(iso, iso && say("as_of", agoText(iso, now)));
}

/** That ITSM does not confirm a row now; as of when it is, where it was ever read. */
export function unconfirmed({ read_at }, now) {
  return read_at ? timed(read_at, say("stale_as_of", agoText(read_at, now))) : say("stale");
}

/** How Airflow learned of the ticket: the latest poll while a task waits, then callback or poll. */
export function heard(row, now) {
  if (row.open)
    return timed(row.polled_at, row.polled_at && say("polled", agoText(row.polled_at, now)));
  return row.seen_by ? timed(row.seen_at, say(`by_${row.seen_by}`)) : "";
}
