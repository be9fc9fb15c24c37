/* The list of approvals. */

import { ask, query } from "./api.js";
import {
  airflowUrl,
  badge,
  el,
  empty,
  itsmLink,
  link,
  loading,
  plainHeading,
  rememberFocus,
  restoreFocus,
  table,
  taskPath,
  whereabouts,
} from "./dom.js";
import { frame, isNew, pulse, refresh } from "./page.js";
import { age, ago, asOf, deadline, heard, unconfirmed } from "./times.js";
import { because, say } from "./words.js";

const VIEWS = ["waiting", "decided", "all"];
const TYPING = 250;

/* Filters, order and page: what the list shows, as the words of its address */

const DEFAULTS = {
  view: "waiting",
  mine: "",
  search: "",
  dag_id: "",
  run_id: "",
  collector: "",
  sort: "since",
  descending: "true",
  page: "1",
};

export function filtersFrom(address) {
  const isFilter = ([name, value]) => Object.hasOwn(DEFAULTS, name) && value !== "";
  return { ...DEFAULTS, ...Object.fromEntries(Object.entries(address).filter(isFilter)) };
}

/** The filters after a change, which leads back to the first page unless it names one. */
export function changed(filters, values) {
  return { ...filters, page: "1", ...values };
}

/** The order after a click on a heading: descending, and at the next click the reverse. */
export function orderAfterClick(filters, sort) {
  const isDescending = filters.sort === sort && filters.descending === "true";
  return { sort, descending: String(!isDescending) };
}

/** The word for a list without rows. */
export function emptyWord({ view, mine, search, dag_id, run_id, collector }) {
  // The tab of a run names the run's DAG, which nobody chose there.
  if (mine || search || collector || (dag_id && !run_id)) return "empty_search";
  return run_id ? "empty_run" : `empty_${view}`;
}

/** What a filter offers: the values in the list, and the chosen one even when no row has it. */
export function choices(values, chosen) {
  return chosen && !values.includes(chosen) ? [chosen, ...values] : values;
}

/** How many rows each view has. */
export function counts({ waiting, decided }) {
  return { waiting, decided, all: waiting + decided };
}

/* Columns */

const COLUMNS = [
  { name: "title", sort: "title", cell: titleCell },
  { name: "status", sort: "status", cell: statusCell },
  {
    name: "step",
    cell: (row, now) => {
      const people = (row.open ? row.approvers : row.decided_by).join(", ");
      const text = [row.step, people].filter(Boolean).join(": ");
      const old = text && row.step_stale ? note(asOf(row.step_at, now)) : null;
      return el("td", { "data-label": say("step") }, text, old);
    },
  },
  {
    name: "where",
    sort: "dag_id",
    cell: (row) => el("td", { class: "where" }, whereabouts(row)),
  },
  {
    name: "since",
    sort: "since",
    cell: (row, now) => timeCell("since", age(row.since, now)),
  },
];

const END = {
  waiting: { name: "deadline", sort: "deadline" },
  decided: { name: "decided_at", sort: "decided_at" },
  all: { name: "either", sort: "deadline" },
};

/**
 * The columns of a view: `{ name, sort, cell }`. `name` is the word in the heading, `sort` what the
 * server sorts by (without it the heading is no button), `cell(row, now)` the <td>.
 */
export function columns(view) {
  return [...COLUMNS, { ...END[view], cell: endCell }];
}

/** Until the decision the deadline, then when it was decided. */
function endCell(row, now) {
  if (row.open) return timeCell("deadline", deadline(row.deadline, now));
  return timeCell("decided_at", ago(row.decided_at, now));
}

function timeCell(label, time) {
  return el("td", { class: "time", "data-label": say(label) }, time);
}

function titleCell(row) {
  const key = [row.dag_id, row.run_id, row.task_id, row.map_index].join(" ");
  const page = airflowUrl(...taskPath(row), "plugin", "bkitsm-ticket");
  const number = { class: "small mono", "data-key": `sn ${key}` };
  return el(
    "td",
    { class: "title" },
    link(page, row.title || say("no_title"), { "data-key": `title ${key}` }),
    el("br"),
    itsmLink(row.ticket_url, row.sn || say("no_sn"), number),
    row.collector && note(`${say("collector")} ${row.collector}`),
  );
}

function statusCell(row, now) {
  const isObvious = row.open || row.reason_code === "approved";
  const hint = { class: "small stalled", title: say("stalled_more") };
  return el(
    "td",
    {},
    badge(row.status),
    row.stalled ? el("div", hint, say("stalled")) : null,
    row.stale ? note(unconfirmed(row, now)) : null,
    isObvious ? null : note(because(row.reason, row.reason_code)),
    note(heard(row, now)),
  );
}

function note(content) {
  return content ? el("div", { class: "small soft" }, content) : null;
}

/* The page */

export class Page {
  name = "approvals";

  constructor(address) {
    this.filters = filtersFrom(address);
  }

