/* What a person can do with several tickets at once, in one dialog. They are sent one by one. */

import { post } from "./api.js";
import { isCopied, opened, reminderText, ticketOf, whyNot } from "./dialogs.js";
import { el } from "./dom.js";
import { because, say } from "./words.js";

/** The first task that a person may act by, as a request names it. */
export function targetOf(ticket) {
  const task = ticket.tasks.find((one) => one.may_change);
  return ticketOf({ ...task, sn: ticket.sn });
}

function reasonNot({ tasks, withdraw_by }) {
  return whyNot({ may_change: tasks.some((task) => task.may_change), withdraw_by });
}

/**
 * Send a request for each ticket, one after the other. `tell(ticket, state, text)` is called with
 * `sending`, then `done` or `failed`. Returns those that failed or, after `isStopped()`, were left.
 */
export async function oneByOne(tickets, { send, tell, isStopped }) {
  const left = [];
  for (const ticket of tickets) {
    if (isStopped()) {
      left.push(ticket);
      continue;
    }
    tell(ticket, "sending", say("sending"));
    try {
      await send(ticket);
      tell(ticket, "done", "");
    } catch (error) {
      tell(ticket, "failed", because(error.message));
      left.push(ticket);
    }
  }
  return left;
}

export function withdrawMany(tickets) {
  const may = tickets.filter((ticket) => ticket.may_withdraw);
  const reason = el("textarea", {
    id: "reason",
    maxlength: 255,
    "aria-label": say("reason"),
    placeholder: say("reason"),
  });
  const list = new Results(may, "withdrawn");
  const others = tickets.filter((ticket) => !ticket.may_withdraw);
  const field = el(
    "div",
    {},
    may.length ? [el("p", { class: "small" }, say("to_withdraw", may.length)), list.element] : null,
    others.length ? el("p", { class: "small" }, say("not_withdrawn", others.length)) : null,
    others.length ? listOf(others, reasonNot) : null,
    may.length ? reason : null,
  );
  const confirm = action("confirm", "button risky", say("withdraw_n", may.length));
  const { dialog, show } = opened("withdraw_many", "close", field, may.length ? confirm : null);
  const send = (ticket) =>
    post("api/v1/ticket/withdraw", { ...targetOf(ticket), reason: reason.value });
  const isReady = () => reason.value.trim() !== "";
  new Sending({ dialog, show, confirm, list, send, isReady, field: reason }).start(may);
}

export function remindMany(tickets) {
  const may = tickets.filter((ticket) => ticket.may_remind);
  const text = el("textarea", {
    id: "reminder",
    readonly: true,
    rows: 7,
    "aria-label": say("reminder_text"),
  });
  text.value = tickets.map((ticket) => reminderText(ticket, null)).join("\n\n");
  const list = new Results(may, "reminded");
  const word = may.length ? "to_remind" : "remind_many_copy";
  const field = el(
    "div",
    {},
    el("p", { class: "small" }, say(word, may.length || tickets.length)),
    may.length ? list.element : listOf(tickets, () => ""),
    text,
  );
  const confirm = action("confirm", "button main", say("send_n", may.length));
  const copy = action("copy", "button", say("copy"));
  const { dialog, show } = opened("remind_many", "close", field, copy, may.length ? confirm : null);
  copy.addEventListener("click", async () => {
    if (await isCopied(text)) show(say("copied"), "done");
    else show(say("copy_by_hand"), "");
  });
  const send = (ticket) => post("api/v1/ticket/remind", targetOf(ticket));
  new Sending({ dialog, show, confirm, list, send, isReady: () => true }).start(may);
}

/** Sends when its button is clicked, and once more those that failed. */
class Sending {
  constructor({ dialog, show, confirm, list, send, isReady, field = null }) {
    Object.assign(this, { dialog, show, confirm, list, send, isReady, field });
    this.isClosed = false;
    dialog.addEventListener("close", () => {
      this.isClosed = true;
    });
  }

  start(tickets) {
    this.left = tickets;
    const check = () => {
      this.confirm.disabled = !this.isReady();
    };
    this.field?.addEventListener("input", check);
    this.confirm.addEventListener("click", () => this.run());
    check();
    if (tickets.length && this.field) this.field.focus();
  }

  async run() {
    const sent = this.left.length;
    this.confirm.disabled = true;
    if (this.field) this.field.readOnly = true;
    this.left = await oneByOne(this.left, {
      send: this.send,
      tell: (ticket, state, text) => this.list.tell(ticket, state, text),
      isStopped: () => this.isClosed,
    });
    if (this.isClosed) return;
    const failed = this.left.length;
    if (failed) {
      this.show(say("some_failed", sent - failed, failed), "error");
      this.confirm.textContent = say("again_n", failed);
      this.confirm.disabled = false;
    } else {
      this.show(say("all_done", sent), "done");
      this.confirm.hidden = true;
      this.dialog.querySelector(".foot button")?.focus();
    }
  }
}

/** The tickets of a dialog, with what became of each. */
class Results {
  constructor(tickets, done) {
    this.done = done;
    this.lines = new Map(tickets.map((ticket) => [ticket, el("div", { class: "result small" })]));
    this.element = listOf(tickets, (ticket) => this.lines.get(ticket));
  }

  tell(ticket, state, text) {
    const line = this.lines.get(ticket);
    line.className = `result small ${state}`;
    line.replaceChildren(state === "done" ? `✓ ${say(this.done)}` : text);
  }
}

function listOf(tickets, beside) {
  const items = tickets.map((ticket) => {
    const number = ticket.title ? el("span", { class: "mono soft" }, ticket.sn) : null;
    const below = beside(ticket);
    return el(
      "li",
      { "data-result": ticket.sn },
      el("strong", {}, ticket.title || ticket.sn),
      number ? [" ", number] : null,
      typeof below === "string" ? el("div", { class: "small soft" }, below) : below,
    );
  });
  return el("ul", { class: "named", tabindex: "0", "aria-label": say("tickets") }, items);
}

function action(id, style, text) {
  return el("button", { type: "button", class: style, id }, text);
}
