/* The list of approvals: a row for each ticket, its tasks below its title. */

import { ask, keepAddress, query } from "./api.js";
import {
  airflowUrl,
  badge,
  el,
  empty,
  isNarrow,
  itsmLink,
  link,
  loading,
  plainHeading,
  rememberFocus,
  restoreFocus,
  table,
  taskPath,
} from "./dom.js";
import {
  Bar,
  addressOf,
  changed,
  emptyWord,
  filtersFrom,
  orderAfterClick,
  orderOf,
  requestOf,
} from "./filters.js";
import { frame, isNew, pulse, refresh } from "./page.js";
import { ago, asOf, deadline, heard, lasted, unconfirmed } from "./times.js";
import { because, say } from "./words.js";

/** So many of a ticket's tasks are shown at once; the others when they are asked for. */
const FEW = 3;

/* Columns */

const STATUS = { name: "status", sort: "status", cell: statusCell };
const STEP = {
  name: "step",
  cell: (row, now) => {
    const old = row.step && row.step_stale ? note(asOf(row.step_at, now)) : null;
    return cellOf("step", "step more", row.step, old);
  },
};
const PERSON = {
  name: "person_asked",
  cell: (row, now) => {
    const people = (row.open ? row.approvers : row.decided_by).join(", ");
    const old =
      row.open && people && !row.step && row.step_stale ? note(asOf(row.step_at, now)) : null;
    return cellOf(row.open ? "person_asked" : "by", "people", people, old);
  },
};
const DECIDER = { ...PERSON, name: "by" };
const EITHER_PERSON = { ...PERSON, name: "person_either" };
const ASKER = {
  name: "asked_by",
  cell: (row) => cellOf("asked_by", "people more", row.asked_by.join(", ")),
};
const SINCE = {
  name: "since",
  sort: "since",
  cell: (row, now) => timeCell("since", ago(row.since, now), "more"),
};
const DEADLINE = { name: "deadline", sort: "deadline", cell: endCell };
const DECIDED = { name: "decided_at", sort: "decided_at", cell: endCell };
const EITHER = { name: "either", sort: "deadline", cell: endCell };
const TOOK = {
  name: "time_to_decide",
  sort: "seconds_to_decide",
  cell: (row) => timeCell("time_to_decide", lasted(row.seconds_to_decide), "more"),
};
const REMARK = { name: "remark", cell: remarkCell };

const COLUMNS = {
  waiting: [STATUS, STEP, PERSON, ASKER, SINCE, DEADLINE],
  decided: [STATUS, DECIDER, ASKER, SINCE, DECIDED, TOOK, REMARK],
  all: [STATUS, STEP, EITHER_PERSON, ASKER, SINCE, EITHER, TOOK, REMARK],
};

/**
 * The columns of a view: `{ name, sort, cell }`. `name` is the word in the heading, `sort` what the
 * server sorts by (without it the heading is no button), `cell(row, now)` the <td>. `address` is
 * that of the list.
 */
export function columns(view, address = "") {
  const title = { name: "title", sort: "title", cell: (row) => titleCell(row, address) };
  return [title, ...COLUMNS[view]];
}

function cellOf(label, style, ...content) {
  return el("td", { class: style || null, "data-label": say(label) }, ...content);
}

function timeCell(label, time, style = "") {
  return cellOf(label, `time ${style}`.trim(), time);
}

/** Until the decision the deadline, then when it was decided. */
function endCell(row, now) {
  if (row.open) return timeCell("deadline", deadline(row.deadline, now));
  return timeCell("decided_at", ago(row.decided_at, now));
}

/** What names a row, whichever task says how its ticket stands. */
export function keyOf({ conn_id, sn, tasks }) {
  const [{ dag_id, run_id, task_id, map_index }] = tasks;
  return sn ? `${conn_id} ${sn}` : [dag_id, run_id, task_id, map_index].join(" ");
}

/** On a phone a ticket is a page of its own, with a way back; else it is in its task's tab. */
export function ticketAddress(row, address) {
  const [{ dag_id, run_id, task_id, map_index }] = row.tasks;
  if (!isNarrow()) return airflowUrl(...taskPath(row.tasks[0]), "plugin", "bkitsm-ticket");
  return `ticket?${query({ dag_id, run_id, task_id, map_index, list: address || "view=waiting" })}`;
}

function titleCell(row, address) {
  const key = keyOf(row);
  const title = row.title || say("no_title");
  const named = { "data-key": `title ${key}` };
  const page = ticketAddress(row, address);
  const number = { class: "small mono", "data-key": `sn ${key}` };
  return el(
    "td",
    { class: "title" },
    isNarrow() ? el("a", { href: page, ...named }, title) : link(page, title, named),
    el("br"),
    itsmLink(row.ticket_url, row.sn || say("no_sn"), number),
    row.collector && note(`${say("collector")} ${row.collector}`),
    taskList(row, key),
  );
}

