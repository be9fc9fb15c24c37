/* What a person can do with a ticket, each in a dialog. */

import { post } from "./api.js";
import { el } from "./dom.js";
import { main, refresh } from "./page.js";
import { exact } from "./times.js";
import { because, say } from "./words.js";

export function withdrawal(row) {
  const reason = el("textarea", {
    id: "reason",
    maxlength: 255,
    "aria-label": say("reason"),
    placeholder: say("reason"),
  });
  const confirm = button("withdraw", { class: "button risky", id: "confirm", disabled: true });
  const { dialog, show } = opened("withdraw", "cancel", reason, confirm);
  const check = () => {
    confirm.disabled = !reason.value.trim();
  };
  reason.addEventListener("input", check);
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    try {
      await post("api/v1/ticket/withdraw", { ...ticketOf(row), reason: reason.value });
      dialog.close();
    } catch (error) {
      show(because(error.message), "error");
      check();
    }
  });
  reason.focus();
}

/** Why who looks cannot withdraw the ticket. */
export function whyNot({ may_change, withdraw_by }) {
  if (!may_change) return say("no_right");
  return withdraw_by.length ? say("only_by", withdraw_by.join(", ")) : say("withdraw_unknown");
}

/** A text to send by hand; where Airflow can send a reminder itself, also the button for it. */
export function reminder(row, { story, may_remind }) {
  const attributes = { id: "reminder", readonly: true, rows: 5 };
  const text = el("textarea", { ...attributes, "aria-label": say("remind") });
  text.value = reminderText(row, story);
  // What reminds them is the main thing where Airflow can do it.
  const copy = button("copy", { class: may_remind ? "button" : "button main", id: "copy" });
  const send = may_remind ? button("send", { class: "button main", id: "send" }) : null;
  const { show } = may_remind
    ? opened("remind_here", "close", text, copy, send)
    : opened("remind", "close", text, copy);
  copy.addEventListener("click", async () => {
    if (await isCopied(text)) show(say("copied"), "done");
    else show(say("copy_by_hand"), "");
  });
  send?.addEventListener("click", async () => {
    send.disabled = true;
    try {
      await post("api/v1/ticket/remind", ticketOf(row));
      show(say("sent"), "done");
    } catch (error) {
      show(because(error.message), "error");
      send.disabled = false;
    }
  });
  (send ?? copy).focus();
}

export function reminderText(row, story) {
  const title = row.title || story?.title || say("no_title");
  const lines = [
    say("r_waits", row.sn, title),
    row.approvers.length ? say("r_approvers", row.approvers.join(", ")) : "",
    row.since ? say("r_since", exact(row.since)) : "",
    row.ticket_url,
  ];
  return lines.filter(Boolean).join("\n");
}

/** The clipboard needs HTTPS; without it the selected text is copied in the browser's older way. */
export async function isCopied(text) {
  text.select();
  try {
    await navigator.clipboard.writeText(text.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}

/** Open a dialog; `show(text, kind)` writes a notice into it. */
export function opened(name, leave, field, ...buttons) {
  const result = el("div", {});
  const foot = el("div", { class: "foot" });
  const dialog = el(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    el("h1", { id: "dialog-title" }, say(name)),
    el("p", { class: "soft" }, say(`${name}_more`)),
    field,
    result,
    foot,
  );
  const away = button(leave, { class: "button", onclick: () => dialog.close() });
  foot.append(away, ...buttons.filter(Boolean));
  dialog.addEventListener("close", () => {
    dialog.remove();
    refresh();
  });
  main().append(dialog);
  dialog.showModal();
  const show = (text, kind) => {
    const role = kind === "error" ? "alert" : "status";
    result.replaceChildren(el("div", { class: `notice ${kind}`, role }, text));
  };
  return { dialog, show };
}

function button(name, attributes) {
  return el("button", { type: "button", ...attributes }, say(name));
}

/** What names a ticket in a request. */
export function ticketOf({ dag_id, run_id, task_id, map_index, sn }) {
  return { dag_id, run_id, task_id, map_index, sn };
}
