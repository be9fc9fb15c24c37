/* One ticket. */

import { ask, query } from "./api.js";
import { reminder, whyNot, withdrawal } from "./dialogs.js";
import { badge, card, el, empty, itsmLink, json, loading, pairs, whereabouts } from "./dom.js";
import { frame, isNew, pulse } from "./page.js";
import { agoText, deadline, exact, heard, lasted, span, timed, unconfirmed } from "./times.js";
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
  return [el("strong", {}, message), ` ${say("pending", people.join(", "))}`];
}

function pastLine(entry) {
  if (language() === "en" && entry.sentence) return toldLine(entry);
  const { kind, message, people, automatic } = entry;
  // ITSM begins most of its messages with the name itself.
  const isNamed = people.some((name) => message.startsWith(name));
  const who = isNamed ? "" : people.join(", ");
  const by = automatic ? ` ${say("k_automatic")}` : "";
  const answer = kind in ANSWERS ? `${say(ANSWERS[kind])}${by} · ` : "";
  return [el("strong", {}, who), who ? " " : "", answer, message];
}

/** ITSM's Chinese sentence in our words: the original on hover, and behind it for who listens. */
function toldLine({ message, automatic, sentence }) {
  const { action, person, step, to, note } = sentence;
  const by = automatic && ["approved", "refused", "answered"].includes(action);
  const words = [say(`log_${action}`, step, to), by ? say("k_automatic") : ""].filter(Boolean);
  const text = [words.join(" "), note].filter(Boolean).join(": ");
  return [
    person ? el("strong", {}, person) : "",
    person ? " " : "",
    el("span", { class: "told", title: message }, text),
    el("span", { class: "hidden", lang: "zh-CN" }, ` ${message}`),
  ];
}

function momentOf(iso, now) {
  return timed(iso, `${exact(iso)} · ${agoText(iso, now)}`);
}

/* Its reminders */

const REMINDER_KINDS = { merged: "answered", refused: "refused", given_up: "refused" };

/** Which reminders went out and what is due next; null where there is neither. */
export function reminderList({ reminders, next_reminder: next, now }) {
  if (!reminders.length && !next) return null;
  return el("ol", { class: "story" }, [
    ...reminders.map((one) => sentReminder(one, now)),
    next ? nextReminder(next, now) : null,
  ]);
}

function sentReminder({ kind, state, at, recipients }, now) {
  return el(
    "li",
    { class: REMINDER_KINDS[state] ?? null, "data-state": state },
    say(`rem_${kind}_${state}`, recipients.join(", ") || say("rem_nobody")),
    el("div", { class: "small soft" }, momentOf(at, now)),
  );
}

