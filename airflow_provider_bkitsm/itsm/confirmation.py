# SPDX-License-Identifier: Apache-2.0
"""Whether people approved what was sent to open the ticket, by the verdict policy of that time. Pure.

ITSM lets people and applications edit the title and the submit form of an open ticket, and an approver may send a
ticket back to be handed in anew. An approval of another text is no approval of what runs (promise P3). So the
ticket is read once more when it is approved, and before a ticket that was opened earlier is adopted.

What was sent is compared as ITSM stores and shows it, which the dialect says (``Dialect.readings``). Fields that
were not sent, such as those of the approval step, are not compared.

A connection may say by which policy verdicts are read. Where that was changed while people decided, an approval
has to be one by both policies: loosened meanwhile, it releases nothing that was asked for before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_bkitsm.itsm.dialect import Dialect, DialectFlow, ask, spoken_dialect, stored_dialect
from airflow_provider_bkitsm.itsm.duties import JOINED_BY, REQUESTER, asked_by, tightened
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError, ItsmUnexpectedAnswerError
from airflow_provider_bkitsm.itsm.form import read_form
from airflow_provider_bkitsm.itsm.idempotency import shows_marker
from airflow_provider_bkitsm.itsm.models import TicketInfo
from airflow_provider_bkitsm.itsm.outcome import DUTIES, Outcome, Reason
from airflow_provider_bkitsm.itsm.people import is_shown_as, joined_names
from airflow_provider_bkitsm.itsm.protocol import read_json
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import about_ticket, read_verdict

_TITLE = "title"
# Of a verdict policy: what a task's own setting takes the place of.
_PLACES = ("verdict_field", "verdict_value", "require_evidence", "accept_automatic")
_MOST_DIFFERENCES = 5
_EXCERPT, _BEFORE = 120, 20
_ADVICE = "Nothing goes on; ask anew"
_POLICY = "The connection's verdict policy was another one when the ticket was asked for, and that one counts too"


@dataclass(frozen=True, kw_only=True)
class FieldDifference:
    """A field that a ticket does not show as it was sent: excerpts in quotes.

    :param now: None: the ticket does not show the field at all.
    """

    key: str
    sent: str
    now: str | None

    @property
    def text(self) -> str:
        """The same in one sentence."""
        if self.now is None:
            return f"{self.key} was sent as {self.sent} and is not in the ticket"
        return f"{self.key} was sent as {self.sent} and is {self.now} now"


def confirm(
    verdict: Verdict, request: Mapping[str, Any] | None, settings: Mapping[str, Any] | None = None
) -> DialectFlow[Verdict]:
    """Return a verdict unchanged, or rejected where an approved ticket does not show what was sent.

    One call for an approval, none for any other verdict; see ``as_asked`` for a policy that was changed. ITSM lets
    nobody edit a ticket that has ended: read after its end, it shows what its approvers saw last.

    :param request: ``service_id`` and ``fields`` as the ticket was opened with, the title among the fields, and
        its ``dialect``. None: whoever waits does not have it, and the verdict stands; see ``lacks_requester``.
    :param settings: the task's own part of the policy.
    :raises ItsmUnexpectedAnswerError: ITSM answered about another ticket.
    """
    if verdict.outcome is not Outcome.APPROVED:
        return verdict
    if request is None:
        return _of_unknown_requester(verdict) if lacks_requester(verdict, request, settings) else verdict
    dialect = yield from spoken_dialect()
    if stored_dialect(request) != dialect.name:
        return _of_another_dialect(verdict, request, dialect)
    verdict = yield from as_asked(verdict, request, settings)
    if verdict.outcome is not Outcome.APPROVED:
        return verdict
    info: TicketInfo = about_ticket(verdict.sn, (yield from ask(lambda itsm: itsm.info(verdict.sn))))
    return confirmed(verdict, request, info, dialect)


def confirmed(
    verdict: Verdict, request: Mapping[str, Any] | None, info: TicketInfo | None, dialect: Dialect
) -> Verdict:
    """As ``confirm``, of a ticket that was read already.

    :param info: read when the verdict was, or later. ITSM takes no edit once it has ended.
    """
    if request is None or verdict.outcome is not Outcome.APPROVED:
        return verdict
    if stored_dialect(request) != dialect.name:
        return _of_another_dialect(verdict, request, dialect)
    if info is None:
        raise ItsmUnexpectedAnswerError(f"ticket {verdict.sn} was not read back; nothing was approved")
    service = () if info.service_id is None else _service_differences(request, info)
    found = (*service, *form_differences(request, info, dialect))
    if not found:
        return verdict
    reason = Reason.FORM_CHANGED
    text = f"{reason.text}: {_listed(found)}. {_ADVICE}"
    return replace(verdict, outcome=Outcome.REJECTED, reason=text, reason_code=reason)


def as_asked(
    verdict: Verdict, request: Mapping[str, Any] | None, settings: Mapping[str, Any] | None = None
) -> DialectFlow[Verdict]:
    """Return a verdict unchanged, unless an approval is none by the policy of when the ticket was asked for.

    No call where the verdict was read by that policy; else it is read anew.

    :param request: ``policy`` in it is the connection's of that time. Without one the verdict stands; one that
        cannot be read is no approval's.
    :param settings: as for ``confirm``; what is set in it takes the place of the connection's. Of the duties the
        stricter count: those of the task that asked, or this one's own.
    """
    if request is None or verdict.outcome is not Outcome.APPROVED:
        return verdict
    stored = request.get("policy")
    policy = verdict.policy if stored is None else VerdictPolicy.from_dict(stored)
    if policy is None or (stored is None and not policy.forbid_self_approval):
        return verdict if stored is None else _of_unreadable_policy(verdict, stored)
    policy = _of_task(policy, request, settings)
    if policy.forbid_self_approval and not policy.requester:
        return _of_unknown_requester(verdict)
    if verdict.policy == policy:
        return verdict
    found = yield from read_verdict(verdict.sn, policy)
    if found.outcome is Outcome.APPROVED:
        return verdict
    reason = found.reason if found.reason_code in DUTIES else f"{found.reason}. {_POLICY}"
    return replace(found, reason=reason, seen_by=verdict.seen_by, seen_at=verdict.seen_at)


def _of_task(
    policy: VerdictPolicy, request: Mapping[str, Any], settings: Mapping[str, Any] | None
) -> VerdictPolicy:
    """Return the policy of when the ticket was asked for, with what the task itself says and who asked."""
    own = {name: value for name, value in (settings or {}).items() if value is not None}
    places = {name: own.pop(name) for name in _PLACES if name in own}
    return tightened(replace(policy, **places), VerdictPolicy(**own), asked=asked_by(request))


def _of_unreadable_policy(verdict: Verdict, stored: object) -> Verdict:
    reason = Reason.UNREADABLE
    text = f"{reason.text}: the stored verdict policy {stored!r:.200}. {_ADVICE}"
    return replace(verdict, outcome=Outcome.REJECTED, reason=text, reason_code=reason)


def lacks_requester(
    verdict: Verdict, request: Mapping[str, Any] | None, settings: Mapping[str, Any] | None = None
) -> bool:
    """Whether nobody knows who asked, though it counts: the record that says it cannot be reached from here.

    :param request: as for ``confirm``; a ticket with our mark has one somewhere.
    """
    policy = verdict.policy
    forbids = policy is not None and policy.forbid_self_approval
    is_named = joined_names((settings or {}).get(REQUESTER)) is not None
    return forbids and request is None and not is_named and shows_marker(verdict.title)


def was_joined(
    verdict: Verdict, request: Mapping[str, Any] | None, settings: Mapping[str, Any] | None = None
) -> bool:
    """Whether others have joined the ticket who may not approve it either, and the verdict was read without them.

    :param request: as for ``confirm``, with those who have joined.
    :param settings: likewise; the verdict was read with the requester in it.
    """
    if request is None or not request.get(JOINED_BY):
        return False
    own, stored = settings or {}, VerdictPolicy.from_dict(request.get("policy"))
    forbids = any(one is not None and one.forbid_self_approval for one in (verdict.policy, stored))
    known = joined_names(asked_by({**request, JOINED_BY: ()}), own.get(REQUESTER))
    return (forbids or bool(own.get("forbid_self_approval"))) and joined_names(known, asked_by(request)) != known


def _of_unknown_requester(verdict: Verdict) -> Verdict:
    reason = Reason.REQUESTER_UNKNOWN
    text = (
        f"{reason.text}: the record of the request is in another machine's store. Name one for all with [bkitsm]"
        f" store_conn_id, or give the task a requester. {_ADVICE}"
    )
    return replace(verdict, outcome=Outcome.REJECTED, reason=text, reason_code=reason)


def _of_another_dialect(verdict: Verdict, request: Mapping[str, Any], dialect: Dialect) -> Verdict:
    """Return no approval: another ITSM may have a ticket of the same number."""
    reason = Reason.ANOTHER_DIALECT
    text = f"{reason.text}: then {stored_dialect(request)}, now {dialect.name}. {_ADVICE}"
    return replace(verdict, outcome=Outcome.REJECTED, reason=text, reason_code=reason)


def ticket_differences(request: Mapping[str, Any], info: TicketInfo, dialect: Dialect) -> tuple[str, ...]:
    """Return in what a ticket differs from the one that a request would open: who asks, service, title, form.

    A ticket is adopted only where this is empty: another application may have opened it. A ticket whose flow has
    not started has no form yet, which is a difference.

    :param request: as for ``confirm``, and ``creator``. The service of ``fast_approval`` has no number here.
    """
    return (
        *_creator_differences(request, info),
        *_service_differences(request, info),
        *form_differences(request, info, dialect),
    )


def form_differences(request: Mapping[str, Any], info: TicketInfo, dialect: Dialect) -> tuple[str, ...]:
    """Return in what a ticket's title and form differ from what was sent: key, what was sent, what is there."""
    try:
        return tuple(one.text for one in differing_fields(request, info, dialect))
    except ItsmInvalidRequestError as error:
        return (error.message,)


