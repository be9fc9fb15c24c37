/* One ticket. */

import { address, ask, query } from "./asking.js";
import { badge, card, el, empty, json, loading, pairs, toItsm, whereabouts } from "./dom.js";
import { reminder, withdrawal } from "./dialogs.js";
import { frame, isNew, pulse, show } from "./page.js";
import { deadline, exact, heard, passed, timed } from "./times.js";
import { because, language, say } from "./words.js";

const ticket = {
  name: "ticket",
  asked: { dag_id: address.dag_id, run_id: address.run_id, task_id: address.task_id, map_index: address.map_index || "-1" },
  load() { return ask(`api/ticket?${query(ticket.asked)}`); },
  start() { frame(say("ticket"), el("div", { id: "ticket" }, loading()), el("div", { id: "itsm-page" })); },
  lost(lasting) { if (lasting) document.getElementById("ticket").replaceChildren(); },
  draw(told) {
    pulse(told.now);
    if (!isNew(told)) return;
    const place = document.getElementById("ticket");
    const heading = document.querySelector("h1");
    if (!told.ticket) {
      heading.textContent = say("ticket");
      place.replaceChildren(empty("no_ticket"));
      return;
    }
    const row = told.ticket;
    ticket.itsm(told.frame_url);
    heading.textContent = row.title || told.story?.title || row.sn || say("no_title");
    place.replaceChildren(
      el("div", { class: "bar" }, badge(row.status), el("span", { class: "mono" }, row.sn || say("no_sn")),
        row.stale ? el("span", { class: "small soft" }, say("stale")) : null,
        row.ticket_url ? toItsm(row.ticket_url, say("open"), { class: "button", id: "open" }) : null,
        row.open && row.sn ? el("button", { type: "button", class: "button", id: "remind", onclick: () => reminder(row, told) }, say("remind")) : null,
        told.changes && row.open && row.sn ? el("button", { type: "button", class: "button risky", id: "withdraw", onclick: () => withdrawal(row) }, say("withdraw")) : null),
      row.stalled ? el("div", { class: "notice stalled", role: "status" }, `${say("stalled")}. ${say("stalled_more")}`) : "",
      told.problem ? el("div", { class: "notice", role: "status" }, say("no_story", told.problem)) : "",
      el("div", { class: "columns" },
        el("div", {}, told.story ? card("story", story(told.story, told.now)) : null, card("facts", facts(row, told))),
        el("div", {}, told.story?.form.length ? card("form", form(told.story.form)) : null, told.collector ? card("payload", payload(told.collector)) : null)));
  },
  /* Only if configured; it stays as it is while the ticket above it is drawn anew. */
  itsm(url) {
    const place = document.getElementById("itsm-page");
    if ((place.dataset.url ?? "") === (url ?? "")) return;
    place.dataset.url = url ?? "";
    const page = { src: url, title: say("itsm_page"), sandbox: "allow-scripts allow-same-origin allow-forms", referrerpolicy: "no-referrer", loading: "lazy" };
    place.replaceChildren(url ? card("itsm_page", el("iframe", page)) : "");
  },
};
function story(told, now) {
  return el("ol", { class: "story" }, told.entries.map((entry) => {
    // ITSM begins most of its messages with the name itself.
    const named = entry.people.some((one) => entry.message.startsWith(one));
    const who = named && entry.kind !== "pending" ? "" : entry.people.join(", ");
    const answer = { approved: "k_approved", refused: "k_refused", answered: "k_answered" }[entry.kind];
    const line = entry.kind === "pending" ? [el("strong", {}, entry.message), ` ${say("pending")} `, who] : [el("strong", {}, who), who ? " " : "", answer ? `${say(answer)}${entry.automatic ? ` ${say("k_automatic")}` : ""} · ` : "", entry.message];
    return el("li", { class: entry.kind }, ...line, entry.at ? el("div", { class: "small soft" }, timed(entry.at, `${exact(entry.at)} · ${passed(entry.at, now, say("ago", "{0}"))}`)) : null,
      entry.remark ? el("p", { class: "remark" }, entry.remark) : null);
  }));
}
function form(fields) {
  return el("dl", {}, fields.flatMap((field) => field.rows.length
    ? [el("dt", {}, field.name), el("dd", {}), pairs(...field.rows)]
    : [el("dt", {}, field.name), el("dd", {}, field.text)]));
}
function facts(row, told) {
  const told_of = told.story ?? {};
  return pairs(
    [say("where"), whereabouts(row)], [say("creator"), told_of.creator],
    [say("created"), row.since ? timed(row.since, exact(row.since)) : ""],
    [say("deadline"), row.deadline ? [timed(row.deadline, exact(row.deadline)), " · ", deadline(row.deadline, told.now)] : ""],
    [say("decided_at"), row.decided_at ? timed(row.decided_at, exact(row.decided_at)) : ""],
    [say("by"), row.decided_by.join(", ")], [say("heard"), heard(row, told.now)], [say("why"), row.reason_code === "approved" ? "" : because(row.reason, row.reason_code)], [say("connection"), row.conn_id]);
}
function payload(collector) {
  return el("div", {}, pairs([say("collector"), `${collector.collector_config_id} (${collector.bklog_conn_id})`],
    [say("status"), badge(collector.state, collector[language()])], [say("digest"), el("span", { class: "mono" }, collector.digest)]),
  el("br"), json(collector.payload));
}

show(ticket);
