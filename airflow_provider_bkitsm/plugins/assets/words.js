/* Every word of the pages, in English and Chinese; Airflow's own choice of language holds. */

/** By key: English, Chinese. {0}, {1} and {2} are filled in by `say`. */
export const WORDS = {
  // The pages
  approvals: ["Approvals", "审批"],
  collectors: ["Collectors", "采集项"],
  ticket: ["Ticket", "单据"],
  // Airflow's Home
  home_one: ["1 approval waits in BlueKing ITSM", "蓝鲸 ITSM 中有 1 项审批待处理"],
  home_many: ["{0} approvals wait in BlueKing ITSM", "蓝鲸 ITSM 中有 {0} 项审批待处理"],
  // The list: tabs and filters
  waiting: ["Waiting", "待审批"],
  decided: ["Decided", "已处理"],
  all: ["All", "全部"],
  mine: ["Mine", "与我有关"],
  mine_more: [
    "Waits for me, opened in my name, run started by me, or decided by me",
    "待我审批、以我的名义提交、由我触发运行或由我处理",
  ],
  search: ["Search number, title, DAG, run, person", "搜索单号、标题、DAG、运行、人员"],
  filters: ["Filters", "筛选"],
  filters_n: ["Filters ({0})", "筛选（{0}）"],
  any_status: ["All statuses", "所有状态"],
  any_connection: ["All connections", "所有连接"],
  any_dag: ["All DAGs", "所有 DAG"],
  any_collector: ["All collectors", "所有采集项"],
  person: ["Person", "人员"],
  person_more: [
    "A person: whom it waits for, who decided it, asked for it or opened it",
    "人员：审批人、处理人、申请人或提单人",
  ],
  opened_from: ["Opened from", "提单日期 从"],
  opened_to: ["to", "到"],
  decided_from: ["Decided from", "处理日期 从"],
  decided_to: ["to", "到"],
  from: ["from", "从"],
  to: ["to", "到"],
  order: ["Order", "排序"],
  clear: ["Clear filters", "清除筛选"],
  csv: ["CSV", "导出 CSV"],
  csv_more: [
    "Download what these filters leave, for a spreadsheet",
    "下载符合筛选条件的单据，可用电子表格打开",
  ],
  // The list: columns
  title: ["Ticket", "单据"],
  status: ["Status", "状态"],
  step: ["Step", "当前步骤"],
  where: ["DAG, run, task", "DAG、运行、任务"],
  person_asked: ["Waits for", "审批人"],
  person_either: ["Waits for or decided by", "审批人或处理人"],
  asked_by: ["Asked by", "申请人"],
  since: ["Opened", "提单时间"],
  remark: ["Remark", "审批意见"],
  more_tasks: ["and {0} more", "另有 {0} 个任务"],
  deadline: ["Deadline", "截止时间"],
  decided_at: ["Decided", "处理时间"],
  either: ["Deadline or decision", "截止或处理时间"],
  collector: ["Collector", "采集项"],
  // Statuses, and hints to some of them
  s_waiting: ["Waiting", "待审批"],
  s_suspended: ["Suspended", "已挂起"],
  s_resuming: ["Resuming", "恢复中"],
  s_approved: ["Approved", "已通过"],
  s_rejected: ["Rejected", "已拒绝"],
  s_withdrawn: ["Withdrawn", "已撤单"],
  s_terminated: ["Terminated", "已终止"],
  s_timed_out: ["Timed out", "已超时"],
  s_ended: ["Wait ended", "等待已结束"],
  h_resuming: [
    "Decided in ITSM, or the task is about to run again: it goes on in a moment",
    "ITSM 中已有结果，或任务即将恢复运行",
  ],
  h_ended: ["The task ended before its ticket was decided", "任务已结束，单据没有审批结果"],
  // The list: notes on a row
  no_title: ["(title not known yet)", "（标题未知）"],
  no_sn: ["(number not known)", "（单号未知）"],
  stalled: ["Asks nobody", "没有处理人"],
  stalled_more: [
    "ITSM lists no step of this ticket, or one that names nobody: the flow has not started, " +
      "an automatic step has failed, or the ticket was sent back. Check the form for emoji and " +
      "rare Han characters, an INT field for a value that is no number, the title for more " +
      "than 128 characters after escaping, and whether ITSM's celery worker runs. A ticket that " +
      "has not started can be neither withdrawn nor ended in ITSM: if it does not go on, ask " +
      "ITSM's administrator to delete it, then clear the task.",
    "ITSM 没有列出该单据的任何步骤，或步骤没有处理人：流程尚未启动、自动节点失败，" +
      "或单据已被打回。请检查：表单中的表情符号或生僻字、数字字段填了非数字、标题转义后超过 " +
      "128 个字符，以及 ITSM 的 celery worker。尚未启动的单据无法在 ITSM 中撤销或终止：" +
      "如果一直不继续，请让 ITSM 管理员删除该单据，然后清除任务重新运行。",
  ],
  stale: ["not confirmed by ITSM", "未经 ITSM 确认"],
  stale_as_of: ["not confirmed by ITSM, as of {0}", "未经 ITSM 确认，{0}的信息"],
  as_of: ["as of {0}", "{0}的信息"],
  // Notices
  down: [
    "ITSM does not answer. This is what Airflow knows; it may be old.",
    "ITSM 无响应，以下为 Airflow 已知的信息，可能不是最新。",
  ],
  // Times
  ago: ["{0} ago", "{0}前"],
  in: ["in {0}", "{0}后"],
  overdue: ["overdue by {0}", "已超期 {0}"],
  now: ["just now", "刚刚"],
  d: ["{0} d {1} h", "{0} 天 {1} 小时"],
  h: ["{0} h {1} min", "{0} 小时 {1} 分钟"],
  m: ["{0} min", "{0} 分钟"],
  sec: ["{0} s", "{0} 秒"],
  loading: ["Loading …", "加载中……"],
  updated: ["Updated {0}", "更新于 {0}"],
  // Where there is nothing to show
  empty_waiting: ["Nothing waits", "没有待审批的单据"],
  empty_waiting_more: [
    "No task of the DAGs you may read waits for an approval.",
    "您可查看的 DAG 中没有任务在等待审批。",
  ],
  empty_decided: ["Nothing decided yet", "暂无已处理的单据"],
  empty_decided_more: [
    "Decisions of the last 30 days appear here.",
    "最近 30 天的审批结果会显示在这里。",
  ],
  empty_all: ["No tickets", "没有单据"],
  empty_all_more: [
    "Tickets that wait, and decisions of the last 30 days, appear here.",
    "待审批的单据和最近 30 天的审批结果会显示在这里。",
  ],
  empty_run: ["No tickets", "没有单据"],
  empty_run_more: ["No task of this run has such a ticket.", "此次运行的任务没有此类单据。"],
  empty_search: ["Nothing found", "没有找到"],
  empty_search_more: ["No ticket matches these filters.", "没有符合条件的单据。"],
  empty_collectors: ["No collectors", "没有采集项"],
  empty_collectors_more: [
    "No DAG you may read has applied for one.",
    "您可查看的 DAG 没有申请过采集接入。",
  ],
  no_ticket: ["No ticket", "没有单据"],
  no_ticket_more: [
    "This task has no ITSM ticket, or not yet.",
    "该任务没有 ITSM 单据，或尚未创建。",
  ],
  failed: ["Airflow does not answer ({0}). Trying again.", "Airflow 无响应（{0}），正在重试。"],
  signed_out: [
    "You are signed out. Reload Airflow to sign in.",
    "您已退出登录，请刷新 Airflow 重新登录。",
  ],
  forbidden: ["You may not see this.", "您没有查看权限。"],
  // The list: pages
  previous: ["Previous", "上一页"],
  next: ["Next", "下一页"],
  pages: ["Pages", "分页"],
  page: ["Page {0} of {1}, {2} tickets", "第 {0} 页，共 {1} 页，{2} 张单据"],
  page_one: ["Page {0} of {1}, {2} ticket", "第 {0} 页，共 {1} 页，{2} 张单据"],
  // The list: several tickets at once
  pick: ["Choose {0}", "选择 {0}"],
  pick_all: ["Choose all shown", "选择本页全部"],
  pick_none: ["Choose none", "取消选择"],
  picked: ["{0} chosen", "已选 {0} 张"],
  bulk: ["Chosen tickets", "已选单据"],
  tickets: ["Tickets", "单据"],
  withdraw_many: ["Withdraw", "撤单"],
  withdraw_many_more: [
    "ITSM withdraws each ticket in your name. The tasks that wait for it do not go on.",
    "ITSM 将以您的名义逐一撤单，等待这些单据的任务不会继续执行。",
  ],
  to_withdraw: ["To be withdrawn: {0}", "将撤单：{0} 张"],
  not_withdrawn: ["Left as they are: {0}", "保持不变：{0} 张"],
  withdraw_n: ["Withdraw {0}", "撤单（{0} 张）"],
  withdrawn: ["withdrawn", "已撤单"],
  remind_many: ["Remind", "催办"],
  remind_many_more: [
    "The approvers of each ticket are reminded. The text below can be copied as well.",
    "将逐一提醒各单据的审批人，也可复制以下内容自行发送。",
  ],
  to_remind: ["To be reminded of: {0}", "将催办：{0} 张"],
  remind_many_copy: [
    "Airflow cannot send reminders of these: {0}. Send the text yourself.",
    "以下 {0} 张单据无法由 Airflow 催办，请自行发送以下内容。",
  ],
  reminder_text: ["Text of the reminders", "催办内容"],
  send_n: ["Send {0}", "发送（{0} 张）"],
  reminded: ["reminded", "已催办"],
  sending: ["sending …", "发送中……"],
  all_done: ["Done: {0}", "已完成：{0} 张"],
  some_failed: [
    "Done: {0}. Failed: {1}, as said beside them.",
    "已完成：{0} 张；失败：{1} 张，原因见列表。",
  ],
  again_n: ["Try {0} again", "重试（{0} 张）"],
  // Who may withdraw
  no_right: [
    "Only who may change the runs of its DAG may withdraw it.",
    "需要有修改该 DAG 运行的权限才能撤单。",
  ],
  only_by: ["Only {0} may withdraw it in ITSM.", "在 ITSM 中只有 {0} 可以撤单。"],
  withdraw_unknown: [
    "Who may withdraw it is not known until ITSM answers.",
    "ITSM 应答之前，无法得知谁可以撤单。",
  ],
  // What can be done with a ticket
  open: ["Open in ITSM", "在 ITSM 中打开"],
  withdraw: ["Withdraw ticket", "撤单"],
  cancel: ["Cancel", "取消"],
  reason: ["Why? It is written on the ticket.", "撤单原因（会写入单据）"],
  withdraw_more: [
    "ITSM withdraws the ticket in your name, if you may do that there. The waiting task does " +
      "not go on.",
    "ITSM 将以您的名义撤销单据（须有权限）。等待中的任务不会继续执行。",
  ],
  remind: ["Remind", "催办"],
  close: ["Close", "关闭"],
  copy: ["Copy", "复制"],
  send: ["Send", "发送"],
  remind_here: ["Remind", "催办"],
  remind_here_more: [
    "Airflow reminds the approvers in the way that is set up there. The text below can be " +
      "copied as well.",
    "将按 Airflow 中配置的方式提醒审批人，也可复制以下内容自行发送。",
  ],
  remind_more: [
    "ITSM has no reminder for an open ticket. Send this text where the approvers will read " +
      "it.",
    "ITSM 不支持对未结束的单据发送提醒，请将以下内容发送给审批人。",
  ],
  copied: ["Copied.", "已复制。"],
  copy_by_hand: ["The text is selected: copy it with your keyboard.", "内容已选中，请用键盘复制。"],
  sent: ["The reminder was sent.", "提醒已发送。"],
  r_waits: ["ITSM ticket {0} waits for approval: {1}", "ITSM 单据 {0} 等待审批：{1}"],
  r_approvers: ["Approvers: {0}", "审批人：{0}"],
  r_since: ["Waiting since: {0}", "等待开始时间：{0}"],
  // How Airflow learned of a decision
  polled: ["polled {0}", "{0}轮询"],
  by_callback: ["seen by callback", "由回调得知"],
  by_poll: ["seen by polling", "由轮询得知"],
  heard: ["Latest news from ITSM", "最近同步"],
  // The ticket: cards and facts
  itsm_page: ["ITSM page", "ITSM 页面"],
  story: ["What happened", "处理记录"],
  form: ["What was asked", "申请内容"],
  facts: ["About", "基本信息"],
  payload: ["ETL payload", "ETL 配置"],
  digest: ["Digest", "摘要"],
  creator: ["Opened by", "提单人"],
  back: ["← Approvals", "← 审批"],
  created: ["Created", "提单时间"],
  by: ["Decided by", "处理人"],
  why: ["Reason", "原因"],
  connection: ["Connection", "连接"],
  // The ticket: what was asked, and whether it is what runs
  runs: ["Asked and run", "申请与执行"],
  m_same: ["What runs matches what people read", "将执行的内容与审批人看到的一致"],
  m_differs: ["What runs differs from what people read", "将执行的内容与审批人看到的不一致"],
  m_unknown: [
    "Whether what runs matches what people read is not known",
    "无法确认将执行的内容与审批人看到的是否一致",
  ],
  d_field: ["{0}: {1} was sent, {2} is in the ticket", "{0}：提交的是 {1}，单据中是 {2}"],
  d_missing: ["{0}: {1} was sent, and is not in the ticket", "{0}：提交的是 {1}，单据中没有"],
  d_digest: ["The task would run {1}, people were asked {0}", "任务将执行 {1}，审批的是 {0}"],
  item: ["Item of this task", "该任务的条目"],
  item_digest: ["Digest of the item", "条目摘要"],
  asked_digest: ["Digest of what was asked", "申请内容摘要"],
  runs_digest: ["Digest of what runs", "执行内容摘要"],
  requester: ["Requester", "申请人"],
  run_by: ["Run started by", "触发人"],
  round: ["Round", "轮次"],
  // The ticket: what was decided
  decision: ["Decision", "审批结果"],
  time_to_decide: ["Time to decide", "审批用时"],
  evidence: ["Evidence", "依据"],
  no_evidence: ["none is recorded", "没有记录"],
  evidence_waived: ["not asked for by this task", "该任务不要求依据"],
  system: ["the system", "系统"],
  // The ticket: its story
  pending: ["waits for {0}", "等待 {0} 处理"],
  k_approved: ["approved", "通过"],
  k_refused: ["refused", "拒绝"],
  k_answered: ["answered", "已处理"],
  k_automatic: ["automatically", "自动"],
  // The ticket: sentences of ITSM's log. {0} is the step, {1} who got it. A Chinese page shows
  // ITSM's own.
  log_began: ["The flow began", "流程开始"],
  log_ended: ["The flow ended", "流程结束"],
  log_submitted: ["handed the ticket in", "提单"],
  log_handled: ["handled {0}", "处理【{0}】"],
  log_approved: ["approved at {0}", "通过【{0}】"],
  log_refused: ["refused at {0}", "拒绝【{0}】"],
  log_answered: ["answered at {0}", "已处理【{0}】"],
  log_handed_over: ["handed {0} over to {1}", "转单【{0}】给 {1}"],
  log_assigned: ["assigned {0} to {1}", "派单【{0}】给 {1}"],
  log_claimed: ["claimed {0}", "认领【{0}】"],
  log_suspended: ["suspended the ticket", "挂起单据"],
  log_resumed: ["resumed the ticket", "恢复单据"],
  log_withdrawn: ["withdrew the ticket", "撤销单据"],
  log_terminated: ["ended the ticket", "关闭单据"],
  log_ran: ["The automatic step {0} succeeded", "自动节点【{0}】执行成功"],
  // The ticket: reminders and escalations. {0} is who got it.
  reminders: ["Reminders and escalation", "催办与升级"],
  rem_nobody: ["anybody", "任何人"],
  rem_reminder_sent: ["Reminder sent to {0}", "已催办 {0}"],
  rem_reminder_claimed: ["Reminder due, not known to be sent", "催办已到点，尚未确认发出"],
  rem_reminder_merged: [
    "Reminder left out: the escalation was due as well",
    "与升级同时到点，未单独催办",
  ],
  rem_reminder_given_up: ["Reminder could not be sent, given up", "催办未能发出，已放弃"],
  rem_reminder_next: ["Next reminder due", "下次催办"],
  rem_escalation_sent: ["Escalation sent to {0}", "升级通知已发给 {0}"],
  rem_escalation_claimed: [
    "Escalation message due, not known to be sent",
    "升级通知已到点，尚未确认发出",
  ],
  rem_escalation_given_up: [
    "Escalation message could not be sent, given up",
    "升级通知未能发出，已放弃",
  ],
  rem_escalation_next: ["Escalation due", "将升级"],
  rem_hand_over_sent: ["Handed over to {0}", "已转单给 {0}"],
  rem_hand_over_claimed: ["Hand-over due, not known to be done", "转单已到点，尚未确认完成"],
  rem_hand_over_refused: ["Not handed over to {0}", "未转单给 {0}"],
  rem_hand_over_given_up: ["Hand-over failed, given up", "转单失败，已放弃"],
  no_story: ["ITSM gives no details of this ticket now: {0}", "暂时无法从 ITSM 读取该单据：{0}"],
  // The collectors
  states: ["States", "状态"],
  history: ["History", "变更历史"],
  event: ["Event", "事件"],
  change: ["Change", "状态变化"],
  when: ["When", "时间"],
  note: ["Note", "备注"],
  choose: ["Choose a collector", "请选择采集项"],
  choose_more: ["Its states and history appear here.", "其状态和变更历史会显示在这里。"],
  last_error: ["Last error", "最近错误"],
  e_apply: ["Applied", "提出申请"],
  e_bypassed: ["Applied, no approval needed", "提出申请，无需审批"],
  e_recreate: ["Ticket is opened once more", "重新提单"],
  e_ticket_opened: ["Ticket opened", "已提单"],
  e_create_refused: ["ITSM opened no ticket", "ITSM 未接受提单"],
  e_decided: ["Decided", "已有审批结果"],
  e_resume: ["ETL is tried again", "重试写入 ETL 配置"],
  e_provisioned: ["ETL written", "已写入 ETL 配置"],
  e_etl_failed: ["ETL not written", "未能写入 ETL 配置"],
  e_complete: ["Completed", "接入完成"],
  e_fail: ["Failed", "接入失败"],
  application: ["Application {0}", "第 {0} 次申请"],
};

