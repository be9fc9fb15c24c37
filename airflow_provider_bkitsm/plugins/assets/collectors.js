/* Collectors: their state, the way it has gone, their history. */

import { address, ask, query } from "./asking.js";
import { airflow, badge, card, el, empty, json, link, loading, pairs, remember, restore, svg, taskPath } from "./dom.js";
import { frame, isNew, pulse, refresh, show } from "./page.js";
import { ago } from "./times.js";
import { language, say } from "./words.js";

const collectors = {
  name: "collectors",
  chosen: address.bklog_conn_id ? { bklog_conn_id: address.bklog_conn_id, collector_config_id: address.collector_config_id } : null,
  async load() {
    const told = await ask("api/collectors");
    if (!collectors.chosen && told.rows.length) collectors.chosen = collectors.key(told.rows[0]);
    const one = collectors.chosen && (await ask(`api/collector?${query(collectors.chosen)}`).catch((error) => { if (error.status === 404) return null; throw error; }));
    return { ...told, one };
  },
  key(row) { return { bklog_conn_id: row.bklog_conn_id, collector_config_id: String(row.collector_config_id) }; },
  start() { frame(say("collectors"), el("div", { id: "collectors" }, loading())); },
  lost(lasting) { if (lasting) document.getElementById("collectors").replaceChildren(); },
  draw(told) {
    pulse(told.now);
    if (!isNew(told, collectors.chosen)) return;
    remember();
    document.getElementById("collectors").replaceChildren(told.rows.length ? el("div", { class: "columns" }, collectors.table(told), el("div", {}, told.one ? collectors.one(told.one, told.now) : empty("choose"))) : empty("empty_collectors"));
    restore();
  },
  table(told) {
    const mine = JSON.stringify(collectors.chosen);
    return el("div", { class: "sheet" }, el("table", {}, el("caption", { class: "hidden" }, say("collectors")),
      heads("collector", "status", "title", "when"),
      el("tbody", {}, told.rows.map((row) => {
        const key = collectors.key(row), name = `${row.collector_config_id}`;
        const choose = () => { collectors.chosen = key; history.replaceState(null, "", `?${query(key)}`); refresh(); };
        return el("tr", { class: JSON.stringify(key) === mine ? "chosen" : null, "data-collector": name },
          el("td", {}, el("button", { type: "button", class: "button", "data-key": JSON.stringify(key), "aria-pressed": String(JSON.stringify(key) === mine), onclick: choose }, name), el("div", { class: "small soft" }, row.bklog_conn_id)),
          el("td", {}, badge(row.state, row[language()])),
          el("td", {}, link(airflow(...taskPath(row)), row.sn || "…", { class: "mono" })),
          el("td", { class: "time" }, ago(row.updated_at, told.now)));
      }))));
  },
  one(told, now) {
    return el("div", {},
      card("states", drawing(told.picture), told.error ? el("div", { class: "notice error" }, `${say("last_error")}: ${told.error}`) : null),
      card("history", el("div", { class: "sheet" }, el("table", {}, heads("when", "event", "change", "note"),
        el("tbody", {}, [...told.history].reverse().map((entry) => el("tr", {},
          el("td", { class: "time" }, ago(entry.at, now)), el("td", {}, el("span", { class: "mono" }, entry.event), el("div", { class: "small soft" }, say("application", entry.application))),
          el("td", { class: "small" }, entry.from_state === entry.to_state ? entry.to_state : `${entry.from_state} → ${entry.to_state}`),
          el("td", { class: "small" }, [entry.sn, entry.reason].filter(Boolean).join(" · ")))))))),
      card("payload", pairs([say("digest"), el("span", { class: "mono" }, told.digest)]), el("br"), json(told.payload)));
  },
};
function heads(...names) {
  return el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, say(name)))));
}
function drawing(picture) {
  const arrow = (id) => svg("marker", { id, class: id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M 0 0 L 8 4 L 0 8 z" }));
  const ways = picture.ways.map((way) => svg("path", { class: `way ${way.times ? "gone" : ""}`, d: way.path, "marker-end": `url(#${way.times ? "gone" : "open"})`, "data-way": `${way.start} ${way.end}` }));
  const boxes = picture.boxes.flatMap((box) => {
    const chosen = [box.current ? "current" : "", box.visited ? "visited" : ""].join(" ");
    const label = svg("text", { x: box.x, y: box.y - 7 }), sub = svg("text", { x: box.x, y: box.y + 10, class: "sub" });
    label.textContent = language() === "zh" ? box.zh : box.state;
    sub.textContent = language() === "zh" ? box.state : box.en;
    return [svg("rect", { class: `box ${box.state} ${chosen}`, x: box.x - box.width / 2, y: box.y - box.height / 2, width: box.width, height: box.height, rx: 8 }), label, sub];
  });
  const title = svg("title");
  title.textContent = say("states");
  return svg("svg", { viewBox: `0 0 ${picture.width} ${picture.height}`, role: "img" }, title, svg("defs", {}, arrow("open"), arrow("gone")), ...ways, ...boxes);
}

show(collectors);
