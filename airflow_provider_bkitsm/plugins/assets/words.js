/* Every word of the pages, in both languages; the language is the one chosen in Airflow. */

export const WORDS = {
  en: {
    approvals: "Approvals", collectors: "Collectors", ticket: "Ticket",
    waiting: "Waiting", decided: "Decided", all: "All",
    mine: "Mine", mine_more: "Waits for me, opened in my name, run started by me, or decided by me",
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
    remind: "Remind", close: "Close", copy: "Copy", send: "Send",
    remind_more: "ITSM has no reminder for an open ticket. Send this text where the approvers will read it.",
    copied: "Copied.", copy_by_hand: "The text is selected: copy it with your keyboard.", sent: "The reminder was sent.",
    r_waits: "ITSM ticket {0} waits for approval: {1}", r_approvers: "Approvers: {0}", r_since: "Waiting since: {0}",
    polled: "polled {0}", by_callback: "seen by callback", by_poll: "seen by polling", heard: "Last heard",
    itsm_page: "ITSM page",
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
    mine: "与我有关", mine_more: "待我审批、以我的名义提单、由我触发运行或由我处理",
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
    remind: "催办", close: "关闭", copy: "复制", send: "发送",
    remind_more: "ITSM 不支持对未结束的单据发送提醒，请将以下内容发送给审批人。",
    copied: "已复制。", copy_by_hand: "内容已选中，请用键盘复制。", sent: "提醒已发送。",
    r_waits: "ITSM 单据 {0} 等待审批：{1}", r_approvers: "审批人：{0}", r_since: "等待开始时间：{0}",
    polled: "{0}轮询", by_callback: "由回调得知", by_poll: "由轮询得知", heard: "最近获知",
    itsm_page: "ITSM 页面",
    story: "处理记录", form: "申请内容", facts: "基本信息", payload: "ETL 配置", digest: "摘要",
    creator: "提单人", created: "提单时间", by: "处理人", why: "原因", connection: "连接",
    pending: "等待处理：", k_approved: "通过", k_refused: "拒绝", k_answered: "已处理",
    no_story: "暂时无法从 ITSM 读取该单据：{0}",
    states: "状态", history: "变更历史", event: "事件", change: "状态变化", when: "时间", run: "运行", note: "备注",
    choose: "选择一个采集项查看其状态流转。", last_error: "最近错误", application: "第 {0} 次申请",
  },
};
/* What the provider says in English. */
const REASONS_ZH = {
  "refused by an approver": "审批人拒绝",
  "the ticket finished, but its verdict is missing or unreadable": "单据已结束，但审批结果缺失或无法识别",
  "the ticket finished without any visible approval step that says yes": "单据已结束，但没有可见的审批通过记录",
  "the ticket was withdrawn": "单据已被撤销",
  "the ticket was terminated": "单据已被终止",
  "nobody decided while the DAG waited": "DAG 等待期间无人处理",
};

export function language() {
  let chosen = "";
  try { chosen = localStorage.getItem("i18nextLng") || ""; } catch { /* the browser keeps nothing */ }
  return (chosen || navigator.language || "").toLowerCase().startsWith("zh") ? "zh" : "en";
}
export function because(reason) {
  return language() === "zh" ? REASONS_ZH[reason] ?? reason : reason;
}
export function say(key, ...values) {
  return (WORDS[language()][key] ?? key).replace(/\{(\d)\}/g, (_, number) => values[number] ?? "");
}
