# SPDX-License-Identifier: Apache-2.0
"""How every recorded ticket ended, and the answers with which a client can read it again."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from tests.record import EVIDENCE

End = tuple[Outcome, Reason]

YES: End = (Outcome.APPROVED, Reason.APPROVED)
NO: End = (Outcome.REJECTED, Reason.REFUSED)
STANDS: End = (Outcome.REJECTED, Reason.REFUSAL_STANDS)
NOTHING: End = (Outcome.REJECTED, Reason.NO_EVIDENCE)
AUTOMATIC: End = (Outcome.REJECTED, Reason.AUTOMATIC_ONLY)
WITHDRAWN: End = (Outcome.WITHDRAWN, Reason.WITHDRAWN)
TERMINATED: End = (Outcome.TERMINATED, Reason.TERMINATED)
OPEN: End = (Outcome.WAITING, Reason.OPEN)

ENDS: dict[str, End] = {
    "all_field_types_valid": YES,
    "answered_while_suspended": YES,
    "any_of_three_no": NO,
    "any_of_three_no_and_yes_at_once": YES,
    "any_of_three_yes": YES,
    "approved_review_never_entered": YES,
    "auto_approved_creator_is_approver": YES,
    "by_approve_no": NO,
    "by_approve_yes": YES,
    "countersign_in_turn_yes_no_yes": NO,
    "countersign_no_yes_yes": NO,
    "countersign_one_no_ends_yes_no": NO,
    "countersign_one_no_ends_yes_yes_yes": YES,
    "countersign_rate60_no_yes_yes": NO,
    "countersign_rate60_yes_no_no": NO,
    "countersign_rate60_yes_no_yes": NO,
    "countersign_rate60_yes_yes": YES,
    "countersign_same_person_no_then_yes_fast": NO,
    "countersign_yes_no_yes": NO,
    "countersign_yes_yes_yes": YES,
    "extra_radio_first_false_approved": YES,
    "extra_radio_first_true_refused": NO,
    "first_node_deleted_after_refusal": STANDS,
    "handed_over_then_no": NO,
    "handed_over_then_yes": YES,
    "log_search_approved": NOTHING,  # its verdict is a form field
    "no_approver_field": YES,
    "one_step_no": NO,
    "one_step_yes": YES,
    "only_step_skipped_no_approver": AUTOMATIC,
    "parallel_yes_yes": YES,
    "refused_then_reviewed_no": NO,
    "refused_then_reviewed_yes": NO,
    "remark_with_markup": NO,
    "second_node_deleted_then_refused": STANDS,
    "second_node_deleted_without_signal_then_refused": NO,
    "sent_back_to_edit_step_then_yes": YES,
    "sent_back_to_first_state": YES,
    "sent_back_to_step1_then_withdrawn": WITHDRAWN,
    "sent_back_to_step1_then_yes_yes": YES,
    "service_updated_while_open_then_no": NO,
    "service_updated_while_open_then_yes": YES,
    "sign_node_no_no_no": OPEN,
    "sign_node_no_no_then_approval_yes": OPEN,
    "sign_node_yes_no_yes": OPEN,
    "skipped_no_approver": YES,
    "suspended_then_yes": YES,
    "task_node_only": NOTHING,
    "task_node_then_yes": YES,
    "terminated_after_first_yes": TERMINATED,
    "two_steps_no_yes": NO,
    "two_steps_yes_no": NO,
    "two_steps_yes_yes": YES,
    "withdrawn_after_first_yes": WITHDRAWN,
    "withdrawn_with_form_fields": WITHDRAWN,
}
"""What a correct reader makes of each recorded ticket, without a ``verdict_field``."""


def bodies(situation: str) -> dict[str, Any]:
    """Return ITSM's recorded answers about a ticket, by the path of the call."""
    recorded = {
        "ticket_approval_result/": EVIDENCE[f"ticket_approval_result__{situation}"],
        "get_ticket_logs/": EVIDENCE[f"get_ticket_logs__{situation}__complex"],
    }
    info = EVIDENCE.get(f"get_ticket_info__{situation}")
    return {path: one["body"] for path, one in (recorded | ({"get_ticket_info/": info} if info else {})).items()}


def number(situation: str) -> str:
    """Return the number of a recorded ticket."""
    return str(bodies(situation)["ticket_approval_result/"]["data"][0]["sn"])
