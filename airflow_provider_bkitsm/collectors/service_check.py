# SPDX-License-Identifier: Apache-2.0
"""Which fields of an ITSM service take a collector's application, chosen by the fields the service has. Pure.

The shipped DAG works with a service of one's own and with the log platform's built-in one, which has required
fields of its own and no field for approvers. Every value that is filled in is logged. A service that does not fit
is one error with all its reasons, before a ticket is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from airflow_provider_bkitsm.collectors.form import collector_detail, day_in_shanghai, detail_text
from airflow_provider_bkitsm.itsm.dialect import Dialect
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.models import FlowStep, Service, ServiceField
from airflow_provider_bkitsm.itsm.verdict_source import VerdictSource
from airflow_provider_bkitsm.translation import Text

APPROVERS_FIELD, DETAIL_FIELD, REASON_FIELD = "approvals", "collector_detail", "apply_reason"
"""The log platform's own keys. A service without them may have other fields of the same kind."""

_BUSINESS_FIELD = "bk_biz_id"
_OBJECT, _LINES = "CUSTOM-FORM", frozenset({"TEXT", "STRING"})
# The built-in service's second CUSTOM-FORM: ITSM's page fills it in.
_NOT_OURS = frozenset({"capacity_formula"})
_SIZES = frozenset({"single_log_size", "single_host_peak", "single_host_log_volume", "expect_host_size"})
_NOT_STATED = 0


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of the form fields that take approvers, detail and reason, as the task names them."""

    approvers: str = APPROVERS_FIELD
    detail: str = DETAIL_FIELD
    reason: str = REASON_FIELD


@dataclass(frozen=True, kw_only=True)
class FieldPlan:
    """Which field of a service takes which part of the application; None where no field does.

    :param filled: values of the service's own fields, by key.
    :param not_stated: fields in ``filled`` that hold 0 because their value was not given: names by key.
    :param notes: lines for the log.
    :param problems: why this service cannot take the application; empty where it can.
    """

    approvers: str | None
    detail: ServiceField | None
    reason: ServiceField | None
    takes_business: bool
    filled: Mapping[str, Any] = field(default_factory=dict)
    not_stated: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def detail_value(self, dialect: Dialect, *, more: Mapping[str, Any], **detail: Any) -> dict[str, Any] | str:
        """Return collector, payload and digest as the detail's field takes them: an object or lines.

        :raises CollectItsmDigestMismatch: the digest is not the payload's.
        """
        rows = dict(more)
        if self.not_stated:
            rows["未提供（以 0 填写）："] = "、".join(f"{name}（{key}）" for key, name in self.not_stated.items())
        if self.detail is None or self.detail.type == _OBJECT:
            return collector_detail(more=rows, **detail)
        return dialect.text_as_sent(detail_text(more=rows, **detail), self.detail.type)

    def reason_value(self, dialect: Dialect, reason: str) -> str:
        """Return the reason as its field takes it."""
        return reason if self.reason is None else dialect.text_as_sent(reason, self.reason.type)


@dataclass(frozen=True, kw_only=True)
class ServiceFit:
    """One service for an application: which field takes which part, and where the verdict is read."""

    service: Service
    plan: FieldPlan
    verdict: VerdictSource

    @property
    def name(self) -> str:
        """What logs and errors call the service."""
        return f"service {self.service.service_id} ({self.service.name})"

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that does not fit."""
        return (*self.plan.problems, *((self.verdict.problem,) if self.verdict.problem else ()))


def choose(fits: Sequence[ServiceFit], *, approvers: str) -> tuple[ServiceFit, str]:
    """Return the service that fits and asks the approvers that were named, and the reason for the choice.

    :raises ItsmInvalidRequestError: no service fits, or several do; guessing could ask the wrong people.
    """
    fitting = [one for one in fits if not one.problems]
    if not fitting:
        reasons = ". ".join(f"{one.name}: {'; '.join(one.problems)}" for one in fits)
        raise ItsmInvalidRequestError(f"the service does not fit: {reasons}. No ticket was opened")
    asking = [one for one in fitting if bool(one.plan.approvers) is bool(approvers)] or fitting
    if len(asking) > 1:
        listed = ", ".join(one.name for one in asking)
        raise ItsmInvalidRequestError(
            f"several services with display_role LOG_SEARCH fit: {listed}; name one as service_id. No ticket was"
            " opened"
        )
    (chosen,) = asking
    if len(fits) == 1:
        return chosen, "it is the one"
    if len(fitting) == 1:
        return chosen, "no other of its role fits"
    asks = f"it alone asks {approvers}" if approvers else "it alone needs no approvers named"
    return chosen, asks


