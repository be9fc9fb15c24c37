/* The columns of the list of approvals, and what their cells show. */

import { query } from "./api.js";
import { airflowUrl, badge, el, isNarrow, itsmLink, link, taskPath } from "./dom.js";
import { ago, asOf, deadline, heard, lasted, unconfirmed } from "./times.js";
import { because, say } from "./words.js";

/** So many of a ticket's tasks are shown at once; the others when they are asked for. */
const FEW = 3;

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
