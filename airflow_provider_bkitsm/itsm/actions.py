# SPDX-License-Identifier: Apache-2.0
"""What is done to a ticket: withdraw, terminate, suspend, resume, hand over.

ITSM's only refusal is a catch-all, so the ticket's own state says what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_bkitsm.itsm.dialect import Capabilities, Dialect, DialectFlow, ask, spoken_dialect
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConfigurationError,
    ItsmConflictError,
    ItsmInvalidRequestError,
    ItsmOutcomeUnknownError,
    ItsmPermissionError,
    ItsmRefusedError,
    ItsmTicketNotFoundError,
)
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity
from airflow_provider_bkitsm.itsm.models import Progress, Step, TicketAction, TicketInfo, TicketStatus
from airflow_provider_bkitsm.itsm.people import person_key

_REFUSALS = (ItsmRefusedError, ItsmInvalidRequestError, ItsmConfigurationError, ItsmPermissionError)
_WITHOUT_EFFECT = "ITSM took it, and does not ask them"
_ENDED = frozenset(one for one in Progress if one.has_ended)
_WANTED = {
    TicketAction.WITHDRAW: _ENDED,
    TicketAction.TERMINATE: _ENDED,
    TicketAction.SUSPEND: frozenset({Progress.SUSPENDED}),
    TicketAction.UNSUSPEND: frozenset({Progress.RUNNING}),
}
# What an application can do where a version of ITSM keeps an action to people.
_INSTEAD = {
    TicketAction.TERMINATE: "Withdraw it in its creator's name: WITHDRAW",
    TicketAction.SUSPEND: "Leave it open: whoever waits for it goes on waiting",
    TicketAction.UNSUSPEND: "Have it resumed in ITSM",
}


def read_status(sn: str) -> DialectFlow[TicketStatus]:
    """Ask for a ticket's status.

    :raises ItsmAmbiguousError: two tickets carry this number.
    """
    return (yield from ask(lambda itsm: itsm.status(sn)))


def operate(
    *,
    sn: str,
    action_type: TicketAction | str,
    operator: str,
    action_message: str,
    identity: TicketIdentity | None = None,
) -> DialectFlow[TicketStatus]:
    """Operate on a ticket and return how it stands afterwards.

    A ticket that is already as wanted is a normal answer: WITHDRAW and TERMINATE of one that is over, however
    it ended, and a lost answer whose work was done.

    :param identity: as in ``read_own_info``.
    :raises ItsmTicketNotFoundError: as ``read_own_info``.
    :raises ItsmConflictError: ITSM refused and the ticket is not as wanted; it was not changed.
    :raises ItsmAmbiguousError: two tickets carry this number; ITSM changes neither.
    :raises ItsmOutcomeUnknownError: the answer was lost, and the ticket is not (yet) as wanted.
    :raises ItsmConfigurationError: this version of ITSM lets no application do it.
    """
    action = TicketAction(action_type)
    _refuse_what_it_lacks((yield from spoken_dialect()), action, sn)
    if identity is not None:
        yield from read_own_info(sn, identity)
    refusal: ItsmRefusedError | ItsmOutcomeUnknownError | None = None
    try:
        yield from ask(lambda itsm: itsm.operate(sn=sn, action=action, operator=operator, message=action_message))
    except (ItsmRefusedError, ItsmOutcomeUnknownError) as error:
        refusal = error
    status = yield from read_status(sn)
    if refusal is None or status.progress in _WANTED[action]:
        return status
    if isinstance(refusal, ItsmOutcomeUnknownError):
        raise ItsmOutcomeUnknownError(
            f"{refusal.message}; ticket {sn} is still {status.current_status} and may change yet"
        ) from refusal
    raise ItsmConflictError(
        f"{action} of ticket {sn} by {operator} was not done, the ticket is"
        f" {status.current_status}: {refusal.message}",
        code=refusal.code,
    ) from refusal


def _refuse_what_it_lacks(dialect: Dialect, action: TicketAction, sn: str) -> None:
    can = dialect.capabilities
    lacking = {} if can.suspend else {TicketAction.SUSPEND, TicketAction.UNSUSPEND}
    if action in lacking or (action is TicketAction.TERMINATE and not can.terminate):
        raise ItsmConfigurationError(
            f"ITSM {dialect.name} lets no application do {action} to a ticket; ticket {sn} is as it was."
            f" {_INSTEAD[action]}"
        )


def may_withdraw(can: Capabilities, *, person: str, creator: str) -> bool:
    """Whether ITSM's rule lets a person withdraw an open ticket. The ticket's flow may yet forbid it to everybody.

    :param person: their name in ITSM.
    :param creator: as ITSM shows it; empty where that is not known: then nobody but ITSM's own accounts may.
    """
    if can.withdraws_any is None:
        return True
    # ITSM compares names letter by letter; some of its versions show "alice(Alice Smith)".
    return bool(person) and person in {creator, creator.partition("(")[0], *can.withdraws_any}


def read_own_info(sn: str, identity: TicketIdentity | None) -> DialectFlow[TicketInfo]:
    """Read a ticket of ours.

    :param identity: what is recorded of its opening; None: nothing is.
    :raises ItsmTicketNotFoundError: the ticket that has its number now is another one (P6).
    """
    info: TicketInfo = yield from ask(lambda itsm: itsm.info(sn))
    if identity is not None and identity.is_another(info):
        raise ItsmTicketNotFoundError(
            f"ticket {sn} as it was opened is not in this ITSM: the one of its number is {info.creator}'s of"
            f" {info.created_at:%Y-%m-%d %H:%M} UTC ({info.title}), and was left alone. Does the connection lead"
            " to another ITSM than before?"
        )
    return info


def withdraw_or_terminate(
    *, sn: str, account: str, action_message: str, identity: TicketIdentity | None = None
) -> DialectFlow[TicketStatus]:
    """End a ticket that nobody waits for any more, and return how it stands: a decision that came first stands.

    It is withdrawn in its creator's name; one whose flow does not allow that is terminated by ``account``.

    :param account: who calls ITSM; terminating takes a current approver or a manager of the service.
    :param identity: see ``read_own_info``.
    :raises ItsmConflictError: neither is allowed (yet: a flow that has not started allows nothing). It says why
        ITSM refused the one and the other.
    :raises ItsmTicketNotFoundError: as ``read_own_info``.
    """
    info = yield from read_own_info(sn, identity)
    try:
        return (
            yield from operate(
                sn=sn, action_type=TicketAction.WITHDRAW, operator=info.creator, action_message=action_message
            )
        )
    except ItsmConflictError as refused:
        if not (yield from spoken_dialect()).capabilities.terminate:
            raise
        try:
            return (
                yield from operate(
                    sn=sn, action_type=TicketAction.TERMINATE, operator=account, action_message=action_message
                )
            )
        except ItsmConflictError as neither:
            raise ItsmConflictError(f"{refused.message}. {neither.message}", code=neither.code) from neither


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """What came of handing a ticket's steps over.

    :param status: the ticket's, read afterwards.
    :param done: what people call the steps that ask the new people now.
    :param refusals: why the others do not, one sentence for each.
    """

    status: TicketStatus
    done: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


def hand_over(*, sn: str, status: TicketStatus, people: Sequence[str], message: str) -> DialectFlow[HandOver]:
    """Have every step that waits ask other people, in place of those it asks, where ITSM allows it.

    It is no answer to the step: only the new people's own answers are. What the steps ask afterwards is read from
    ITSM. A step that asks these people already counts as handed over, so a repetition changes nothing.

    :param status: the ticket's, just read.
    :param message: why, for ITSM's log.
    :raises ItsmError: ITSM does not answer. A repetition is safe.
    """
    refusals: dict[str, str] = {}
    for step in status.current_steps:
        if not _asks(step, people):
            refusals[step.key] = yield from _refusal_of(sn, step, people, message)
    after = (yield from read_status(sn)) if "" in refusals.values() else status
    left = [step for step in after.current_steps if not _asks(step, people)]
    return HandOver(
        status=after,
        done=tuple(step.name or step.key for step in after.current_steps if step not in left),
        refusals=tuple(f"{step.name or step.key}: {refusals.get(step.key) or _WITHOUT_EFFECT}" for step in left),
    )


def _asks(step: Step, people: Sequence[str]) -> bool:
    return {person_key(name) for name in step.processors} == {person_key(name) for name in people}


def _refusal_of(sn: str, step: Step, people: Sequence[str], message: str) -> DialectFlow[str]:
    """Hand a step over; return why that was refused, empty where it was not."""
    if not step.processors:
        return "it asks nobody by name"
    if step.can_be_handed_over is False:
        return "its service does not offer to hand it over"
    by = step.processors[0]
    try:
        yield from ask(lambda itsm: itsm.hand_over(sn=sn, step=step, people=people, operator=by, message=message))
    except ItsmOutcomeUnknownError:
        return ""
    except _REFUSALS as error:
        return error.message
    return ""


def comment(*, sn: str, stars: int, operator: str, comments: str) -> DialectFlow[bool]:
    """Rate a finished ticket; False when it was rated before, which leaves that rating as it is.

    :param stars: 1 to 6.
    :param operator: who rates: its creator or one who is asked.
    :raises ItsmConflictError: the ticket is still open, was withdrawn or terminated, or ITSM refused.
    :raises ItsmOutcomeUnknownError: the answer was lost, and the ticket is not rated (yet).
    """
    return (yield from ask(lambda itsm: itsm.comment(sn=sn, stars=stars, operator=operator, comments=comments)))