/** Reasons, which the provider gives in English, by their code. */
const REASONS_ZH = {
  approved_automatically: "由 ITSM 自动通过，任务允许自动通过",
  refused: "审批人拒绝",
  verdict_missing: "单据已结束，但审批结果缺失或无法识别",
  no_evidence: "单据已结束，但没有可见的审批通过记录",
  automatic_only: "仅由 ITSM 自动通过，没有人审批",
  refusal_stands: "ITSM 显示已通过，但处理记录中仍有未被撤回的拒绝，请人工确认",
  verdict_unclear: "无法判断审批步骤中哪一项是审批结果，请人工确认",
  self_approved: "除申请人本人外没有其他人同意，此处不算通过",
  too_few_approvers: "ITSM 显示已通过，但同意的人数不足",
  requester_unknown: "不知道是谁申请的，无法判断是否有其他人同意",
  form_changed: "ITSM 显示已通过，但单据内容与提交时不一致",
  another_dialect: "单据是在另一版本的 ITSM 中提交的，当前连接无法确认",
  withdrawn: "单据已被撤销",
  terminated: "单据已被终止",
  deadline: "DAG 等待期间无人处理",
  not_its_ticket: "单据已通过，但不是为该任务提交的单据",
  not_recorded: "单据已通过，但没有记录表明它是为该任务提交的",
  unreadable: "当前版本无法识别已保存的审批结果",
};

