/* Requests to Airflow, and the words of an address. */

import { say } from "./words.js";

/**
 * The values in an address's query. Airflow 3.1 puts ids into it as they are: a plus sign is a plus
 * sign. A placeholder that Airflow did not fill in is left out.
 */
export function parameters(search) {
  const values = {};
  for (const pair of search.slice(1).split("&")) {
    const [name, ...rest] = pair.split("=");
    const value = decoded(rest.join("="));
    if (name && !/^\{[A-Z_]+\}$/.test(value)) values[name] = value;
  }
  return values;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The query of an address, without the values that are empty. */
export function query(values) {
  return Object.entries(values)
    .filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
}

/* The address that people see: in Airflow's frame it is the one of Airflow's page around it. */

// What Airflow fills into a tab's address, and what no address around it changes.
const PLACE = ["dag_id", "run_id", "task_id", "map_index"];
// A frame keeps its name while links lead from page to page in it.
const OPENED = "bkitsm";

function around() {
  try {
    return window.parent !== window && window.parent.location.href ? window.parent : null;
  } catch {
    return null;
  }
}

/** Airflow's router writes its query anew at times, as a form's: a blank is a plus sign there. */
function fromAround() {
  const search = window.name === OPENED ? "" : around()?.location.search;
  return Object.fromEntries(new URLSearchParams(search ?? ""));
}

/** What the address asks for; that around a frame counts when Airflow opens the frame. */
export function addressed() {
  const own = parameters(location.search);
  const outer = fromAround();
  if (around()) window.name = OPENED;
  if (!Object.keys(outer).length) return own;
  const place = PLACE.filter((name) => name in own).map((name) => [name, own[name]]);
  const asked = { ...outer, ...Object.fromEntries(place) };
  // Once the frame is there, Airflow 3.3 writes its address into that around it.
  history.replaceState(null, "", `?${query(asked)}`);
  return asked;
}

/** Put into the address what leads here again. */
export function keepAddress(search) {
  history.replaceState(null, "", `?${search}`);
  const outer = around();
  outer?.history.replaceState(outer.history.state, "", `${outer.location.pathname}?${search}`);
}

/** Airflow does not let this person see the page; asking again changes nothing. */
export class Refused extends Error {}

const REFUSALS = { 401: "signed_out", 403: "forbidden" };

/** Airflow's answer as JSON; an Error with its status if it has none. */
export async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.ok) return answer.json();
  if (answer.status in REFUSALS) throw new Refused(say(REFUSALS[answer.status]));
  const error = new Error(await detailOf(answer));
  error.status = answer.status;
  throw error;
}

async function detailOf(answer) {
  const body = await answer.json().catch(() => null);
  const detail = body?.detail;
  return typeof detail === "string" && detail ? detail : `HTTP ${answer.status}`;
}

/** Another site's page can send neither JSON nor this header without asking first. */
export function post(path, values) {
  const headers = { "Content-Type": "application/json", "X-Bkitsm-Action": "1" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(values) });
}
