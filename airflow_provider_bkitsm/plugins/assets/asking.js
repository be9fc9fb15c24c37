/* Asking Airflow. */

import { say } from "./words.js";

/* Airflow 3.1 puts ids into the address as they are: a plus sign is a plus sign. */
export const address = parameters();
function parameters() {
  const found = {};
  for (const pair of location.search.slice(1).split("&")) {
    const [name, ...value] = pair.split("=");
    let text = value.join("=");
    try { text = decodeURIComponent(text); } catch { /* as it is */ }
    if (name && !/^\{[A-Z_]+\}$/.test(text)) found[name] = text;
  }
  return found;
}
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
}

export class Refused extends Error {}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.ok) return answer.json();
  if (answer.status === 401) throw new Refused(say("signed_out"));
  if (answer.status === 403) throw new Refused(say("forbidden"));
  let detail = "";
  try { detail = (await answer.json()).detail; } catch { /* no JSON */ }
  const error = new Error(typeof detail === "string" && detail ? detail : `HTTP ${answer.status}`);
  error.status = answer.status;
  throw error;
}

/* Another site's page can neither send JSON nor this header without asking first. */
export function post(path, wish) {
  const headers = { "Content-Type": "application/json", "X-Bkitsm-Action": "1" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(wish) });
}