function taskList(row, key) {
  const few = row.tasks.slice(0, FEW).map((task) => taskItem(task, row));
  const rest = row.tasks.slice(FEW).map((task) => taskItem(task, row));
  const unlisted = row.task_count - row.tasks.length;
  const last = unlisted > 0 ? el("li", {}, say("more_tasks", unlisted)) : null;
  const more = rest.length
    ? el(
        "details",
        { "data-open": key },
        el("summary", { "data-key": `tasks ${key}` }, say("more_tasks", row.task_count - FEW)),
        el("ul", {}, rest, last),
      )
    : null;
  return el("div", { class: "tasks small" }, el("ul", { "aria-label": say("where") }, few), more);
}

function taskItem(task, row) {
  const { dag_id, run_id, task_id, map_index, status } = task;
  const index = map_index >= 0 ? ` [${map_index}]` : "";
  return el(
    "li",
    {},
    link(airflowUrl("dags", dag_id), dag_id),
    " / ",
    link(airflowUrl("dags", dag_id, "runs", run_id), run_id),
    " / ",
    link(airflowUrl(...taskPath(task)), task_id + index),
    status === row.status ? null : [" ", badge(status)],
  );
}

function statusCell(row, now) {
  const isObvious = row.open || row.reason_code === "approved";
  const hint = { class: "small stalled", title: say("stalled_more") };
  return el(
    "td",
    { class: "status" },
    badge(row.status),
    row.stalled ? el("div", hint, say("stalled")) : null,
    row.stale ? note(unconfirmed(row, now)) : null,
    isObvious ? null : note(because(row.reason, row.reason_code)),
    note(heard(row, now)),
  );
}

function remarkCell(row) {
  const isOne = row.decided_by.length < 2;
  const lines = row.remarks.map(({ person, text }) => (isOne ? text : `${person}: ${text}`));
  const content = el("div", { class: "remarks", title: lines.join("\n") }, lines.join("\n"));
  return cellOf("remark", "remark-cell more", lines.length ? content : null);
}

function note(content) {
  return content ? el("div", { class: "small soft" }, content) : null;
}

/* The page */

export class Page {
  name = "approvals";

  constructor(address) {
    this.filters = filtersFrom(address);
    this.bar = new Bar({ filters: () => this.filters, change: (values) => this.change(values) });
    this.rows = [];
    this.picked = new Set();
  }

  /** What is known comes at once after a change; the next request waits a moment for ITSM. */
  async load() {
    const isQuick = this.isSoon;
    this.isSoon = false;
    const wait = isQuick ? "false" : "";
    const answer = await ask(`api/v1/tickets?${query({ ...requestOf(this.filters), wait })}`);
    return isQuick ? { ...answer, isQuick, rows: answer.rows.map(unasked) } : answer;
  }

  change(values) {
    this.filters = changed(this.filters, values);
    this.isSoon = true;
    keepAddress(addressOf(this.filters));
    refresh();
  }

  start() {
    const rows = el("div", { id: "rows" }, loading());
    // It stays in the page, so that screen readers say how many tickets a filter has left.
    const total = el("span", { id: "total", class: "soft small", role: "status" });
    const buttons = el("nav", { id: "pages", "aria-label": say("pages") });
    const pages = el("div", { class: "pages" }, total, buttons);
    const bulk = el("div", { id: "bulk" });
    frame(
      say("approvals"),
      ...this.bar.elements(!isNarrow()),
      el("div", { id: "itsm" }),
      bulk,
      rows,
      pages,
    );
  }

  draw(answer) {
    pulse(answer.now);
    if (!isNew(answer, this.filters)) return;
    this.rows = answer.rows;
    this.picked = pickedIn(this.rows, this.picked);
    this.bar.draw(answer);
    const down = el("div", { class: "notice", role: "status" }, say("down"));
    document.getElementById("itsm").replaceChildren(...(answer.itsm_answered ? [] : [down]));
    rememberFocus();
    replaceRows(answer.rows.length ? this.table(answer) : [empty(emptyWord(this.filters))]);
    restoreFocus();
    this.drawBulk();
    document.getElementById("pages").replaceChildren(...this.pageButtons(answer));
    const total = document.getElementById("total");
    if (total.textContent !== totalText(answer)) total.textContent = totalText(answer);
  }

  clear() {
    document.getElementById("rows").replaceChildren();
    document.getElementById("bulk").replaceChildren();
  }

  table({ rows, now }) {
    const listed = columns(this.filters.view, addressOf(this.filters));
    const picks = this.filters.view === "decided" ? [] : [this.pickColumn()];
    const sheet = table([...picks, ...listed], rows, now, {
      caption: "approvals",
      heading: (column) => this.heading(column),
      attributes: (row) => ({ "data-sn": row.sn, "data-status": row.status }),
    });
    // Cards have no headings.
    const all = picks.length
      ? el("label", { class: "narrow" }, this.pickAllBox(), say("pick_all"))
      : "";
    return [all, sheet];
  }

