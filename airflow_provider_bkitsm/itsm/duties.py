# SPDX-License-Identifier: Apache-2.0
"""Separation of duties: who asked, who has to have said yes, and whether that can come about at all. Pure.

Who asked is the requester: the person who started the run, or whom the task names. The rule is a part of the
:class:`~airflow_provider_bkitsm.itsm.verdict.VerdictPolicy`, and is stored with the request for an approval. What
is loosened later does not count for it; what is tightened later does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.models import FlowStep
from airflow_provider_bkitsm.itsm.outcome import Reason
from airflow_provider_bkitsm.itsm.people import (
    joined_names,
    person_key,
    read_people,
    read_person,
    same_spelling,
)
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy

THE_REQUESTER = "requester"
"""As ``creator``: the ticket is opened in the requester's name."""
REQUESTER, JOINED_BY = "requester", "joined_by"
"""What a stored request calls who asked, and who asked as well in joining its ticket."""


def check_min_approvers(given: int | None) -> int | None:
    """Return how many people have to say yes; None leaves that to the ticket's flow.

    :raises ValueError: it is no number of people.
    """
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
        raise ValueError(f"min_approvers must be a number of people, 1 or more, not {given!r}")
    return given


def requester_of_run(person: object, mapping: Mapping[str, Any]) -> str:
    """Return the name in ITSM of the person who started a run; empty where no person did.

    :param person: the name that Airflow shows with the run.
    :raises ItsmInvalidRequestError: the name cannot be one of ITSM's, or as ``name_in_itsm``.
    """
    if not isinstance(person, str) or not person.strip():
        return ""
    name = read_person("requester", name_in_itsm(person, mapping))
    if not name:
        raise _nobody(person)
    return name


def name_in_itsm(person: str, mapping: Mapping[str, Any]) -> str:
    """Return a person's name in ITSM by their name in Airflow.

    :param mapping: names in ITSM by names in Airflow; who is not in it, in whatever spelling, has the same name in
        both.
    :raises ItsmInvalidRequestError: it is empty there, or several may be meant.
    """
    spelling = same_spelling(person)
    alike = {name: str(mapping[name]) for name in mapping if same_spelling(name) == spelling}
    names = {alike[person]} if person in alike else set(alike.values()) or {person}
    if len(names) > 1:
        raise ItsmInvalidRequestError(
            f"user_mapping: {person!r} may be any of {', '.join(map(repr, alike))}; nothing was sent to ITSM"
        )
    name = names.pop()
    if not name.strip():
        raise _nobody(person)
    return name


def _nobody(person: str) -> ItsmInvalidRequestError:
    return ItsmInvalidRequestError(f"user_mapping: {person!r} has an empty name in ITSM; nothing was sent to ITSM")


def unmet_duty(policy: VerdictPolicy, agreed: Iterable[str]) -> Reason | None:
    """Return why the people who have said yes are not enough; None where they are (promise P3, fail closed).

    :param agreed: those whose yes counts at the end, each once.
    """
    if policy.forbid_self_approval and not policy.requester:
        return Reason.REQUESTER_UNKNOWN
    counted = counted_people(policy, agreed)
    if policy.forbid_self_approval and not counted:
        return Reason.SELF_APPROVED
    return Reason.TOO_FEW_APPROVERS if len(counted) < policy.min_approvers else None


def counted_people(policy: VerdictPolicy, people: Iterable[str]) -> tuple[str, ...]:
    """Return those whose yes counts: each once, without who asked where they may not approve it themselves."""
    found = {person_key(name): name for name in people}
    return tuple(name for name in found.values() if not may_not_approve(policy, name))


def may_not_approve(policy: VerdictPolicy, name: str) -> bool:
    """Whether a person asked, where nobody may approve their own request."""
    asked = (policy.requester or "").split(",") if policy.forbid_self_approval else ()
    return person_key(name) in map(person_key, asked)