/** Other messages of the provider, by their English text. */
const MESSAGES_ZH = {
  "Airflow has no function that sends reminders": "Airflow 未配置催办函数",
  "The approvers were reminded less than a minute ago": "一分钟内已经催办过",
  "Too many reminders are being sent; try again later": "正在发送的催办过多，请稍后再试",
  "The reminder may not have been sent: its function does not answer":
    "催办函数无响应，提醒可能未发送",
  "The reminder was not sent: its function failed": "催办函数执行失败，提醒未发送",
  "The ticket is no longer open; nobody was reminded": "单据已结束，未发送提醒",
  "The ticket waits for nobody at the moment; nobody was reminded":
    "单据当前没有待处理人，未发送提醒",
};

export function language() {
  let chosen = "";
  try {
    chosen = localStorage.getItem("i18nextLng") || "";
  } catch {
    // This browser stores nothing.
  }
  return (chosen || navigator.language || "").toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** A word in the reader's language, with its values filled in. */
export function say(key, ...values) {
  const text = WORDS[key]?.[language() === "zh" ? 1 : 0] ?? key;
  return text.replace(/\{(\d)\}/g, (_, number) => values[number] ?? "");
}

/** A reason or message of the provider in the reader's language; English if it has no other. */
export function because(reason, code) {
  return language() === "zh" ? (REASONS_ZH[code] ?? MESSAGES_ZH[reason] ?? reason) : reason;
}
