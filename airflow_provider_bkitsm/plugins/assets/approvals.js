/* The list. */

import { address, ask, query } from "./asking.js";
import { airflow, badge, el, empty, link, loading, remember, restore, taskPath, toItsm, whereabouts } from "./dom.js";
import { frame, isNew, pulse, refresh, show } from "./page.js";
import { age, ago, deadline, heard } from "./times.js";
import { because, say } from "./words.js";

const list = {
  name: "approvals",
  wanted: {
    view: address.view || "waiting", mine: address.mine || "", search: address.search || "", dag_id: address.dag_id || "",
    run_id: address.run_id || "", collector: address.collector || "", sort: address.sort || "since",
    descending: address.descending ?? "true", page: address.page || "1",
  },
  load() { return ask(`api/approvals?${query(list.wanted)}`); },
  change(values) {
    Object.assign(list.wanted, { page: "1" }, values);
    history.replaceState(null, "", `?${query(list.wanted)}`);
    refresh();
  },
  start() {
    const tab = (view) => el("button", { type: "button", "data-view": view, onclick: () => list.change({ view }) }, say(view));
    const select = (name) => el("select", { id: name, "aria-label": say(name === "dag_id" ? "any_dag" : "any_collector"), onchange: (event) => list.change({ [name]: event.target.value }) });
    let typed = 0;
    const search = el("input", {
      type: "search", id: "search", placeholder: say("search"), "aria-label": say("search"), value: list.wanted.search, maxlength: 200,
      oninput: (event) => { clearTimeout(typed); typed = setTimeout(() => list.change({ search: event.target.value }), 250); },
    });
    frame(
      say("approvals"),
      el("div", { class: "bar" }, el("div", { class: "tabs", role: "group" }, ["waiting", "decided", "all"].map(tab)),
        el("button", { type: "button", id: "mine", class: "button", title: say("mine_more"), onclick: () => list.change({ mine: list.wanted.mine ? "" : "true" }) }, say("mine")),
        search,
        list.wanted.run_id ? null : select("dag_id"), select("collector")),
      el("div", { id: "itsm" }), el("div", { id: "rows" }, loading()), el("div", { id: "pages", class: "pages" }),
    );
  },
  draw(told) {
    pulse(told.now);
    if (!isNew(told, list.wanted)) return;
    for (const button of document.querySelectorAll("[data-view]")) {
      const view = button.dataset.view;
      const count = { waiting: told.waiting, decided: told.decided, all: told.waiting + told.decided }[view];
      button.setAttribute("aria-pressed", String(view === list.wanted.view));
      button.textContent = `${say(view)} ${count}`;
    }
    document.getElementById("mine").setAttribute("aria-pressed", String(Boolean(list.wanted.mine)));
    options("dag_id", told.dags, say("any_dag"));
    options("collector", told.collectors, say("any_collector"));
    document.getElementById("itsm").replaceChildren(...(told.itsm ? [] : [el("div", { class: "notice", role: "status" }, say("down"))]));
    document.getElementById("rows").replaceChildren(told.rows.length ? list.table(told) : list.nothing());
    restore();
    list.pages(told);
  },
  lost(lasting) { if (lasting) document.getElementById("rows").replaceChildren(); },
  nothing() {
    const filtered = list.wanted.mine || list.wanted.search || list.wanted.dag_id || list.wanted.collector;
    return empty(filtered ? "empty_search" : list.wanted.view === "waiting" ? "empty_waiting" : "empty_decided");
  },
  table(told) {
    remember();
    const last = { waiting: ["deadline", "deadline"], decided: ["decided_at", "decided_at"], all: ["either", "deadline"] }[list.wanted.view];
    const columns = [["title", "title"], ["status", "status"], ["step", null], ["where", "dag_id"], ["since", "since"], last];
    const head = columns.map(([name, sort]) => list.heading(name, sort));
    return el("div", { class: "sheet" }, el("table", {},
      el("caption", { class: "hidden" }, say("approvals")),
      el("thead", {}, el("tr", {}, head)),
      el("tbody", {}, told.rows.map((row) => list.row(row, told.now)))));
  },
  heading(name, sort) {
    if (!sort) return el("th", { scope: "col" }, say(name));
    const chosen = list.wanted.sort === sort, down = list.wanted.descending === "true";
    const arrow = chosen ? (down ? " ↓" : " ↑") : "";
    const click = () => list.change({ sort, descending: String(chosen ? !down : true) });
    return el("th", { scope: "col", "aria-sort": chosen ? (down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", "data-key": `sort-${name}`, onclick: click }, say(name) + arrow));
  },
  row(row, now) {
    const key = [row.dag_id, row.run_id, row.task_id, row.map_index].join(" ");
    const people = (row.open ? row.approvers : row.decided_by).join(", ");
    const why = row.open || row.reason_code === "approved" ? "" : because(row.reason, row.reason_code);
    const notes = [row.stale ? say("stale") : "", why, heard(row, now)];
    const stalled = row.stalled ? el("div", { class: "small stalled", title: say("stalled_more") }, say("stalled")) : null;
    return el("tr", { "data-sn": row.sn, "data-status": row.status },
      el("td", { class: "title" },
        link(airflow(...taskPath(row), "plugin", "bkitsm-ticket"), row.title || say("no_title"), { "data-key": `title ${key}` }), el("br"),
        toItsm(row.ticket_url, row.sn || say("no_sn"), { class: "small mono", "data-key": `sn ${key}` }),
        row.collector ? el("div", { class: "small soft" }, `${say("collector")} ${row.collector}`) : null),
      el("td", {}, badge(row.status), stalled, notes.filter(Boolean).map((text) => el("div", { class: "small soft" }, text))),
      el("td", { "data-label": say("step") }, [row.step, people].filter(Boolean).join(": ")),
      el("td", { class: "where" }, whereabouts(row)),
      el("td", { class: "time", "data-label": say("since") }, age(row.since, now)),
      el("td", { class: "time", "data-label": say(row.open ? "deadline" : "decided_at") }, row.open ? deadline(row.deadline, now) : ago(row.decided_at, now)));
  },
  pages(told) {
    const go = (number) => list.change({ page: String(number) });
    const button = (name, number, can) => el("button", { type: "button", class: "button", disabled: !can, "data-key": name, onclick: () => go(number) }, say(name));
    document.getElementById("pages").replaceChildren(
      el("span", { class: "soft small" }, say("page", told.page, told.pages, told.total)),
      button("previous", told.page - 1, told.page > 1), button("next", told.page + 1, told.page < told.pages));
  },
};
function options(id, values, all) {
  const select = document.getElementById(id);
  if (!select) return;
  const chosen = list.wanted[id];
  const shown = chosen && !values.includes(chosen) ? [chosen, ...values] : values;
  select.hidden = !shown.length;
  if (select.dataset.shown === JSON.stringify([shown, all])) return;
  select.dataset.shown = JSON.stringify([shown, all]);
  select.replaceChildren(el("option", { value: "" }, all), ...shown.map((one) => el("option", { value: one }, one)));
  select.value = chosen;
}

show(list);
