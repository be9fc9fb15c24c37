/* The filters of the list: in the page's address, in its bar, and in what is asked of Airflow. */

import { query } from "./api.js";
import { el, isNarrow, link } from "./dom.js";
import { language, say } from "./words.js";

export const VIEWS = ["waiting", "decided", "all"];
const OPEN = ["waiting", "suspended", "resuming"];
const DECIDED = ["approved", "rejected", "withdrawn", "terminated", "timed_out", "ended"];
export const STATUSES = { waiting: OPEN, decided: DECIDED, all: [...OPEN, ...DECIDED] };
const BOTH = [
  ["since", "since"],
  ["title", "title"],
  ["status", "status"],
];
const TOOK = ["seconds_to_decide", "time_to_decide"];
/** What the list is sorted by where it has no headings, with the words for it. */
const ORDERS = {
  waiting: [["deadline", "deadline"], ...BOTH],
  decided: [["decided_at", "decided_at"], ...BOTH, TOOK],
  all: [["deadline", "either"], ...BOTH, TOOK],
};
const TYPING = 250;

/* In the address. Without an order, the nearest deadline comes first, then the latest decision. */

const DEFAULTS = {
  view: "waiting",
  mine: "",
  search: "",
  status: "",
  conn_id: "",
  dag_id: "",
  run_id: "",
  collector: "",
  person: "",
  from: "",
  to: "",
  sort: "",
  descending: "",
  page: "1",
};
const CHOSEN = ["status", "conn_id", "dag_id", "collector", "person", "from", "to"];

export function filtersFrom(address) {
  const isFilter = ([name, value]) => Object.hasOwn(DEFAULTS, name) && value !== "";
  const filters = {
    ...DEFAULTS,
    ...Object.fromEntries(Object.entries(address).filter(isFilter)),
  };
  if (!VIEWS.includes(filters.view)) filters.view = DEFAULTS.view;
  return { ...filters, status: statusIn(filters) };
}

/** The filters after a change, which leads back to the first page unless it names one. */
export function changed(filters, values) {
  const next = { ...filters, page: "1", ...values };
  return { ...next, status: statusIn(next) };
}

/** A status that the view never shows is no filter of it. */
function statusIn({ view, status }) {
  return STATUSES[view].includes(status) ? status : "";
}

/** What of the filters has to be in an address that leads here again. */
export function addressOf(filters) {
  const isChosen = ([name, value]) => value !== DEFAULTS[name];
  return query(Object.fromEntries(Object.entries(filters).filter(isChosen)));
}

/** The order that is shown: the chosen one, else that of the view. */
export function orderOf({ view, sort, descending }) {
  if (sort) return { sort, descending: descending || "true" };
  return view === "decided"
    ? { sort: "decided_at", descending: "true" }
    : { sort: "deadline", descending: "false" };
}

/** The order after a click on a heading: the next in time or alphabet first, then the reverse. */
export function orderAfterClick(filters, sort) {
  const order = orderOf(filters);
  const isAscending = order.sort === sort && order.descending === "false";
  return { sort, descending: String(isAscending) };
}

/** How many filters are chosen in the second line of the bar. */
export function chosen(filters) {
  return CHOSEN.filter((name) => filters[name] && !(name === "dag_id" && filters.run_id)).length;
}

export function nothingChosen() {
  return Object.fromEntries(CHOSEN.map((name) => [name, ""]));
}

/** What is asked of Airflow. Among decided tickets, the period is of the decision. */
export function requestOf(filters) {
  const { from, to, page, sort, descending, ...rest } = filters;
  const period = filters.view === "decided" ? "decided_at" : "since";
  return {
    ...rest,
    [`${period}_gte`]: midnight(from, 0),
    [`${period}_lt`]: midnight(to, 1),
    ...orderOf(filters),
    page,
  };
}

export function csvAddress(filters) {
  const { page, ...rest } = requestOf(filters);
  return `api/v1/tickets.csv?${query({ ...rest, language: language() })}`;
}

/** The beginning of a day in the reader's time zone, some days later; empty for what is no day. */
function midnight(day, later) {
  const [year, month, date] = (/^(\d{4})-(\d\d)-(\d\d)$/.exec(day) ?? []).slice(1).map(Number);
  const time = new Date(year, month - 1, date + later);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}

/** The word for a list without rows. */
export function emptyWord(filters) {
  // The tab of a run names the run's DAG, which nobody chose there.
  if (filters.mine || filters.search || chosen(filters)) return "empty_search";
  return filters.run_id ? "empty_run" : `empty_${filters.view}`;
}

/** What a filter offers: the values in the list, and the chosen one even when no row has it. */
export function choices(values, value) {
  return value && !values.includes(value) ? [value, ...values] : values;
}

/** How many tickets each view has. */
export function counts({ waiting, decided }) {
  return { waiting, decided, all: waiting + decided };
}

/* In the bar */

/** The controls. `filters()` are the present ones, `change(values)` changes some of them. */
export class Bar {
  constructor({ filters, change }) {
    this.filters = filters;
    this.change = change;
  }