def plan_fields(
    service: Service,
    *,
    keys: Keys,
    approvers: str,
    steps: Sequence[FlowStep] | None,
    own: Mapping[str, Any],
    payload: Mapping[str, Any],
    opened: date,
) -> FieldPlan:
    """Decide which field takes which part.

    :param approvers: names joined by commas.
    :param steps: the steps of the service's flow behind its submit step; None where it could not be read.
    :param own: the task's own values by key; such a field is neither filled in here nor reported as missing.
    :param payload: the ETL payload.
    :param opened: the day of the application; an aware time is read as people in Shanghai do.
    """
    draft = _Draft(service, own)
    people = draft.approvers_field(keys.approvers, approvers, steps)
    detail = draft.detail_field(keys.detail, keys.reason)
    reason = draft.reason_field(keys.reason, None if detail is None else detail.key)
    draft.fill(payload, opened)
    return FieldPlan(
        approvers=people,
        detail=detail,
        reason=reason,
        takes_business=_BUSINESS_FIELD in draft.by_key,
        filled=draft.filled,
        not_stated=draft.not_stated,
        notes=tuple(draft.notes),
        problems=tuple(draft.problems),
    )


class _Draft:
    """A plan while it is made: notes and problems are collected, so that all are reported at once."""

    def __init__(self, service: Service, own: Mapping[str, Any]) -> None:
        self.by_key = {one.key: one for one in service.fields}
        self.own = own
        self.filled: dict[str, Any] = {}
        self.not_stated: dict[str, str] = {}
        self.notes: list[str] = []
        self.problems: list[str] = []

    def approvers_field(self, key: str, approvers: str, steps: Sequence[FlowStep] | None) -> str | None:
        """Return the field that takes the approvers; None for a service that asks its own people."""
        found = self._approvers_key(key, steps)
        people_fields = self._fields_the_flow_asks(steps)
        if found is not None and not approvers and (found in people_fields or self._has_to_be_given(found)):
            self.problems.append(
                Text(
                    "it asks the people in its field {field}, and the task names none: give approvers", field=found
                )
            )
        if found not in people_fields and approvers:
            self._note_own_people(found, approvers, steps)
        self.notes += [
            Text("its flow also asks the people in its field {field}: name them with fields", field=other)
            for other in people_fields
            if other != found
        ]
        return found

    def _has_to_be_given(self, key: str) -> bool:
        wanted = self.by_key[key]
        return wanted.is_required and wanted.is_always_shown and not wanted.default and not self.own.get(key)

    def _approvers_key(self, key: str, steps: Sequence[FlowStep] | None) -> str | None:
        if key != APPROVERS_FIELD and key not in self.by_key:
            lacks = Text("it has no field {field} for the approvers", field=repr(key))
            self.problems.append(self._with_fields(lacks))
            return None
        people_fields = self._fields_the_flow_asks(steps)
        if key in self.by_key and (key != APPROVERS_FIELD or key in people_fields or not people_fields):
            return key
        found = self._people_fields(steps)
        if len(found) > 1:
            self.problems.append(
                Text(
                    "several of its fields name people: {fields}; name one as approvers_field, and fill in the"
                    " others with fields",
                    fields=", ".join(found),
                )
            )
        if len(found) != 1:
            return None
        self.notes.append(Text("the approvers go into its field {field}", field=found[0]))
        return found[0]

    def _note_own_people(self, found: str | None, approvers: str, steps: Sequence[FlowStep] | None) -> None:
        """Note, as far as the flow shows it, that the flow's people are asked and not the approvers."""
        people = "; ".join(f"{step.name}: {step.people}" for step in steps or () if step.people)
        own = Text("its own people ({people})", people=people) if people else Text("its own people")
        named: dict[str, object] = {"own": own, "approvers": approvers, "field": found}
        if found is None and not self.problems:
            self.notes.append(Text("it has no field for approvers and asks {own}, not {approvers}", **named))
        elif found is not None and people:
            self.notes.append(Text("its flow asks {own}; {approvers} only stand in its field {field}", **named))

    def detail_field(self, key: str, reason: str) -> ServiceField | None:
        """Return the field that shows what is approved."""
        found = self.by_key.get(key)
        if found is not None and found.type not in {_OBJECT, *_LINES}:
            self.problems.append(
                Text(
                    "its field {field} is of type {type}, which shows no detail", field=repr(key), type=found.type
                )
            )
            return None
        if found is not None:
            return found
        if key != DETAIL_FIELD:
            self.problems.append(
                self._with_fields(Text("it has no field {field} for the detail", field=repr(key)))
            )
            return None
        found = self._readable_field(reason)
        if found is None:
            lacks = Text(
                "it has no field that shows the ETL payload and its digest: a CUSTOM-FORM, or one TEXT; name one"
                " as detail_field"
            )
            self.problems.append(self._with_fields(lacks))
        else:
            note = Text("the detail goes into its {type} field {field}", type=found.type, field=found.key)
            self.notes.append(note)
        return found

    def reason_field(self, key: str, detail: str | None) -> ServiceField | None:
        """Return the field that takes the reason; without one the reason is a row of the detail."""
        if key in self.by_key and key != detail:
            return self.by_key[key]
        if key != REASON_FIELD:
            self.problems.append(
                self._with_fields(Text("it has no field {field} for the reason", field=repr(key)))
            )
        return None

    def fill(self, payload: Mapping[str, Any], opened: date) -> None:
        """Fill in the built-in service's own fields from the application; a required size not given is 0."""
        for key, (value, why) in _facts(payload, opened).items():
            wanted = self.by_key.get(key)
            if wanted is not None and key not in self.own and value is not None:
                self._fill(wanted, value, why)
        for key in sorted(_SIZES & set(self.by_key) - set(self.own)):
            if self.by_key[key].is_required:
                self.not_stated[key] = self.by_key[key].name or key
                self._fill(self.by_key[key], _NOT_STATED, Text("nobody has stated it; fields= states it"))

    def _fill(self, wanted: ServiceField, value: Any, why: str) -> None:
        spelled = value if wanted.type == "INT" else str(value)
        self.filled[wanted.key] = spelled
        self.notes.append(
            Text(
                "its field {field} ({name}) is filled in with {value}: {reason}",
                field=wanted.key,
                name=wanted.name or wanted.type,
                value=repr(spelled),
                reason=why,
            )
        )

    def _people_fields(self, steps: Sequence[FlowStep] | None) -> list[str]:
        """Return the fields that may take the approvers: those the flow asks, else all of that type."""
        if steps is not None and any(step.people or step.people_from for step in steps):
            return self._fields_the_flow_asks(steps)
        return [key for key, one in self.by_key.items() if one.names_people and key not in self.own]

    def _fields_the_flow_asks(self, steps: Sequence[FlowStep] | None) -> list[str]:
        """Return the fields whose people the flow asks, without those the task fills in."""
        keys = {step.people_from for step in steps or ()}
        return [key for key in self.by_key if key in keys and key not in self.own]

    def _readable_field(self, reason: str) -> ServiceField | None:
        """Return the only field that can show the detail: a CUSTOM-FORM, else a TEXT, the reason's own last."""
        fields = [one for key, one in self.by_key.items() if key not in {*self.own, *_NOT_OURS}]
        objects = [one for one in fields if one.type == _OBJECT]
        texts = [one for one in fields if one.type == "TEXT" and one.key != reason]
        required = [one for one in texts if one.is_required]
        last = [one for one in fields if one.type == "TEXT"]
        return next((found[0] for found in (objects, required, texts, last) if len(found) == 1), None)

    def _with_fields(self, problem: Text) -> Text:
        """Return a problem with the fields that there are."""
        fields = ", ".join(f"{key} ({one.type})" for key, one in self.by_key.items())
        return Text("{problem}; its fields: {fields}", problem=problem, fields=fields)


def _facts(payload: Mapping[str, Any], opened: date) -> dict[str, tuple[Any, str]]:
    """Return the values of the built-in service's own fields, each with its source."""
    return {
        "expect_access_data": (f"{day_in_shanghai(opened):%Y-%m-%d}", Text("the day of the application")),
        "log_keep_days": (payload.get("retention"), Text("retention of the ETL payload")),
        "hot_data_days": (payload.get("allocation_min_days"), Text("allocation_min_days of the ETL payload")),
    }