function nextReminder({ kind, at }, now) {
  const left = new Date(at) - new Date(now);
  const when = `${exact(at)} · ${say("in", span(left))}`;
  return el(
    "li",
    { class: "pending", "data-state": "next" },
    say(`rem_${kind}_next`),
    el("div", { class: "small soft" }, timed(at, when)),
  );
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
export function facts(row, { story, decision, now }) {
  const moment = (iso) => (iso ? timed(iso, exact(iso)) : "");
  const isApproved = row.reason_code === "approved";
  // What the decision's own card says is not said twice.
  const isElsewhere = Boolean(decision);
  return pairs(
    [say("where"), whereabouts(row)],
    [say("asked_by"), row.asked_by.join(", ")],
    [say("creator"), story?.creator],
    [say("created"), moment(row.since)],
    [say("deadline"), row.deadline && [moment(row.deadline), " · ", deadline(row.deadline, now)]],
    [say("decided_at"), isElsewhere ? "" : moment(row.decided_at)],
    [say("by"), row.decided_by.join(", ")],
    [say("time_to_decide"), isElsewhere ? "" : lasted(row.seconds_to_decide)],
    [say("heard"), heard(row, now)],
    [say("why"), isApproved || isElsewhere ? "" : because(row.reason, row.reason_code)],
    [say("connection"), row.conn_id],
  );
}

/* What was asked, whether it is what runs, and what was decided */

const MATCHES = { same: "done", differs: "error", unknown: "" };

/** What the task asked, beside what it would run. */
export function askedContent({ asked, story }) {
  const { match, differences } = asked;
  // Where ITSM shows no form, what was sent stands in for it.
  const sent = story?.form.length ? [] : asked.fields;
  const digest = (text) => text && el("span", { class: "mono" }, text);
  return [
    el("p", { class: `notice ${MATCHES[match]}`.trim(), "data-match": match }, say(`m_${match}`)),
    differences.length ? el("ul", { class: "differences" }, differences.map(difference)) : null,
    pairs(
      [say("item"), asked.item],
      [say("item_digest"), digest(asked.item_digest)],
      [say("asked_digest"), digest(asked.digest)],
      [say("runs_digest"), asked.runs_digest === asked.digest ? "" : digest(asked.runs_digest)],
      [say("requester"), asked.requester],
      [say("run_by"), asked.run_by],
      [say("round"), asked.round_number > 1 ? String(asked.round_number) : ""],
    ),
    sent.length ? formList(sent) : null,
  ];
}

function difference({ key, sent, now }) {
  if (key === "digest") return el("li", {}, say("d_digest", sent, now));
  return el("li", {}, now === null ? say("d_missing", key, sent) : say("d_field", key, sent, now));
}

/** Who decided what, when, in which time, and by which lines of the log. */
export function decisionContent({ decision, ticket: row }) {
  const { answers, evidence, seconds } = decision;
  const why = row.reason_code === "approved" ? "" : because(row.reason, row.reason_code);
  return [
    pairs(
      [say("status"), badge(decision.outcome)],
      [say("decided_at"), row.decided_at ? timed(row.decided_at, exact(row.decided_at)) : ""],
      [say("time_to_decide"), lasted(seconds)],
      [say("why"), why],
      [
        say("evidence"),
        evidence.length ? el("ul", { class: "plain" }, evidence.map(proof)) : noProof(decision),
      ],
    ),
    el("ol", { class: "story" }, answers.map(answerItem)),
  ];
}

const ANSWER_KINDS = new Map([
  [true, "approved"],
  [false, "refused"],
  [null, "answered"],
]);

function answerItem({ operator, approved, remark, decided_at, automatic }) {
  const kind = ANSWER_KINDS.get(approved);
  const by = automatic ? ` ${say("k_automatic")}` : "";
  return el(
    "li",
    { class: kind },
    el("strong", {}, operator || say("system")),
    ` ${say(`k_${kind}`)}${by}`,
    decided_at ? el("div", { class: "small soft" }, timed(decided_at, exact(decided_at))) : null,
    remark ? el("p", { class: "remark" }, remark) : null,
  );
}

function proof({ step, operator, approved, at, automatic }) {
  const by = automatic ? ` ${say("k_automatic")}` : "";
  const who = `${operator || say("system")} ${say(`k_${ANSWER_KINDS.get(approved)}`)}${by}`;
  return el(
    "li",
    {},
    [step, who].filter(Boolean).join(" · "),
    at ? [" · ", timed(at, exact(at))] : "",
  );
}

function noProof({ outcome, evidence_required }) {
  if (outcome !== "approved") return "";
  return say(evidence_required ? "no_evidence" : "evidence_waived");
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
  const reminders = reminderList(answer);
  return el(
    "div",
    { class: "columns" },
    el(
      "div",
      {},
      answer.decision ? card("decision", ...decisionContent(answer)) : null,
      story ? card("story", storyList(story.entries, now)) : null,
      reminders ? card("reminders", reminders) : null,
      card("facts", facts(row, answer)),
    ),
    el(
      "div",
      {},
      answer.asked ? card("runs", ...askedContent(answer)) : null,
      story?.form.length ? card("form", formList(story.form)) : null,
      collector ? card("payload", collectorContent(collector)) : null,
    ),
  );
}
