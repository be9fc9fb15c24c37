/* Collectors: their states, the way one of them has gone, its history. */

import { ask, keepAddress, query } from "./api.js";
import {
  airflowUrl,
  badge,
  card,
  el,
  empty,
  json,
  link,
  loading,
  pairs,
  rememberFocus,
  restoreFocus,
  svg,
  table,
  taskPath,
} from "./dom.js";
import { frame, isNew, pulse, refresh } from "./page.js";
import { ago } from "./times.js";
import { WORDS, language, say } from "./words.js";

/** What names a collector in an address and in requests; null where nothing does. */
export function keyOf({ bklog_conn_id, collector_config_id }) {
  if (!bklog_conn_id) return null;
  return { bklog_conn_id, collector_config_id: String(collector_config_id) };
}

const isSame = (key, other) => JSON.stringify(key) === JSON.stringify(other);

/* Columns */

/** The columns of the list of collectors; `choose(key)` is called when one is chosen. */
export function columns(chosen, choose) {
  return [
    { name: "collector", cell: (row) => collectorCell(row, chosen, choose) },
    { name: "status", cell: (row) => el("td", {}, badge(row.state, row[language()])) },
    { name: "title", cell: (row) => el("td", {}, ticketLink(row)) },
    { name: "when", cell: (row, now) => timeCell(row.updated_at, now) },
  ];
}

export const HISTORY_COLUMNS = [
  { name: "when", cell: (entry, now) => timeCell(entry.at, now) },
  {
    name: "event",
    cell: (entry) => {
      const name = el("span", { class: "mono" }, entry.event);
      const application = say("application", entry.application);
      const below = el("div", { class: "small soft" }, name, ` · ${application}`);
      return el("td", {}, eventWord(entry.event), below);
    },
  },
  { name: "change", cell: (entry) => el("td", { class: "small" }, changeText(entry)) },
  {
    name: "note",
    cell: (entry) =>
      el("td", { class: "small" }, [entry.sn, noteText(entry)].filter(Boolean).join(" · ")),
  },
];

function collectorCell(row, chosen, choose) {
  const key = keyOf(row);
  const attributes = {
    type: "button",
    class: "button",
    "data-key": JSON.stringify(key),
    "aria-pressed": String(isSame(key, chosen)),
    onclick: () => choose(key),
  };
  const button = el("button", attributes, String(row.collector_config_id));
  return el("td", {}, button, el("div", { class: "small soft" }, row.bklog_conn_id));
}

function ticketLink(row) {
  return link(airflowUrl(...taskPath(row)), row.sn || "…", { class: "mono" });
}

function timeCell(iso, now) {
  return el("td", { class: "time" }, ago(iso, now));
}

function changeText({ from_state, to_state }) {
  return from_state === to_state ? to_state : `${from_state} → ${to_state}`;
}

/** Events of another version have no word, but their name below it. */
function eventWord(event) {
  return `e_${event}` in WORDS ? say(`e_${event}`) : "";
}

/** Of a decision the note is its outcome. */
function noteText({ event, reason }) {
  return event === "decided" && `s_${reason}` in WORDS ? say(`s_${reason}`) : reason;
}

/* The picture of the states */

const BOX_RADIUS = 8;

function drawing({ width, height, ways, boxes }) {
  const title = svg("title");
  title.textContent = say("states");
  const arrows = svg("defs", {}, arrow("open"), arrow("gone"));
  const content = [title, arrows, ...ways.map(wayLine), ...boxes.flatMap(boxWithNames)];
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, ...content);
}

function arrow(id) {
  const attributes = {
    id,
    class: id,
    viewBox: "0 0 8 8",
    refX: 7,
    refY: 4,
    markerWidth: 8,
    markerHeight: 8,
    markerUnits: "userSpaceOnUse",
    orient: "auto",
  };
  return svg("marker", attributes, svg("path", { d: "M 0 0 L 8 4 L 0 8 z" }));
}

function wayLine({ path, start, end, times }) {
  return svg("path", {
    class: `way ${times ? "gone" : ""}`,
    d: path,
    "marker-end": `url(#${times ? "gone" : "open"})`,
    "data-way": `${start} ${end}`,
  });
}

function boxWithNames({ x, y, width, height, state, en, zh, current, visited }) {
  const marks = [current ? "current" : "", visited ? "visited" : ""].join(" ");
  const place = { x: x - width / 2, y: y - height / 2, width, height, rx: BOX_RADIUS };
  const label = svg("text", { x, y: y - 7 });
  const below = svg("text", { x, y: y + 10, class: "sub" });
  [label.textContent, below.textContent] = language() === "zh" ? [zh, state] : [state, en];
  return [svg("rect", { class: `box ${state} ${marks}`, ...place }), label, below];
}

/* The page */

export class Page {
  name = "collectors";

  constructor(address) {
    this.chosen = keyOf(address);
  }

  async load() {
    const answer = await ask("api/v1/collectors?size=2000");
    if (!this.chosen && answer.rows.length) this.chosen = keyOf(answer.rows[0]);
    return { ...answer, collector: this.chosen && (await this.loadChosen()) };
  }

  /** The chosen collector; null where this person may see none of that name. */
  async loadChosen() {
    try {
      return await ask(`api/v1/collector?${query(this.chosen)}`);
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  choose(key) {
    this.chosen = key;
    keepAddress(query(key));
    refresh();
  }

  start() {
    frame(say("collectors"), el("div", { id: "collectors" }, loading()));
  }

  clear() {
    document.getElementById("collectors").replaceChildren();
  }

  draw(answer) {
    pulse(answer.now);
    if (!isNew(answer, this.chosen)) return;
    rememberFocus();
    const content = answer.rows.length ? this.halves(answer) : empty("empty_collectors");
    document.getElementById("collectors").replaceChildren(content);
    restoreFocus();
  }

  halves({ rows, collector, now }) {
    const list = table(
      columns(this.chosen, (key) => this.choose(key)),
      rows,
      now,
      {
        caption: "collectors",
        attributes: (row) => ({
          class: isSame(keyOf(row), this.chosen) ? "chosen" : null,
          "data-collector": String(row.collector_config_id),
        }),
      },
    );
    const details = collector ? this.details(collector, now) : empty("choose");
    return el("div", { class: "columns" }, list, el("div", {}, details));
  }

  details({ picture, error, history: entries, digest, payload }, now) {
    const problem = el("div", { class: "notice error" }, `${say("last_error")}: ${error}`);
    const latestFirst = [...entries].reverse();
    const checksum = digest && el("span", { class: "mono" }, digest);
    return el(
      "div",
      {},
      card("states", drawing(picture), ...(error ? [problem] : [])),
      card("history", table(HISTORY_COLUMNS, latestFirst, now)),
      card("payload", pairs([say("digest"), checksum]), el("br"), json(payload)),
    );
  }
}