  heading({ name, sort, heading }) {
    if (heading) return heading();
    if (!sort) return plainHeading({ name });
    const order = orderOf(this.filters);
    const isChosen = order.sort === sort;
    const isDescending = order.descending === "true";
    const arrow = isDescending ? " ↓" : " ↑";
    const onclick = () => this.change(orderAfterClick(this.filters, sort));
    const attributes = { type: "button", "data-key": `sort-${name}`, onclick };
    const button = el(
      "button",
      attributes,
      say(name),
      isChosen ? el("span", { "aria-hidden": "true" }, arrow) : null,
    );
    const direction = isDescending ? "descending" : "ascending";
    return el("th", { scope: "col", "aria-sort": isChosen ? direction : "none" }, button);
  }

  /* Choosing rows, to do something to all of them */

  pickAllBox(attributes = {}) {
    const onchange = (event) => this.pickAll(event.target.checked);
    return el("input", { type: "checkbox", "data-pick-all": true, ...attributes, onchange });
  }

  pickColumn() {
    const box = (attributes, onchange) =>
      el("input", { type: "checkbox", ...attributes, onchange });
    return {
      name: "pick",
      heading: () => {
        const attributes = {
          id: "pick-all",
          "data-key": "pick-all",
          "aria-label": say("pick_all"),
        };
        return el("th", { scope: "col", class: "pick" }, this.pickAllBox(attributes));
      },
      cell: (row) => {
        if (!isPickable(row)) return el("td", { class: "pick" });
        const key = keyOf(row);
        const onchange = (event) => this.pick(key, event.target.checked);
        const attributes = {
          "data-key": `pick ${key}`,
          "data-pick": key,
          "aria-label": say("pick", row.title || row.sn),
          checked: this.picked.has(key),
        };
        return el("td", { class: "pick" }, box(attributes, onchange));
      },
    };
  }

  pick(key, isPicked) {
    if (isPicked) this.picked.add(key);
    else this.picked.delete(key);
    this.drawBulk();
  }

  pickAll(isPicked) {
    this.picked = new Set(isPicked ? this.rows.filter(isPickable).map(keyOf) : []);
    for (const box of document.querySelectorAll("[data-pick]")) box.checked = isPicked;
    this.drawBulk();
  }

  drawBulk() {
    const number = this.picked.size;
    const most = this.rows.filter(isPickable).length;
    for (const all of document.querySelectorAll("[data-pick-all]")) {
      all.checked = number > 0 && number === most;
      all.indeterminate = number > 0 && number < most;
      all.disabled = !most;
    }
    const place = document.getElementById("bulk");
    if (!number) {
      const isLeft = place.contains(document.activeElement);
      place.replaceChildren();
      if (isLeft) focusPickAll();
      return;
    }
    const count = say("picked", number);
    const present = document.getElementById("picked");
    if (present) {
      present.textContent = count;
      return;
    }
    const act = (name, style, onclick) =>
      el("button", { type: "button", class: style, id: name, onclick }, say(name));
    const bar = el(
      "div",
      { class: "bulk", role: "group", "aria-label": say("bulk") },
      el("strong", { id: "picked", role: "status" }, count),
      act("remind_many", "button", () => this.act("remindMany")),
      act("withdraw_many", "button risky", () => this.act("withdrawMany")),
      act("pick_none", "quiet", () => this.pickAll(false)),
    );
    place.replaceChildren(bar);
  }

  async act(name) {
    const dialogs = await import("./bulk.js");
    dialogs[name](this.rows.filter((row) => this.picked.has(keyOf(row))));
  }

  /* Its pages */

  pageButtons({ page, pages }) {
    return [
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

/** Where who works with the keyboard goes on when nothing is chosen any more. */
function focusPickAll() {
  const boxes = [...document.querySelectorAll("[data-pick-all]")];
  boxes.find((box) => box.checkVisibility())?.focus();
}

export function totalText({ page, pages, total }) {
  return say(total === 1 ? "page_one" : "page", page, pages, total);
}

/** Something can be done to a ticket with a number that ITSM has not decided yet. */
export function isPickable({ open, status, sn, conn_id }) {
  return Boolean(open && status !== "resuming" && sn && conn_id);
}

/** A row of which ITSM is being asked: that it has not confirmed it yet says nothing. */
function unasked(row) {
  return { ...row, stale: false };
}

/** What of the chosen rows is there still: only what a person sees is chosen. */
export function pickedIn(rows, picked) {
  return new Set(
    rows
      .filter(isPickable)
      .map(keyOf)
      .filter((key) => picked.has(key)),
  );
}

/** Draw the rows anew; a list of tasks that was opened stays open. */
function replaceRows(rows) {
  const place = document.getElementById("rows");
  const opened = [...place.querySelectorAll("details[open]")].map((one) => one.dataset.open);
  place.replaceChildren(...rows);
  for (const one of place.querySelectorAll("details")) {
    if (opened.includes(one.dataset.open)) one.open = true;
  }
}
