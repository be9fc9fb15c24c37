/* One ticket. */

import { ask, query } from "./api.js";
import { reminder, whyNot, withdrawal } from "./dialogs.js";
import { badge, card, el, empty, itsmLink, json, loading, pairs, whereabouts } from "./dom.js";
import { frame, isNew, pulse } from "./page.js";
import { agoText, deadline, exact, heard, lasted, timed, unconfirmed } from "./times.js";
import { because, language, say } from "./words.js";

/** The task whose ticket is shown. */
export function taskFrom({ dag_id, run_id, task_id, map_index }) {
  return { dag_id, run_id, task_id, map_index: map_index || "-1" };
}

/* Its story */

const ANSWERS = { approved: "k_approved", refused: "k_refused", answered: "k_answered" };

export function storyList(entries, now) {
  return el(
    "ol",
    { class: "story" },
    entries.map((entry) => storyItem(entry, now)),
  );
}

function storyItem(entry, now) {
  const line = entry.kind === "pending" ? pendingLine(entry) : pastLine(entry);
  return el(
    "li",
    { class: entry.kind },
    ...line,
    entry.at ? el("div", { class: "small soft" }, momentOf(entry.at, now)) : null,
    entry.remark ? el("p", { class: "remark" }, entry.remark) : null,
  );
}

function pendingLine({ message, people }) {
  return [el("strong", {}, message), ` ${say("pending")} `, people.join(", ")];
}

function pastLine({ kind, message, people, automatic }) {
  // ITSM begins most of its messages with the name itself.
  const isNamed = people.some((name) => message.startsWith(name));
  const who = isNamed ? "" : people.join(", ");
  const by = automatic ? ` ${say("k_automatic")}` : "";
  const answer = kind in ANSWERS ? `${say(ANSWERS[kind])}${by} · ` : "";
  return [el("strong", {}, who), who ? " " : "", answer, message];
}

function momentOf(iso, now) {
  return timed(iso, `${exact(iso)} · ${agoText(iso, now)}`);
}

/* Its form, its facts, its collector */

function formList(fields) {
  const lines = fields.map(({ name, text, rows }) => {
    const value = rows.length ? [el("dd", {}), pairs(...rows)] : [el("dd", {}, text)];
    return [el("dt", {}, name), ...value];
  });
  return el("dl", {}, lines.flat());
}

/** Names and values about a ticket; what is not there yet has no value. */
export function facts(row, { story, now }) {
  const moment = (iso) => (iso ? timed(iso, exact(iso)) : "");
  const isApproved = row.reason_code === "approved";
  return pairs(
    [say("where"), whereabouts(row)],
    [say("asked_by"), row.asked_by.join(", ")],
    [say("creator"), story?.creator],
    [say("created"), moment(row.since)],
    [say("deadline"), row.deadline && [moment(row.deadline), " · ", deadline(row.deadline, now)]],
    [say("decided_at"), moment(row.decided_at)],
    [say("by"), row.decided_by.join(", ")],
    [say("took"), lasted(row.seconds_to_decide)],
    [say("heard"), heard(row, now)],
    [say("why"), isApproved ? "" : because(row.reason, row.reason_code)],
    [say("connection"), row.conn_id],
  );
}

function collectorContent(collector) {
  const name = `${collector.collector_config_id} (${collector.bklog_conn_id})`;
  const lines = pairs(
    [say("collector"), name],
    [say("status"), badge(collector.state, collector[language()])],
    [say("digest"), el("span", { class: "mono" }, collector.digest)],
  );
  return el("div", {}, lines, el("br"), json(collector.payload));
}

/* The page */

export class Page {
  name = "ticket";

  constructor(address) {
    this.task = taskFrom(address);
    this.list = address.list ?? "";
  }

  load() {
    return ask(`api/v1/ticket?${query(this.task)}`);
  }

  start() {
    const ticket = el("div", { id: "ticket" }, loading());
    frame(say("ticket"), ticket, el("div", { id: "itsm-page" }));
    if (this.list) {
      const back = el("a", { id: "back", href: `approvals?${this.list}` }, say("back"));
      document.querySelector(".top").before(el("nav", { class: "back" }, back));
    }
  }

  clear() {
    document.getElementById("ticket").replaceChildren();
  }

  draw(answer) {
    pulse(answer.now);
    if (!isNew(answer)) return;
    const { ticket: row, story } = answer;
    const heading = document.querySelector("h1");
    const place = document.getElementById("ticket");
    if (!row) {
      heading.textContent = say("ticket");
      place.replaceChildren(empty("no_ticket"));
      return;
    }
    this.drawItsmPage(answer.frame_url);
    heading.textContent = row.title || story?.title || row.sn || say("no_title");
    place.replaceChildren(this.bar(row, answer), ...notices(row, answer), cards(row, answer));
  }

  bar(row, answer) {
    const isLive = row.open && row.sn;
    const open = { class: "button", id: "open" };
    return el(
      "div",
      { class: "bar" },
      badge(row.status),
      el("span", { class: "mono" }, row.sn || say("no_sn")),
      row.stale ? el("span", { class: "small soft" }, unconfirmed(row, answer.now)) : null,
      row.ticket_url ? itsmLink(row.ticket_url, say("open"), open) : null,
      isLive ? button("remind", "button", () => reminder(row, answer)) : null,
      isLive && answer.may_withdraw
        ? button("withdraw", "button risky", () => withdrawal(row))
        : null,
      isLive && !answer.may_withdraw
        ? el("span", { id: "may-not", class: "small soft" }, whyNot(answer))
        : null,
    );
  }

  /** ITSM's own page, where it is configured; it stays while the ticket above is drawn anew. */
  drawItsmPage(url) {
    const place = document.getElementById("itsm-page");
    if ((place.dataset.url ?? "") === (url ?? "")) return;
    place.dataset.url = url ?? "";
    const attributes = {
      src: url,
      title: say("itsm_page"),
      sandbox: "allow-scripts allow-same-origin allow-forms",
      referrerpolicy: "no-referrer",
      loading: "lazy",
    };
    place.replaceChildren(url ? card("itsm_page", el("iframe", attributes)) : "");
  }
}

function button(name, style, onclick) {
  return el("button", { type: "button", class: style, id: name, onclick }, say(name));
}

function notices(row, { problem }) {
  const stalled = `${say("stalled")}. ${say("stalled_more")}`;
  return [
    row.stalled ? el("div", { class: "notice stalled", role: "status" }, stalled) : "",
    problem ? el("div", { class: "notice", role: "status" }, say("no_story", problem)) : "",
  ];
}

function cards(row, answer) {
  const { story, collector, now } = answer;
  return el(
    "div",
    { class: "columns" },
    el(
      "div",
      {},
      story ? card("story", storyList(story.entries, now)) : null,
      card("facts", facts(row, answer)),
    ),
    el(
      "div",
      {},
      story?.form.length ? card("form", formList(story.form)) : null,
      collector ? card("payload", collectorContent(collector)) : null,
    ),
  );
}
