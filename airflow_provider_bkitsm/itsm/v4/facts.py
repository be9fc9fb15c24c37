# SPDX-License-Identifier: Apache-2.0
"""What this dialect relies on, and how sure each of it is: no ITSM v4 was run, its public clients were read.

A fact's key is named where code or a test leans on it. One trial at a real site settles an assumption: then its
confidence is changed here, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Confidence(StrEnum):
    """How many independent public clients show a fact."""

    SEVERAL = "2+"
    ONE = "1"
    ASSUMED = "A"
    UNKNOWN = "?"
    CONTRADICTED = "X"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One statement about ITSM v4.

    :param sources: letters of the public clients that show it: B bk-bscp, G blueking-apigateway, U bk-audit,
        I bk-iam-saas, H bk-hcm, M bk-monitor, S bk-sops and BKFlow, D blueking-dbm, K a deployment guide.
    """

    key: str
    text: str
    confidence: Confidence
    sources: str = ""


_MARKS = {
    Confidence.SEVERAL: (
        ("identity", "a ticket is named by id, 24 digits; sn repeats between tenants", "I H U"),
        ("envelope", "success is result true with the text code 20000, or 0", "H B I"),
        ("http-status", "a refusal is HTTP 400 with code 40000", "G M"),
        ("create", "ticket/create takes workflow_key, form_data, operator, callback_url, callback_token", "all"),
        ("title-key", "the title is the form's key ticket__title", "all"),
        ("people-list", "people in a form are a list of user names", "S D G H U"),
        ("detail", "ticket/detail takes id alone", "B H M S U D"),
        ("ended-words", "finished, termination and revoked are the ends", "I H D U"),
        ("rejected", "a refused ticket is finished with approve_result false", "all"),
        ("tasks", "approval_tasks lists who answered which step", "B H G"),
        ("logs", "ticket/logs lists action and operator, oldest entry first", "B U D"),
        ("revoke", "tickets/revoked withdraws, and data.result says whether", "I B H D"),
        ("workflow-list", "system_workflow/list lists a system's workflows", "G I M U"),
        ("workflow-detail", "workflows shows activities and form of a workflow", "I B M U"),
        ("workflow-id", "a ticket's workflow_id holds the workflow's key", "M H"),
        ("times", "a ticket's times are naive, those of tasks and logs have an offset", "B G M H"),
        ("callback-body", "a callback is callback_token and ticket", "B G U I H S"),
        ("callback-answer", "a callback's answer needs result true at the top", "G U B"),
        ("tenant-header", "X-Bk-Tenant-Id names the tenant", "all"),
    ),
    Confidence.ONE: (
        ("batch", "system_ticket/list reads 50 tickets by id__in", "I"),
        ("draft", "a new ticket is a draft without steps", "M"),
        ("terminate", "ticket/handle with method terminate ends a ticket, by a task's id", "D"),
        ("deliver", "ticket/handle with method deliver hands a task over to the users in params.to", "D"),
        ("automatic-text", "a task that ITSM approved by itself says so in desc", "G"),
        ("ended-by-time", "a ticket with end_at is over, whatever its word", "H"),
        ("server-error", "HTTP 500 may hold code 40000, and is an outage", "G"),
        ("create-without-id", "a create answer may lack the id", "G"),
        ("list-filters", "ticket/list filters by title, creator, workflow, system and time", "B H"),
        ("form-model-update", "form_models/update changes the fields of a form model", "G"),
    ),
    Confidence.ASSUMED: (
        ("ignored-filter", "a list that ignores a filter lists everything that the application sees", ""),
        (
            "list-visibility",
            "the lists show an application the tickets that it has opened; tried before relied on",
            "",
        ),
        ("zone", "naive times are Asia/Shanghai's", ""),
        ("unknown-word", "an unknown status without end_at is no end", ""),
        ("left-out", "a list leaves unknown ids out", ""),
        ("no-key-no-field", "a form key that the workflow has not is refused", ""),
        ("title-length", "a title of 120 characters is taken", ""),
        ("settles", "a create whose answer was lost shows within the gateway's 120 seconds", ""),
        ("own-approval", "an approval by the ticket's creator may be ITSM's own", ""),
        ("callback-address", "a callback's address may have a query, which arrives", ""),
        ("callback-all-ends", "a withdrawn or terminated ticket is called back too", ""),
        ("sent-once", "a callback is sent once", ""),
        ("workflow-handle", "a step is answered by whom its task asks, once", ""),
        ("migrate-multipart", "system/migrate takes nothing but multipart", ""),
        ("same-body-twice", "the same request twice opens two tickets", ""),
        ("revoke-when-over", "withdrawing a ticket that is over is refused", ""),
    ),
    Confidence.CONTRADICTED: (
        ("gateway-name", "the gateway is cw-aitsm or bk-itsm4", "G U I M S"),
        ("trailing-slash", "paths end with a slash", "I G H M U D S; B without"),
        ("system-token", "SYSTEM-TOKEN goes with system_id", "I S G; B H without"),
        ("suspended-word", "suspend or suspended", "H U; I"),
        ("refusal-word", "a refusing task's status is refuse or reject", "G; B U"),
        ("steps-shape", "a current step has task_id and activity_key, or only a name", "M; B H"),
        ("processor-shape", "a processor is a text, or a list", "B H; U"),
        ("verdict-type", "approve_result is a boolean, null or a text", "G H"),
    ),
}
FACTS: dict[str, Fact] = {
    key: Fact(key=key, text=text, confidence=confidence, sources=sources)
    for confidence, facts in _MARKS.items()
    for key, text, sources in facts
}