  elements(isWide) {
    const { run_id } = this.filters();
    const line = el(
      "div",
      { class: "bar" },
      el(
        "div",
        { class: "tabs", role: "group", "aria-label": say("approvals") },
        VIEWS.map((view) => this.tab(view)),
      ),
      this.mineButton(),
      this.searchField(),
      link("#", say("csv"), { id: "csv", class: "button", download: "", title: say("csv_more") }),
    );
    const more = el(
      "details",
      { id: "filters", class: "filters", open: isWide || chosen(this.filters()) > 0 },
      el("summary", { id: "filters-word" }, say("filters")),
      el(
        "div",
        { class: "bar" },
        this.select("status", "any_status"),
        this.select("conn_id", "any_connection"),
        run_id ? null : this.select("dag_id", "any_dag"),
        this.select("collector", "any_collector"),
        this.personField(),
        el("datalist", { id: "people" }),
        this.dayField("from"),
        this.dayField("to"),
        this.sortField(),
        this.clearButton(),
      ),
    );
    return [line, more];
  }

  tab(view) {
    const onclick = () => this.change({ view });
    return el("button", { type: "button", "data-view": view, onclick }, say(view));
  }

  mineButton() {
    const onclick = () => this.change({ mine: this.filters().mine ? "" : "true" });
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
      value: this.filters().search,
      maxlength: 200,
      oninput,
    });
  }

  personField() {
    return el("input", {
      id: "person",
      list: "people",
      placeholder: say("person"),
      "aria-label": say("person_more"),
      title: say("person_more"),
      value: this.filters().person,
      maxlength: 200,
      autocomplete: "off",
      onchange: (event) => this.change({ person: event.target.value.trim() }),
    });
  }

  /** Where there are cards, and no headings to click on. */
  sortField() {
    const onchange = ({ target }) => {
      const [sort, descending] = target.value.split(" ");
      this.change({ sort, descending });
    };
    return el("select", { id: "sort", class: "narrow", "aria-label": say("order"), onchange });
  }

  dayField(name) {
    const onchange = (event) => this.change({ [name]: event.target.value });
    const field = el("input", { type: "date", id: name, value: this.filters()[name], onchange });
    return el("label", { class: "day" }, el("span", { "data-day": name }, say(name)), field);
  }

  clearButton() {
    const onclick = () => {
      this.change(nothingChosen());
      for (const name of ["person", "from", "to"]) document.getElementById(name).value = "";
      for (const name of ["status", "conn_id", "dag_id", "collector"]) {
        const select = document.getElementById(name);
        if (select) select.value = "";
      }
      document.getElementById(isNarrow() ? "filters-word" : "status").focus();
    };
    const attributes = { type: "button", id: "clear", class: "quiet", hidden: true };
    return el("button", { ...attributes, onclick }, say("clear"));
  }

  select(name, label) {
    const onchange = (event) => this.change({ [name]: event.target.value });
    return el("select", { id: name, "aria-label": say(label), onchange });
  }

  draw(answer) {
    const filters = this.filters();
    const numbers = counts(answer);
    for (const tab of document.querySelectorAll("[data-view]")) {
      const { view } = tab.dataset;
      tab.setAttribute("aria-pressed", String(view === filters.view));
      tab.textContent = `${say(view)} ${numbers[view]}`;
    }
    const isMine = String(Boolean(filters.mine));
    document.getElementById("mine").setAttribute("aria-pressed", isMine);
    document.getElementById("csv").href = csvAddress(filters);
    const statuses = STATUSES[filters.view].map((status) => [status, say(`s_${status}`)]);
    this.drawChoices("status", statuses, say("any_status"));
    this.drawChoices(
      "conn_id",
      severalOf(answer.connections, filters.conn_id),
      say("any_connection"),
    );
    this.drawChoices("dag_id", named(answer.dags, filters.dag_id), say("any_dag"));
    this.drawChoices(
      "collector",
      named(answer.collectors, filters.collector),
      say("any_collector"),
    );
    this.drawOrders();
    this.drawPeople(answer.people);
    const number = chosen(filters);
    document.getElementById("clear").hidden = !number;
    const word = number ? say("filters_n", number) : say("filters");
    document.getElementById("filters-word").textContent = word;
    const kind = filters.view === "decided" ? "decided" : "opened";
    for (const day of document.querySelectorAll("[data-day]")) {
      day.textContent = say(`${kind}_${day.dataset.day}`);
    }
  }

  /** A filter whose choices are the same stays as it is: it may be open. */
  drawChoices(name, offered, all) {
    const select = document.getElementById(name);
    if (!select) return;
    select.hidden = !offered.length;
    const content = JSON.stringify([offered, all]);
    if (select.dataset.content !== content) {
      select.dataset.content = content;
      const options = offered.map(([value, text]) => el("option", { value }, text));
      select.replaceChildren(el("option", { value: "" }, all), ...options);
    }
    const value = this.filters()[name];
    if (select.value !== value) select.value = value;
  }

  drawOrders() {
    const select = document.getElementById("sort");
    const { sort, descending } = orderOf(this.filters());
    const orders = ORDERS[this.filters().view];
    const offered = orders.flatMap(([name, word]) => [
      [`${name} false`, `${say(word)} ↑`],
      [`${name} true`, `${say(word)} ↓`],
    ]);
    select.replaceChildren(...offered.map(([value, text]) => el("option", { value }, text)));
    select.value = `${sort} ${descending}`;
  }

  drawPeople(people) {
    const list = document.getElementById("people");
    const content = JSON.stringify(people);
    if (list.dataset.content === content) return;
    list.dataset.content = content;
    list.replaceChildren(...people.map((value) => el("option", { value })));
  }
}

function named(values, value) {
  return choices(values, value).map((one) => [one, one]);
}

/** One connection is no choice. */
function severalOf(values, value) {
  return values.length > 1 || value ? named(values, value) : [];
}
