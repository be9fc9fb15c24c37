/* The list of approvals: a row for each ticket, its tasks below its title. */

import { ask, keepAddress, query } from "./api.js";
import { columns, keyOf } from "./approvals_columns.js";
import {
  el,
  empty,
  isNarrow,
  loading,
  plainHeading,
  rememberFocus,
  restoreFocus,
  table,
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
import { say } from "./words.js";

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