  load() {
    return ask(`api/v1/approvals?${query(this.filters)}`);
  }

  change(values) {
    this.filters = changed(this.filters, values);
    history.replaceState(null, "", `?${query(this.filters)}`);
    refresh();
  }

  start() {
    const bar = el(
      "div",
      { class: "bar" },
      el(
        "div",
        { class: "tabs", role: "group" },
        VIEWS.map((view) => this.tab(view)),
      ),
      this.mineButton(),
      this.searchField(),
      this.filters.run_id ? null : this.select("dag_id", "any_dag"),
      this.select("collector", "any_collector"),
    );
    const rows = el("div", { id: "rows" }, loading());
    const pages = el("div", { id: "pages", class: "pages" });
    frame(say("approvals"), bar, el("div", { id: "itsm" }), rows, pages);
  }

  draw(answer) {
    pulse(answer.now);
    if (!isNew(answer, this.filters)) return;
    this.drawFilters(answer);
    const down = el("div", { class: "notice", role: "status" }, say("down"));
    document.getElementById("itsm").replaceChildren(...(answer.itsm_answered ? [] : [down]));
    rememberFocus();
    const rows = answer.rows.length ? this.table(answer) : empty(emptyWord(this.filters));
    document.getElementById("rows").replaceChildren(rows);
    restoreFocus();
    document.getElementById("pages").replaceChildren(...this.pageButtons(answer));
  }

  clear() {
    document.getElementById("rows").replaceChildren();
  }

  tab(view) {
    const onclick = () => this.change({ view });
    return el("button", { type: "button", "data-view": view, onclick }, say(view));
  }

  mineButton() {
    const onclick = () => this.change({ mine: this.filters.mine ? "" : "true" });
    const attributes = { type: "button", id: "mine", class: "button", title: say("mine_more") };
    return el("button", { ...attributes, onclick }, say("mine"));
  }

  searchField() {
    let typing = 0;
    const oninput = (event) => {
      clearTimeout(typing);
      typing = setTimeout(() => this.change({ search: event.target.value }), TYPING);
    };
    return el("input", {
      type: "search",
      id: "search",
      placeholder: say("search"),
      "aria-label": say("search"),
      value: this.filters.search,
      maxlength: 200,
      oninput,
    });
  }

  select(name, label) {
    const onchange = (event) => this.change({ [name]: event.target.value });
    return el("select", { id: name, "aria-label": say(label), onchange });
  }

  drawFilters(answer) {
    const numbers = counts(answer);
    for (const tab of document.querySelectorAll("[data-view]")) {
      const { view } = tab.dataset;
      tab.setAttribute("aria-pressed", String(view === this.filters.view));
      tab.textContent = `${say(view)} ${numbers[view]}`;
    }
    const isMine = String(Boolean(this.filters.mine));
    document.getElementById("mine").setAttribute("aria-pressed", isMine);
    this.drawChoices("dag_id", answer.dags, say("any_dag"));
    this.drawChoices("collector", answer.collectors, say("any_collector"));
  }

  /** A filter whose choices are the same stays as it is: it may be open. */
  drawChoices(name, values, all) {
    const select = document.getElementById(name);
    if (!select) return;
    const offered = choices(values, this.filters[name]);
    select.hidden = !offered.length;
    const content = JSON.stringify([offered, all]);
    if (select.dataset.content === content) return;
    select.dataset.content = content;
    const options = offered.map((value) => el("option", { value }, value));
    select.replaceChildren(el("option", { value: "" }, all), ...options);
    select.value = this.filters[name];
  }

  table({ rows, now }) {
    return table(columns(this.filters.view), rows, now, {
      caption: "approvals",
      heading: (column) => this.heading(column),
      attributes: (row) => ({ "data-sn": row.sn, "data-status": row.status }),
    });
  }

  heading({ name, sort }) {
    if (!sort) return plainHeading({ name });
    const isChosen = this.filters.sort === sort;
    const isDescending = this.filters.descending === "true";
    const order = isDescending ? "descending" : "ascending";
    const arrow = isDescending ? " ↓" : " ↑";
    const onclick = () => this.change(orderAfterClick(this.filters, sort));
    const attributes = { type: "button", "data-key": `sort-${name}`, onclick };
    const button = el("button", attributes, say(name) + (isChosen ? arrow : ""));
    return el("th", { scope: "col", "aria-sort": isChosen ? order : "none" }, button);
  }

  pageButtons({ page, pages, total }) {
    return [
      el("span", { class: "soft small" }, say("page", page, pages, total)),
      this.pageButton("previous", page - 1, page > 1),
      this.pageButton("next", page + 1, page < pages),
    ];
  }

  pageButton(name, number, isThere) {
    const onclick = () => this.change({ page: String(number) });
    const attributes = { type: "button", class: "button", "data-key": name };
    return el("button", { ...attributes, disabled: !isThere, onclick }, say(name));
  }
}
