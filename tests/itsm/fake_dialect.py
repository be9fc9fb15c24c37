# SPDX-License-Identifier: Apache-2.0
"""A tiny ITSM of another version, in this process: it asks nobody, names its states otherwise and has no tag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from airflow_provider_bkitsm.itsm import models
from airflow_provider_bkitsm.itsm.dialect import Capabilities, Dialect
from airflow_provider_bkitsm.itsm.errors import ItsmOutcomeUnknownError, ItsmTicketNotFoundError
from airflow_provider_bkitsm.itsm.models import Progress, StepAnswer

_WORDS = {"draft": Progress.OPEN, "asks": Progress.RUNNING, "done": Progress.FINISHED, "gone": Progress.WITHDRAWN}
_ABSENT = dict.fromkeys(("batch", "terminate", "suspend", "tag", "verify_token"), False)


def answered(answer: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    @wraps(answer)
    def flow(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from ()
        return answer(*args, **kwargs)

    return flow


class FakeDialect(Dialect):
    name, capabilities = (
        "fake",
        Capabilities(fast_approval=True, verdict_field=True, withdraws_any=frozenset(), **_ABSENT),
    )

    def __init__(self) -> None:
        self.tickets: dict[str, models.TicketInfo] = {}
        self.answers: dict[str, StepAnswer] = {}
        self.loses_answers = False

    def answer(self, sn: str, *, approved: bool) -> None:
        by = {"operator": "bob", "remark": "r", "answered_at": datetime.now(UTC)}
        self.answers[sn] = StepAnswer(approved=approved, automatic=False, key="k", step="s", **by)
        self._move(sn, "done")

    def _move(self, sn: str, word: str) -> None:
        self.tickets[sn] = replace(self._ticket(sn), current_status=word, progress=_WORDS[word])

    def _ticket(self, sn: str) -> models.TicketInfo:
        if sn not in self.tickets:
            raise ItsmTicketNotFoundError(f"no ticket {sn}")
        return self.tickets[sn]

    @answered
    def create(self, *, tag: str, creator: str, fields: Any, **_: Any) -> models.CreatedTicket:
        form = tuple(models.FormField(key=key, type="LINE", value=value) for key, value in fields.items())
        sn = f"1020261129{len(self.tickets):014}"
        opened = {"title": fields["title"], "creator": creator, "created_at": datetime.now(UTC), "fields": form}
        self.tickets[sn] = models.TicketInfo(sn=sn, current_status="asks", progress=Progress.RUNNING, **opened)
        if self.loses_answers:
            raise ItsmOutcomeUnknownError("lost")
        return models.CreatedTicket(sn=sn)

    @answered
    def info(self, sn: str) -> models.TicketInfo:
        return self._ticket(sn)

    @answered
    def log(self, sn: str) -> models.TicketLog:
        entries = [models.LogEntry(operator="bob", answer=self.answers[sn])] if sn in self.answers else []
        return models.TicketLog(sn=sn, entries=tuple(entries))

    @answered
    def states(self, sns: Any) -> Any:
        return tuple(self._state(self.tickets[sn]) for sn in sns if sn in self.tickets)

    def _state(self, one: models.TicketInfo) -> models.TicketState:
        result = self.answers[one.sn].approved if one.sn in self.answers else None
        known = {"sn": one.sn, "title": one.title, "current_status": one.current_status, "progress": one.progress}
        return models.TicketState(**known, approve_result=result)

    @answered
    def find_tagged(self, tag: str, **_: Any) -> Any:
        return self._listed(self.tickets)

    @answered
    def summaries(self, sns: Any) -> Any:
        return self._listed(sns)

    def _listed(self, sns: Any) -> Any:
        names = ("sn", "progress", "current_status", "title", "creator", "created_at")
        found = (vars(self.tickets[sn]) for sn in sns if sn in self.tickets)
        listed = enumerate({name: one[name] for name in names} for one in found)
        return tuple(models.TicketSummary(id=number, **one) for number, one in listed)

    @answered
    def operate(self, *, sn: str, action: models.TicketAction, **_: Any) -> None:
        assert action is models.TicketAction.WITHDRAW
        self._move(sn, "gone")

    @answered
    def service_for(self, form: Any, **_: Any) -> Any:
        return None, dict(form)

    @answered
    def verify_callback(self, body: models.CallbackBody) -> bool:
        return body.token == "ours"

    def read_callback(self, body: Any) -> models.CallbackBody | None:
        ticket, token = body.get("case"), body.get("receipt")
        if not isinstance(ticket, dict) or not isinstance(token, str):
            return None
        return models.CallbackBody(sn=str(ticket.get("id")), token=token, dialect=self.name)