def differing_fields(
    request: Mapping[str, Any], info: TicketInfo, dialect: Dialect
) -> tuple[FieldDifference, ...]:
    """Return the fields, the title among them, that a ticket does not show as they were sent.

    :raises ItsmInvalidRequestError: what was sent is not known.
    """
    try:
        form = read_form(request.get("fields"))
        sent = dialect.form_as_sent(form)
    except ItsmInvalidRequestError as error:
        raise ItsmInvalidRequestError(f"the form that was sent is not known: {error.message}") from error
    if _TITLE not in sent:
        raise ItsmInvalidRequestError("the title that was sent is not known")
    pairs = ((key, _spellings(sent[key], form[key])) for key in sent)
    return tuple(one for key, spellings in pairs for one in _field_differences(key, spellings, info, dialect))


def _spellings(sent: Any, given: Any) -> tuple[Any, ...]:
    """Return a value as it was sent first, then as it was given, if that is another one."""
    return (sent,) if isinstance(given, str) and sent == given else (sent, given)


def _creator_differences(request: Mapping[str, Any], info: TicketInfo) -> Iterator[str]:
    creator = str(request.get("creator") or "")
    if creator and not is_shown_as(info.creator, creator):
        yield _difference("creator", creator, info.creator).text


def _service_differences(request: Mapping[str, Any], info: TicketInfo) -> Iterator[str]:
    service_id = request.get("service_id")
    if service_id is None or request.get("fast_approval"):
        return
    if str(service_id).strip() != str(info.service_id):
        yield _difference("service_id", str(service_id), str(info.service_id)).text


