// SPDX-License-Identifier: Apache-2.0
/* Rows as the server sends them. */

export const NOW = "2026-03-01T12:00:00+00:00";

export function row(values = {}) {
  return {
    dag_id: "release",
    run_id: "manual__1",
    task_id: "wait",
    map_index: -1,
    sn: "REQ20260301000001",
    title: "Release 7",
    ticket_url: "https://itsm.example.com/#/ticket/detail?id=7",
    status: "waiting",
    open: true,
    step: "Leader",
    approvers: ["alice", "bob"],
    decided_by: [],
    reason: "",
    reason_code: null,
    since: "2026-03-01T10:30:00+00:00",
    deadline: "2026-03-02T13:00:00+00:00",
    decided_at: null,
    polled_at: "2026-03-01T11:58:00+00:00",
    seen_by: null,
    seen_at: null,
    stale: false,
    read_at: "2026-03-01T11:59:58+00:00",
    step_stale: false,
    step_at: "2026-03-01T11:59:30+00:00",
    stalled: false,
    conn_id: "bkitsm_default",
    collector: "",
    asked_by: ["carol"],
    remarks: [],
    seconds_to_decide: null,
    ...values,
  };
}

/* A ticket of the list, and a task of it. */

export function task(values = {}) {
  return {
    dag_id: "release",
    run_id: "manual__1",
    task_id: "wait",
    map_index: -1,
    status: "waiting",
    open: true,
    may_change: true,
    ...values,
  };
}

export function ticket(values = {}) {
  const { dag_id, run_id, task_id, map_index, ...shared } = row();
  const rights = { may_withdraw: true, withdraw_by: [], may_remind: true };
  const joined = { ...shared, tasks: [task()], ...rights, ...values };
  return { task_count: joined.tasks.length, ...joined };
}

export function decidedTicket(values = {}) {
  const { dag_id, run_id, task_id, map_index, ...ended } = decided();
  const tasks = [task({ status: ended.status, open: false, may_change: false })];
  const answer = { remarks: [{ person: "bob", text: "Not now" }], seconds_to_decide: 1800 };
  return ticket({ ...ended, tasks, ...answer, may_withdraw: false, may_remind: false, ...values });
}

export function decided(values = {}) {
  return row({
    status: "rejected",
    open: false,
    decided_by: ["bob"],
    decided_at: "2026-03-01T11:00:00+00:00",
    reason: "an approver refused",
    reason_code: "refused",
    polled_at: null,
    seen_by: "callback",
    seen_at: "2026-03-01T11:00:01+00:00",
    ...values,
  });
}
