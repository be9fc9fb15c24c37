# SPDX-License-Identifier: Apache-2.0
"""Every point where the public clients of ITSM v4 disagree, or where nobody shows what the server does.

The first choice of each is the one that most clients agree with, else the one a careful server would take.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Switches(BaseModel):
    """How this ITSM behaves; each is changed while it runs.

    :param code: the code of a success.
    :param slash: whether paths have to end with a slash.
    :param system_check: whether a request with ``system_id`` needs the header ``SYSTEM-TOKEN``.
    :param suspended_word: the status of a suspended ticket.
    :param refusal_word: the status of a task that was refused.
    :param steps: what ``current_steps`` show of a step.
    :param processor: how a processor is written; ``empty`` lists nobody, though somebody is asked.
    :param tasks: whether a step that one person may answer has one task, or one for each person.
    :param verdict_type: what ``approve_result`` is; ``null`` is null at the end too.
    :param early_verdict: ``approve_result`` before the end.
    :param verdict_without_step: ``approve_result`` of a workflow without an approval step.
    :param refusal: what a refusal does: the flow ends as ``finished``, goes on, or ends as ``termination``.
    :param unknown_key: a key that the workflow's form has not.
    :param filters: whether the lists go by their filters.
    :param visibility: whether ``ticket/list`` shows an application anything.
    :param system_visibility: whether ``system_ticket/list`` does.
    :param large_page: a page of more than 50.
    :param list_rows: what ``system_ticket/list`` shows of a ticket.
    :param create_answer: whether the answer to a create has the id.
    :param unknown_id: the answer to an id that nobody has.
    :param withdraw: whether a withdrawal is done; ``not_done`` says so in ``data.result`` alone.
    :param callback_query: whether the query of a callback's address is posted to, or dropped.
    :param callback_of: of which ends ITSM calls back.
    :param callback_inside: whether a withdrawal calls back before it answers.
    :param callback_twice: whether it calls back a second time.
    :param four_byte: whether texts take characters of four bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Literal["20000", 20000, "0", 0] = "20000"
    slash: Literal["either", "needed"] = "either"
    system_check: Literal["needed", "not_asked"] = "needed"
    suspended_word: Literal["suspend", "suspended"] = "suspend"
    refusal_word: Literal["refuse", "reject"] = "refuse"
    steps: Literal["full", "name"] = "full"
    processor: Literal["text", "list", "empty"] = "text"
    tasks: Literal["shared", "each"] = "shared"
    verdict_type: Literal["boolean", "text", "null"] = "boolean"
    early_verdict: bool | None = False
    verdict_without_step: bool = True
    refusal: Literal["finishes", "goes_on", "terminates"] = "finishes"
    unknown_key: Literal["refused", "ignored"] = "refused"
    filters: Literal["honoured", "ignored"] = "honoured"
    visibility: Literal["all", "nothing"] = "all"
    system_visibility: Literal["all", "nothing"] = "all"
    large_page: Literal["capped", "refused"] = "capped"
    list_rows: Literal["full", "short"] = "full"
    create_answer: Literal["with_id", "without_id"] = "with_id"
    unknown_id: Literal["refused", "empty"] = "refused"
    withdraw: Literal["done", "not_done"] = "done"
    callback_query: Literal["kept", "dropped"] = "kept"
    callback_of: Literal["every_end", "finished"] = "every_end"
    callback_inside: bool = False
    callback_twice: bool = False
    four_byte: bool = True

    def changed(self, changes: dict[str, Any]) -> Switches:
        """Return these switches with some changed.

        :raises ValueError: there is no such switch, or no such choice.
        """
        return Switches.model_validate(self.model_dump() | changes)
