/*
 * How many approvals wait, on Airflow's Home: a React component, in the way Airflow loads the apps
 * of plugins. React is the one of Airflow's page. It shows nothing while nothing waits.
 */

import { ask } from "./api.js";
import { say } from "./words.js";

const INTERVAL = 60_000;
const COUNT = address("../api/v1/tickets?view=waiting&size=1&wait=false");
const PAGE = address("../../plugin/bkitsm-approvals");

/** An address as seen from this script: Airflow may be served below a path. */
function address(path) {
  return new URL(path, import.meta.url).href;
}

/** Count now and every minute, unless nobody looks; return what ends it. */
export function keepCounting(show) {
  const count = async () => {
    if (document.hidden) return;
    try {
      show((await ask(COUNT)).waiting);
    } catch {
      // Home is no place for errors of a count; the approvals page has them.
      show(0);
    }
  };
  count();
  const timer = setInterval(count, INTERVAL);
  return () => clearInterval(timer);
}

const STYLE = {
  order: 2,
  alignSelf: "flex-start",
  padding: "0.5rem 0.75rem",
  border: "1px solid var(--chakra-colors-border, currentColor)",
  borderRadius: "0.5rem",
  color: "var(--chakra-colors-fg, inherit)",
  fontSize: "0.875rem",
  fontWeight: "bold",
};

export function WaitingApprovals() {
  const { createElement, useEffect, useState } = globalThis.React;
  const [waiting, show] = useState(0);
  useEffect(() => keepCounting(show), []);
  if (!waiting) return null;
  const text = waiting === 1 ? say("home_one") : say("home_many", String(waiting));
  return createElement("a", { id: "bkitsm-waiting", href: PAGE, style: STYLE }, `${text} →`);
}

globalThis.AirflowPlugin = WaitingApprovals;
