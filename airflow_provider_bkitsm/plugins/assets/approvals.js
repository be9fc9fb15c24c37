/* The approvals pages. Everything a person or ITSM wrote gets into the page as text, never as HTML. */
"use strict";
(() => {
  const WORDS = {
    en: {
      approvals: "Approvals", collectors: "Collectors", ticket: "Ticket",
      waiting: "Waiting", decided: "Decided", all: "All",
      search: "Search number, title, DAG, run, person", any_dag: "All DAGs", any_collector: "All collectors",
      title: "Ticket", status: "Status", step: "Step and approvers", where: "DAG, run, task", since: "Age",
      deadline: "Deadline", decided_at: "Decided", either: "Deadline or decision", collector: "Collector",
      s_waiting: "Waiting", s_suspended: "Suspended", s_resuming: "Resuming", s_approved: "Approved",
      s_rejected: "Rejected", s_withdrawn: "Withdrawn", s_terminated: "Terminated", s_timed_out: "Timed out",
      s_ended: "Wait ended",
      h_resuming: "Decided in ITSM, or on its way: the task goes on in a moment",
      h_ended: "The task ended without a decision of the ticket",
      no_title: "(title not known yet)", no_sn: "(number not known)",
      stale: "not confirmed by ITSM", down: "ITSM does not answer. This is what Airflow knows; it may be old.",
      ago: "{0} ago", in: "in {0}", overdue: "overdue by {0}", now: "just now", never: "none",
      d: "{0} d {1} h", h: "{0} h {1} min", m: "{0} min",
      loading: "Loading …", updated: "Updated {0}",
      empty_waiting: "Nothing waits", empty_waiting_more: "No task of the DAGs you may read waits for an approval.",
      empty_decided: "Nothing decided yet", empty_decided_more: "Decisions of the last 30 days appear here.",
      empty_search: "Nothing found", empty_search_more: "No ticket matches these filters.",
      empty_collectors: "No collectors", empty_collectors_more: "No DAG you may read has applied for one.",
      no_ticket: "No ticket", no_ticket_more: "This task has no ITSM ticket, or not yet.",
      failed: "Airflow does not answer ({0}). Trying again.",
      signed_out: "You are signed out. Reload Airflow to sign in.", forbidden: "You may not see this.",
      previous: "Previous", next: "Next", page: "Page {0} of {1}, {2} tickets",
      open: "Open in ITSM", withdraw: "Withdraw ticket", cancel: "Cancel", reason: "Why? It is written on the ticket.",
      withdraw_more: "ITSM withdraws the ticket in your name, if it lets you. The task that waits does not go on.",
      story: "What happened", form: "What was asked", facts: "About", payload: "ETL payload", digest: "Digest",
      creator: "Asked by", created: "Created", by: "Decided by", why: "Reason", connection: "Connection",
      pending: "waits for", k_approved: "approved", k_refused: "refused", k_answered: "answered",
      no_story: "ITSM does not tell about this ticket now: {0}",
      states: "States", history: "History", event: "Event", change: "Change", when: "When", run: "Run", note: "Note",
      choose: "Choose a collector to see its path.", last_error: "Last error", application: "Application {0}",
    },
    zh: {
      approvals: "审批", collectors: "采集项", ticket: "单据",
      waiting: "待审批", decided: "已处理", all: "全部",
      search: "搜索单号、标题、DAG、运行、人员", any_dag: "所有 DAG", any_collector: "所有采集项",
      title: "单据", status: "状态", step: "当前步骤与审批人", where: "DAG、运行、任务", since: "已等待",
      deadline: "截止时间", decided_at: "处理时间", either: "截止或处理时间", collector: "采集项",
      s_waiting: "待审批", s_suspended: "已挂起", s_resuming: "恢复中", s_approved: "已通过",
      s_rejected: "已拒绝", s_withdrawn: "已撤单", s_terminated: "已终止", s_timed_out: "已超时", s_ended: "等待已结束",
      h_resuming: "ITSM 中已有结果，任务即将继续", h_ended: "任务已结束，单据没有审批结果",
      no_title: "（标题未知）", no_sn: "（单号未知）",
      stale: "未经 ITSM 确认", down: "ITSM 无响应，以下为 Airflow 已知的信息，可能不是最新。",
      ago: "{0}前", in: "{0}后", overdue: "已超期 {0}", now: "刚刚", never: "无",
      d: "{0} 天 {1} 小时", h: "{0} 小时 {1} 分钟", m: "{0} 分钟",
      loading: "加载中……", updated: "{0}更新",
      empty_waiting: "没有待审批的单据", empty_waiting_more: "您可查看的 DAG 中没有任务在等待审批。",
      empty_decided: "暂无已处理的单据", empty_decided_more: "最近 30 天的审批结果会显示在这里。",
      empty_search: "没有找到", empty_search_more: "没有符合条件的单据。",
      empty_collectors: "没有采集项", empty_collectors_more: "您可查看的 DAG 没有申请过采集接入。",
      no_ticket: "没有单据", no_ticket_more: "该任务没有 ITSM 单据，或尚未创建。",
      failed: "Airflow 无响应（{0}），正在重试。",
      signed_out: "您已退出登录，请刷新 Airflow 重新登录。", forbidden: "您没有查看权限。",
      previous: "上一页", next: "下一页", page: "第 {0} 页，共 {1} 页，{2} 条",
      open: "在 ITSM 中打开", withdraw: "撤单", cancel: "取消", reason: "撤单原因（会写入单据）",
      withdraw_more: "ITSM 将以您的名义撤销单据（须有权限）。等待中的任务不会继续执行。",
      story: "处理记录", form: "申请内容", facts: "基本信息", payload: "ETL 配置", digest: "摘要",
      creator: "提单人", created: "提单时间", by: "处理人", why: "原因", connection: "连接",
      pending: "等待处理：", k_approved: "通过", k_refused: "拒绝", k_answered: "已处理",
      no_story: "暂时无法从 ITSM 读取该单据：{0}",
      states: "状态", history: "变更历史", event: "事件", change: "状态变化", when: "时间", run: "运行", note: "备注",
      choose: "选择一个采集项查看其状态流转。", last_error: "最近错误", application: "第 {0} 次申请",
    },
  };
  /* The provider gives its reasons in English. */
  const REASONS_ZH = {
    "refused by an approver": "审批人拒绝",
    "the ticket finished, but its verdict is missing or unreadable": "单据已结束，但审批结果缺失或无法识别",
    "the ticket finished without any visible approval step that says yes": "单据已结束，但没有可见的审批通过记录",
    "the ticket was withdrawn": "单据已被撤销",
    "the ticket was terminated": "单据已被终止",
    "nobody decided while the DAG waited": "DAG 等待期间无人处理",
  };
  const EVERY_MS = 5000;
  const root = document.documentElement;
  const page = root.dataset.page;
  const framed = window.parent !== window;
  const address = parameters();

  /* Theme and language are the ones chosen in Airflow, which keeps both in this origin's storage. */

  function stored(name) {
    try { return localStorage.getItem(name) || ""; } catch { return ""; }
  }
  function language() {
    return (stored("i18nextLng") || navigator.language || "").toLowerCase().startsWith("zh") ? "zh" : "en";
  }
  function theme() {
    const chosen = stored("theme");
    const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    return dark ? "dark" : "light";
  }
  function dress() {
    root.dataset.theme = theme();
    root.lang = language() === "zh" ? "zh-CN" : "en";
    document.title = say(page === "approvals" ? "approvals" : page === "ticket" ? "ticket" : "collectors");
  }
  function because(reason) {
    return language() === "zh" ? REASONS_ZH[reason] ?? reason : reason;
  }
  function say(key, ...values) {
    return (WORDS[language()][key] ?? key).replace(/\{(\d)\}/g, (_, number) => values[number] ?? "");
  }

  /* Airflow 3.1 puts ids into the address as they are: a plus sign is a plus sign. */
  function parameters() {
    const found = {};
    for (const pair of location.search.slice(1).split("&")) {
      const [name, ...value] = pair.split("=");
      let text = value.join("=");
      try { text = decodeURIComponent(text); } catch { /* as it is */ }
      if (name && !/^\{[A-Z_]+\}$/.test(text)) found[name] = text;
    }
    return found;
  }
  function query(values) {
    const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
    return given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  }

  /* Elements. Strings become text nodes. */

  function el(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== ""));
    return made;
  }
  function svg(name, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /* Airflow's frame lets no link of ours leave it, but its own document may open what we ask for. */
  function follow(event) {
    const link = event.currentTarget;
    if (!framed || (event.type === "auxclick" && event.button !== 1)) return;
    event.preventDefault();
    const another = event.ctrlKey || event.metaKey || event.type === "auxclick" || link.target === "_blank";
    const outside = window.parent.document.createElement("a");
    outside.href = link.href;
    outside.rel = "noopener noreferrer";
    if (another) outside.target = "_blank";
    outside.click();
  }
  function link(href, text, attributes = {}) {
    const on = { onclick: follow, onauxclick: follow };
    return el("a", { href, rel: "noopener noreferrer", ...on, ...attributes }, text);
  }
  function toItsm(url, text, attributes = {}) {
    return /^https?:\/\//i.test(url || "") ? link(url, text, { target: "_blank", ...attributes }) : el("span", {}, text);
  }
  function airflow(...parts) {
    return new URL(`../${parts.map(encodeURIComponent).join("/")}`, location.href).href;
  }
  function taskPath(row) {
    const mapped = row.map_index >= 0 ? ["mapped", String(row.map_index)] : [];
    return ["dags", row.dag_id, "runs", row.run_id, "tasks", row.task_id, ...mapped];
  }
  function whereabouts(row) {
    const index = row.map_index >= 0 ? ` [${row.map_index}]` : "";
    return [
      link(airflow("dags", row.dag_id), row.dag_id), el("br"),
      link(airflow("dags", row.dag_id, "runs", row.run_id), row.run_id, { class: "small" }), el("br"),
      link(airflow(...taskPath(row)), row.task_id + index, { class: "small" }),
    ];
  }

  /* Times: ages by the server's clock, moments in the reader's zone. */

  function span(milliseconds) {
    const minutes = Math.max(0, Math.floor(milliseconds / 60000)), hours = Math.floor(minutes / 60);
    if (minutes < 60) return say("m", minutes);
    if (hours < 24) return say("h", hours, minutes % 60);
    return say("d", Math.floor(hours / 24), hours % 24);
  }
  function exact(iso) {
    return new Intl.DateTimeFormat(root.lang, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso));
  }
  function timed(iso, text, attributes = {}) {
    return iso ? el("time", { datetime: iso, title: exact(iso), ...attributes }, text) : "";
  }
  function passed(iso, now, said = "{0}") {
    const milliseconds = new Date(now) - new Date(iso);
    return milliseconds < 60000 ? say("now") : said.replace("{0}", span(milliseconds));
  }
  function age(iso, now) {
    return timed(iso, iso && passed(iso, now));
  }
  function ago(iso, now) {
    return timed(iso, iso && passed(iso, now, say("ago", "{0}")));
  }
  function deadline(iso, now) {
    if (!iso) return "";
    const left = new Date(iso) - new Date(now);
    return timed(iso, left >= 0 ? say("in", span(left)) : say("overdue", span(-left)), { class: left < 0 ? "bad" : null });
  }
  function badge(status, text) {
    const hint = WORDS.en[`h_${status}`] ? say(`h_${status}`) : null;
    return el("span", { class: `badge ${status}`, title: hint }, text ?? say(`s_${status}`));
  }

  /* Asking Airflow, again and again; a page that nobody looks at asks nothing. */

  class Refused extends Error {}

  async function ask(path, options = {}) {
    const answer = await fetch(path, { credentials: "same-origin", ...options });
    if (answer.ok) return answer.json();
    if (answer.status === 401) throw new Refused(say("signed_out"));
    if (answer.status === 403) throw new Refused(say("forbidden"));
    let detail = "";
    try { detail = (await answer.json()).detail; } catch { /* no JSON */ }
    const error = new Error(typeof detail === "string" && detail ? detail : `HTTP ${answer.status}`);
    error.status = answer.status;
    throw error;
  }

  const main = () => document.getElementById("main");
  let timer = 0, turn = 0, failures = 0;

  async function refresh() {
    clearTimeout(timer);
    const mine = ++turn;
    try {
      const told = await PAGES[page].load();
      if (mine !== turn) return;
      failures = 0;
      notice("");
      PAGES[page].draw(told);
    } catch (error) {
      if (mine !== turn) return;
      failures += 1;
      const lasting = error instanceof Refused;
      notice(lasting ? error.message : say("failed", error.message));
      PAGES[page].lost(lasting);
      if (lasting) return;
    }
    if (!document.hidden) timer = setTimeout(refresh, Math.min(EVERY_MS * 2 ** failures, 60000));
  }
  function notice(text) {
    const place = document.getElementById("problem");
    if (place) place.replaceChildren(...(text ? [el("div", { class: "notice error", role: "alert" }, text)] : []));
  }
  function empty(what) {
    return el("div", { class: "empty" }, el("strong", {}, say(what)), say(`${what}_more`));
  }
  function loading() {
    return el("div", { class: "empty loading", role: "status" }, say("loading"));
  }
  function frame(title, ...more) {
    main().replaceChildren(
      el("div", { class: "top" }, el("h1", {}, title), el("span", { id: "pulse", class: "pulse soft small" })),
      el("div", { id: "problem" }), ...more,
    );
  }
  /* What is selected, scrolled or opened stays so until there is something new to show; ages count minutes. */
  let drawn = "";
  function isNew(told, ...more) {
    const shown = JSON.stringify([told, ...more, told.now.slice(0, 16)], (key, value) => (key === "read_at" || key === "now" ? undefined : value));
    if (shown === drawn || document.querySelector("dialog[open]")) return false;
    drawn = shown;
    return true;
  }
  function pulse(now) {
    document.getElementById("pulse")?.replaceChildren(say("updated", new Intl.DateTimeFormat(root.lang, { timeStyle: "medium" }).format(new Date(now))));
  }

  /* The list. */

  const list = {
    wanted: {
      view: address.view || "waiting", search: address.search || "", dag_id: address.dag_id || "",
      run_id: address.run_id || "", collector: address.collector || "", sort: address.sort || "since",
      descending: address.descending ?? "true", page: address.page || "1",
    },
    load() { return ask(`api/approvals?${query(list.wanted)}`); },
    change(values) {
      Object.assign(list.wanted, { page: "1" }, values);
      history.replaceState(null, "", `?${query(list.wanted)}`);
      refresh();
    },
    start() {
      const tab = (view) => el("button", { type: "button", "data-view": view, onclick: () => list.change({ view }) }, say(view));
      const select = (name) => el("select", { id: name, "aria-label": say(name === "dag_id" ? "any_dag" : "any_collector"), onchange: (event) => list.change({ [name]: event.target.value }) });
      let typed = 0;
      const search = el("input", {
        type: "search", id: "search", placeholder: say("search"), "aria-label": say("search"), value: list.wanted.search, maxlength: 200,
        oninput: (event) => { clearTimeout(typed); typed = setTimeout(() => list.change({ search: event.target.value }), 250); },
      });
      frame(
        say("approvals"),
        el("div", { class: "bar" }, el("div", { class: "tabs", role: "group" }, ["waiting", "decided", "all"].map(tab)), search,
          list.wanted.run_id ? null : select("dag_id"), select("collector")),
        el("div", { id: "itsm" }), el("div", { id: "rows" }, loading()), el("div", { id: "pages", class: "pages" }),
      );
    },
    draw(told) {
      pulse(told.now);
      if (!isNew(told, list.wanted)) return;
      for (const button of document.querySelectorAll("[data-view]")) {
        const view = button.dataset.view;
        const count = { waiting: told.waiting, decided: told.decided, all: told.waiting + told.decided }[view];
        button.setAttribute("aria-pressed", String(view === list.wanted.view));
        button.textContent = `${say(view)} ${count}`;
      }
      options("dag_id", told.dags, say("any_dag"));
      options("collector", told.collectors, say("any_collector"));
      document.getElementById("itsm").replaceChildren(...(told.itsm ? [] : [el("div", { class: "notice", role: "status" }, say("down"))]));
      document.getElementById("rows").replaceChildren(told.rows.length ? list.table(told) : list.nothing());
      restore();
      list.pages(told);
    },
    lost(lasting) { if (lasting) document.getElementById("rows").replaceChildren(); },
    nothing() {
      const filtered = list.wanted.search || list.wanted.dag_id || list.wanted.collector;
      return empty(filtered ? "empty_search" : list.wanted.view === "waiting" ? "empty_waiting" : "empty_decided");
    },
    table(told) {
      remember();
      const last = { waiting: ["deadline", "deadline"], decided: ["decided_at", "decided_at"], all: ["either", "deadline"] }[list.wanted.view];
      const columns = [["title", "title"], ["status", "status"], ["step", null], ["where", "dag_id"], ["since", "since"], last];
      const head = columns.map(([name, sort]) => list.heading(name, sort));
      return el("div", { class: "sheet" }, el("table", {},
        el("caption", { class: "hidden" }, say("approvals")),
        el("thead", {}, el("tr", {}, head)),
        el("tbody", {}, told.rows.map((row) => list.row(row, told.now)))));
    },
    heading(name, sort) {
      if (!sort) return el("th", { scope: "col" }, say(name));
      const chosen = list.wanted.sort === sort, down = list.wanted.descending === "true";
      const arrow = chosen ? (down ? " ↓" : " ↑") : "";
      const click = () => list.change({ sort, descending: String(chosen ? !down : true) });
      return el("th", { scope: "col", "aria-sort": chosen ? (down ? "descending" : "ascending") : "none" },
        el("button", { type: "button", "data-key": `sort-${name}`, onclick: click }, say(name) + arrow));
    },
    row(row, now) {
      const key = [row.dag_id, row.run_id, row.task_id, row.map_index].join(" ");
      const people = (row.open ? row.approvers : row.decided_by).join(", ");
      const notes = [row.stale ? say("stale") : "", row.open ? "" : row.status === "approved" ? "" : because(row.reason)];
      return el("tr", { "data-sn": row.sn, "data-status": row.status },
        el("td", { class: "title" },
          link(airflow(...taskPath(row), "plugin", "bkitsm-ticket"), row.title || say("no_title"), { "data-key": `title ${key}` }), el("br"),
          toItsm(row.ticket_url, row.sn || say("no_sn"), { class: "small mono", "data-key": `sn ${key}` }),
          row.collector ? el("div", { class: "small soft" }, `${say("collector")} ${row.collector}`) : null),
        el("td", {}, badge(row.status), notes.filter(Boolean).map((text) => el("div", { class: "small soft" }, text))),
        el("td", { "data-label": say("step") }, [row.step, people].filter(Boolean).join(": ")),
        el("td", { class: "where" }, whereabouts(row)),
        el("td", { class: "time", "data-label": say("since") }, age(row.since, now)),
        el("td", { class: "time", "data-label": say(row.open ? "deadline" : "decided_at") }, row.open ? deadline(row.deadline, now) : ago(row.decided_at, now)));
    },
    pages(told) {
      const go = (number) => list.change({ page: String(number) });
      const button = (name, number, can) => el("button", { type: "button", class: "button", disabled: !can, "data-key": name, onclick: () => go(number) }, say(name));
      document.getElementById("pages").replaceChildren(
        el("span", { class: "soft small" }, say("page", told.page, told.pages, told.total)),
        button("previous", told.page - 1, told.page > 1), button("next", told.page + 1, told.page < told.pages));
    },
  };
  function options(id, values, all) {
    const select = document.getElementById(id);
    if (!select) return;
    const chosen = list.wanted[id];
    const shown = chosen && !values.includes(chosen) ? [chosen, ...values] : values;
    select.hidden = !shown.length;
    if (select.dataset.shown === JSON.stringify([shown, all])) return;
    select.dataset.shown = JSON.stringify([shown, all]);
    select.replaceChildren(el("option", { value: "" }, all), ...shown.map((one) => el("option", { value: one }, one)));
    select.value = chosen;
  }

  /* Who works with the keyboard keeps their place when the rows are drawn anew. */
  let kept = null;
  function remember() { kept = document.activeElement?.dataset?.key ?? null; }
  function restore() {
    if (kept === null) return;
    [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === kept)?.focus({ preventScroll: true });
    kept = null;
  }

  /* One ticket. */

  const ticket = {
    asked: { dag_id: address.dag_id, run_id: address.run_id, task_id: address.task_id, map_index: address.map_index || "-1" },
    load() { return ask(`api/ticket?${query(ticket.asked)}`); },
    start() { frame(say("ticket"), el("div", { id: "ticket" }, loading())); },
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
      heading.textContent = row.title || told.story?.title || row.sn || say("no_title");
      place.replaceChildren(
        el("div", { class: "bar" }, badge(row.status), el("span", { class: "mono" }, row.sn || say("no_sn")),
          row.stale ? el("span", { class: "small soft" }, say("stale")) : null,
          row.ticket_url ? toItsm(row.ticket_url, say("open"), { class: "button", id: "open" }) : null,
          told.changes && row.open && row.sn ? el("button", { type: "button", class: "button risky", id: "withdraw", onclick: () => withdrawal(row) }, say("withdraw")) : null),
        told.problem ? el("div", { class: "notice", role: "status" }, say("no_story", told.problem)) : null ?? "",
        el("div", { class: "columns" },
          el("div", {}, told.story ? card("story", story(told.story, told.now)) : null, card("facts", facts(row, told))),
          el("div", {}, told.story?.form.length ? card("form", form(told.story.form)) : null, told.collector ? card("payload", payload(told.collector)) : null)));
    },
  };
  function card(name, ...content) {
    return el("section", { class: "card", "data-card": name }, el("h2", {}, say(name)), ...content);
  }
  function pairs(...lines) {
    return el("dl", {}, lines.filter(([, value]) => value !== "" && value !== null && value !== undefined)
      .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, ...[value].flat())]));
  }
  function story(told, now) {
    return el("ol", { class: "story" }, told.entries.map((entry) => {
      // ITSM begins most of its messages with the name itself.
      const named = entry.people.some((one) => entry.message.startsWith(one));
      const who = named && entry.kind !== "pending" ? "" : entry.people.join(", ");
      const answer = { approved: "k_approved", refused: "k_refused", answered: "k_answered" }[entry.kind];
      const line = entry.kind === "pending" ? [el("strong", {}, entry.message), ` ${say("pending")} `, who] : [el("strong", {}, who), who ? " " : "", answer ? `${say(answer)} · ` : "", entry.message];
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
      [say("by"), row.decided_by.join(", ")], [say("why"), row.status === "approved" ? "" : because(row.reason)], [say("connection"), row.conn_id]);
  }
  function payload(collector) {
    return el("div", {}, pairs([say("collector"), `${collector.collector_config_id} (${collector.bklog_conn_id})`],
      [say("status"), badge(collector.state, collector[language()])], [say("digest"), el("span", { class: "mono" }, collector.digest)]),
    el("br"), json(collector.payload));
  }
  function json(value) {
    return el("details", { open: true }, el("summary", {}, "JSON"), el("pre", { class: "mono", tabindex: "0" }, JSON.stringify(value, null, 2)));
  }
  function withdrawal(row) {
    const problem = el("div", {});
    const reason = el("textarea", { id: "reason", maxlength: 255, "aria-label": say("reason"), placeholder: say("reason") });
    const go = el("button", { type: "button", class: "button risky", id: "confirm" }, say("withdraw"));
    const dialog = el("dialog", { "aria-labelledby": "asks" }, el("h1", { id: "asks" }, say("withdraw")), el("p", { class: "soft" }, say("withdraw_more")), reason, problem,
      el("div", { class: "foot" }, el("button", { type: "button", class: "button", onclick: () => dialog.close() }, say("cancel")), go));
    go.addEventListener("click", async () => {
      go.disabled = true;
      const { dag_id, run_id, task_id, map_index, sn } = row;
      const wish = { dag_id, run_id, task_id, map_index, sn, reason: reason.value };
      try {
        await ask("api/ticket/withdraw", { method: "POST", headers: { "Content-Type": "application/json", "X-Bkitsm-Action": "1" }, body: JSON.stringify(wish) });
        dialog.close();
      } catch (error) {
        problem.replaceChildren(el("div", { class: "notice error", role: "alert" }, error.message));
        go.disabled = !reason.value.trim();
      }
    });
    go.disabled = true;
    reason.addEventListener("input", () => { go.disabled = !reason.value.trim(); });
    dialog.addEventListener("close", () => { dialog.remove(); refresh(); });
    main().append(dialog);
    dialog.showModal();
    reason.focus();
  }

  /* Collectors. */

  const collectors = {
    chosen: address.bklog_conn_id ? { bklog_conn_id: address.bklog_conn_id, collector_config_id: address.collector_config_id } : null,
    async load() {
      const told = await ask("api/collectors");
      if (!collectors.chosen && told.rows.length) collectors.chosen = collectors.key(told.rows[0]);
      const one = collectors.chosen && (await ask(`api/collector?${query(collectors.chosen)}`).catch((error) => { if (error.status === 404) return null; throw error; }));
      return { ...told, one };
    },
    key(row) { return { bklog_conn_id: row.bklog_conn_id, collector_config_id: String(row.collector_config_id) }; },
    start() { frame(say("collectors"), el("div", { id: "collectors" }, loading())); },
    lost(lasting) { if (lasting) document.getElementById("collectors").replaceChildren(); },
    draw(told) {
      pulse(told.now);
      if (!isNew(told, collectors.chosen)) return;
      remember();
      document.getElementById("collectors").replaceChildren(told.rows.length ? el("div", { class: "columns" }, collectors.table(told), el("div", {}, told.one ? collectors.one(told.one, told.now) : empty("choose"))) : empty("empty_collectors"));
      restore();
    },
    table(told) {
      const mine = JSON.stringify(collectors.chosen);
      return el("div", { class: "sheet" }, el("table", {}, el("caption", { class: "hidden" }, say("collectors")),
        el("thead", {}, el("tr", {}, ["collector", "status", "title", "when"].map((name) => el("th", { scope: "col" }, say(name))))),
        el("tbody", {}, told.rows.map((row) => {
          const key = collectors.key(row), name = `${row.collector_config_id}`;
          const choose = () => { collectors.chosen = key; history.replaceState(null, "", `?${query(key)}`); refresh(); };
          return el("tr", { class: JSON.stringify(key) === mine ? "chosen" : null, "data-collector": name },
            el("td", {}, el("button", { type: "button", class: "button", "data-key": JSON.stringify(key), "aria-pressed": String(JSON.stringify(key) === mine), onclick: choose }, name), el("div", { class: "small soft" }, row.bklog_conn_id)),
            el("td", {}, badge(row.state, row[language()])),
            el("td", {}, link(airflow(...taskPath(row)), row.sn || "…", { class: "mono" })),
            el("td", { class: "time" }, ago(row.updated_at, told.now)));
        }))));
    },
    one(told, now) {
      return [
        card("states", drawing(told.picture), told.error ? el("div", { class: "notice error" }, `${say("last_error")}: ${told.error}`) : null),
        card("history", el("div", { class: "sheet" }, el("table", {}, el("thead", {}, el("tr", {}, ["when", "event", "change", "note"].map((name) => el("th", { scope: "col" }, say(name))))),
          el("tbody", {}, [...told.history].reverse().map((entry) => el("tr", {},
            el("td", { class: "time" }, ago(entry.at, now)), el("td", {}, el("span", { class: "mono" }, entry.event), el("div", { class: "small soft" }, say("application", entry.application))),
            el("td", { class: "small" }, entry.from_state === entry.to_state ? entry.to_state : `${entry.from_state} → ${entry.to_state}`),
            el("td", { class: "small" }, [entry.sn, entry.reason].filter(Boolean).join(" · "))))))),
        ), card("payload", pairs([say("digest"), el("span", { class: "mono" }, told.digest)]), el("br"), json(told.payload)),
      ].flat().reduce((all, one) => (all.append(one), all), el("div", {}));
    },
  };
  function drawing(picture) {
    const arrow = (id) => svg("marker", { id, class: id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M 0 0 L 8 4 L 0 8 z" }));
    const ways = picture.ways.map((way) => svg("path", { class: `way ${way.times ? "gone" : ""}`, d: way.path, "marker-end": `url(#${way.times ? "gone" : "open"})`, "data-way": `${way.start} ${way.end}` }));
    const boxes = picture.boxes.flatMap((box) => {
      const chosen = [box.current ? "current" : "", box.visited ? "visited" : ""].join(" ");
      const label = svg("text", { x: box.x, y: box.y - 7 }), sub = svg("text", { x: box.x, y: box.y + 10, class: "sub" });
      label.textContent = language() === "zh" ? box.zh : box.state;
      sub.textContent = language() === "zh" ? box.state : box.en;
      return [svg("rect", { class: `box ${box.state} ${chosen}`, x: box.x - box.width / 2, y: box.y - box.height / 2, width: box.width, height: box.height, rx: 8 }), label, sub];
    });
    const title = svg("title");
    title.textContent = say("states");
    return svg("svg", { viewBox: `0 0 ${picture.width} ${picture.height}`, role: "img" }, title, svg("defs", {}, arrow("open"), arrow("gone")), ...ways, ...boxes);
  }

  const PAGES = { approvals: list, ticket, collectors };

  function start() {
    drawn = "";
    dress();
    PAGES[page].start();
    refresh();
  }
  dress();
  document.addEventListener("DOMContentLoaded", start);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  window.addEventListener("storage", (event) => {
    if (event.key === "i18nextLng") start();
    if (event.key === "theme") dress();
  });
})();