def tightened(policy: VerdictPolicy, own: VerdictPolicy, *, asked: str | None) -> VerdictPolicy:
    """Return a policy with the stricter duties of two; what else they say of a verdict is the first one's.

    :param asked: who asked, by what is stored of the request.
    """
    forbids = policy.forbid_self_approval or own.forbid_self_approval
    return replace(
        policy,
        forbid_self_approval=forbids,
        min_approvers=max(policy.min_approvers, own.min_approvers),
        requester=joined_names(asked, policy.requester, own.requester) if forbids else None,
    )


def asked_by(request: Mapping[str, Any]) -> str | None:
    """Return who asked by what is stored of a request, with those who have joined it; None where it does not say.

    A request of a version without requesters has its creator only.
    """
    names = (request.get(REQUESTER) or request.get("creator"), *_texts(request.get(JOINED_BY)))
    return joined_names(*(name for name in names if isinstance(name, str)))


def _texts(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


@dataclass(frozen=True, kw_only=True)
class Approvers:
    """Who can say yes to a ticket, as far as that is known before it is opened.

    :param people: everybody whom an approval step asks.
    :param most: so many different people at most, since a step may be over after one answer.
    """

    people: tuple[str, ...]
    most: int


def approvers_of_one_step(people: object) -> Approvers:
    """Return the approvers of a flow with one step that is over after one answer."""
    return Approvers(people=read_people("approvers", people), most=1)


def approvers_of(steps: Sequence[FlowStep] | None, form: Mapping[str, Any]) -> Approvers | None:
    """Return whom the approval steps of a flow ask; None where that is not known."""
    asking = [step for step in steps or () if step.approves]
    each = [_people_of(step, form) for step in asking]
    known = [people for people in each if people is not None]
    if not each or len(known) < len(each):
        return None
    most = sum(1 if step.ends_at_first else len(people) for step, people in zip(asking, known, strict=True))
    everybody = {person_key(name): name for people in known for name in people}
    return Approvers(people=tuple(everybody.values()), most=min(most, len(everybody)))


def _people_of(step: FlowStep, form: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return whom a step asks; None where that is a role, a formula, or a name that nobody has."""
    if step.asks_others or (step.people_from is None and not step.names_people):
        return None
    given = form.get(step.people_from) if step.people_from is not None else step.people
    try:
        return read_people(step.name, given) or None
    except ItsmInvalidRequestError:
        return None


def check_can_be_met(policy: VerdictPolicy, approvers: Approvers | None) -> None:
    """Refuse a question that nobody could approve, before a ticket is opened.

    :param approvers: None: not known, and only the ticket's log will tell.
    :raises ItsmInvalidRequestError: every approver asked, or there are too few of them.
    """
    if policy.verdict_field is not None and policy.min_approvers > 1:
        raise ItsmInvalidRequestError(
            f"min_approvers={policy.min_approvers}: of the field {policy.verdict_field!r} only the last answer"
            " counts, which is one person's; no ticket was opened"
        )
    if approvers is None or not policy.needs_people:
        return
    counted = counted_people(policy, approvers.people)
    asks = ", ".join(approvers.people)
    if policy.forbid_self_approval and policy.requester and not counted:
        raise ItsmInvalidRequestError(
            f"forbid_self_approval: {policy.requester} asks, and the ticket would ask nobody but {asks}. Name"
            " another approver; no ticket was opened"
        )
    if min(len(counted), approvers.most) < policy.min_approvers:
        why = "" if approvers.most >= len(counted) else f", and its flow goes on after {approvers.most}"
        besides = f" (without {policy.requester}, who asks)" if len(counted) < len(approvers.people) else ""
        raise ItsmInvalidRequestError(
            f"min_approvers={policy.min_approvers}: the ticket would ask {asks}{besides}{why}. Name more"
            " approvers, or a service whose step is a countersign; no ticket was opened"
        )
