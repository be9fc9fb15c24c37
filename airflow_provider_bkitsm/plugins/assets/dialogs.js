/* What a person does about a ticket, each in a dialog. */

import { post } from "./asking.js";
import { el } from "./dom.js";
import { main, refresh } from "./page.js";
import { exact } from "./times.js";
import { because, say } from "./words.js";

export function withdrawal(row) {
  const reason = el("textarea", { id: "reason", maxlength: 255, "aria-label": say("reason"), placeholder: say("reason") });
  const go = button("withdraw", { class: "button risky", id: "confirm", disabled: true });
  const { dialog, tell } = opened("withdraw", reason, go);
  const check = () => { go.disabled = !reason.value.trim(); };
  reason.addEventListener("input", check);
  go.addEventListener("click", async () => {
    go.disabled = true;
    try {
      await post("api/ticket/withdraw", { ...named(row), reason: reason.value });
      dialog.close();
    } catch (error) {
      tell(because(error.message), "error");
      check();
    }
  });
  reason.focus();
}

/* A text to send by hand; where Airflow can send a reminder itself, also the button for it. */
export function reminder(row, told) {
  const text = el("textarea", { id: "reminder", readonly: true, rows: 5, "aria-label": say("remind") });
  text.value = reminding(row, told.story);
  const copy = button("copy", { class: "button main", id: "copy" });
  const send = told.reminds ? button("send", { class: "button", id: "send" }) : null;
  const { tell } = opened("remind", text, send, copy);
  copy.addEventListener("click", async () => {
    const copied = await copies(text);
    copied ? tell(say("copied"), "done") : tell(say("copy_by_hand"), "");
  });
  send?.addEventListener("click", async () => {
    send.disabled = true;
    try {
      await post("api/ticket/remind", named(row));
      tell(say("sent"), "done");
    } catch (error) {
      tell(because(error.message), "error");
      send.disabled = false;
    }
  });
  copy.focus();
}
function reminding(row, story) {
  const lines = [
    say("r_waits", row.sn, row.title || story?.title || say("no_title")),
    row.approvers.length ? say("r_approvers", row.approvers.join(", ")) : "",
    row.since ? say("r_since", exact(row.since)) : "",
    row.ticket_url,
  ];
  return lines.filter(Boolean).join("\n");
}

/* The clipboard wants HTTPS; without it the text is selected, for the browser's older way or the person's own. */
async function copies(text) {
  text.select();
  try {
    await navigator.clipboard.writeText(text.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}

function opened(name, field, ...buttons) {
  const told = el("div", {});
  const cancel = button(name === "remind" ? "close" : "cancel", { class: "button", onclick: () => dialog.close() });
  const dialog = el("dialog", { "aria-labelledby": "asks" },
    el("h1", { id: "asks" }, say(name)), el("p", { class: "soft" }, say(`${name}_more`)), field, told,
    el("div", { class: "foot" }, cancel, ...buttons));
  dialog.addEventListener("close", () => { dialog.remove(); refresh(); });
  main().append(dialog);
  dialog.showModal();
  const tell = (text, kind) => {
    const role = kind === "error" ? "alert" : "status";
    told.replaceChildren(el("div", { class: `notice ${kind}`, role }, text));
  };
  return { dialog, tell };
}
function button(name, attributes) {
  return el("button", { type: "button", ...attributes }, say(name));
}
function named({ dag_id, run_id, task_id, map_index, sn }) {
  return { dag_id, run_id, task_id, map_index, sn };
}