def _field_differences(
    key: str, spellings: tuple[Any, ...], info: TicketInfo, dialect: Dialect
) -> Iterator[FieldDifference]:
    """Compare every place in which a ticket shows a field: ITSM lists the title twice, beside the ticket's own.

    :param spellings: the value as it was sent first, then as it was given.
    """
    shown = [(field.type, field.value) for field in info.fields if field.key == key]
    if key == _TITLE:
        shown.insert(0, (dialect.title_type, info.title))
    nowhere = ((dialect.title_type, ""),)
    for field_type, value in dict.fromkeys((kind, _text(value)) for kind, value in shown) or nowhere:
        readings = {_text(one) for sent in spellings for one in dialect.readings(_as_json(sent), field_type)}
        objects = {_text(_as_json(one)) for one in spellings if isinstance(one, Mapping | list | tuple)}
        if value not in readings and _respelled(value) not in objects:
            yield _difference(key, _text(_as_json(spellings[0])), value if shown else None)


def _as_json(value: Any) -> Any:
    """Return a value as it arrives at ITSM: tuples are lists there, and keys are texts."""
    if isinstance(value, str):
        return value
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return value


def _text(value: Any) -> str:
    """Return one text for one content: nothing and an empty text look alike, and a number like its digits."""
    if value is None:
        return ""
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return str(value)


def _respelled(text: str) -> str:
    """Return JSON text as ``_text`` spells it: an object may be stored as text."""
    try:
        value = read_json(text.encode())
    except (ValueError, RecursionError):
        return text
    return _text(value) if isinstance(value, Mapping | list) else text


def _difference(key: str, sent: str, now: str | None) -> FieldDifference:
    """Return what was sent and what is there, with the place where the two part."""
    if now is None:
        return FieldDifference(key=key, sent=_excerpt(sent, 0), now=None)
    pairs = enumerate(zip(sent, now, strict=False))
    parting = next((at for at, (one, other) in pairs if one != other), min(len(sent), len(now)))
    return FieldDifference(key=key, sent=_excerpt(sent, parting), now=_excerpt(now, parting))


def _excerpt(text: str, at: int) -> str:
    start = max(0, at - _BEFORE) if len(text) > _EXCERPT else 0
    end = start + _EXCERPT
    return f"{'...' if start else ''}{text[start:end]!r}{'...' if end < len(text) else ''}"


def _listed(differences: tuple[str, ...]) -> str:
    shown = "; ".join(differences[:_MOST_DIFFERENCES])
    more = len(differences) - _MOST_DIFFERENCES
    return f"{shown}; and {more} more" if more > 0 else shown
