# SPDX-License-Identifier: Apache-2.0
"""Rating a finished ticket, which v2 takes once. Its only refusal is a catch-all, so the ticket says the rest."""

from __future__ import annotations

from airflow_provider_bkitsm.itsm.errors import ItsmConflictError, ItsmInvalidRequestError, ItsmOutcomeUnknownError
from airflow_provider_bkitsm.itsm.protocol import Flow
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.models import TicketInfo
from airflow_provider_bkitsm.itsm.v2.status import progress_of

_FINISHED = "FINISHED"


def comment(*, sn: str, stars: int, operator: str, comments: str) -> Flow[bool]:
    """Rate a finished ticket; False when it was rated before, which leaves that rating as it is.

    See docs/itsm-behaviour.md#comment.

    :param stars: 1 to 6.
    :param operator: who rates, at most 16 characters: its creator or one who is asked.
    :param comments: what is cut after 255 characters.
    :raises ItsmConflictError: the ticket is still open, was withdrawn or terminated, or ITSM refused.
    :raises ItsmOutcomeUnknownError: the answer was lost, and the ticket is not rated (yet).
    """
    call = calls.comment_ticket(sn=sn, stars=stars, operator=operator, comments=comments)
    info = yield calls.get_ticket_info(sn)
    _refuse_unfinished(info)
    if info.is_commented:
        return False
    try:
        yield call
    except (ItsmInvalidRequestError, ItsmOutcomeUnknownError) as error:
        if not (yield calls.get_ticket_info(sn)).is_commented:
            raise _not_done(sn, operator, error) from error
    return True


def _refuse_unfinished(info: TicketInfo) -> None:
    if info.current_status == _FINISHED:
        return
    ended = progress_of(info.current_status).has_ended
    why = f"was not finished but is {info.current_status}" if ended else f"is still open ({info.current_status})"
    raise ItsmConflictError(f"ticket {info.sn} {why}; ITSM lets nobody comment on it. Nothing was sent")


def _not_done(
    sn: str, operator: str, error: ItsmInvalidRequestError | ItsmOutcomeUnknownError
) -> ItsmConflictError | ItsmOutcomeUnknownError:
    if isinstance(error, ItsmOutcomeUnknownError):
        return ItsmOutcomeUnknownError(f"{error.message}; ticket {sn} shows no comment (yet)")
    return ItsmConflictError(
        f"ITSM refused the comment of {operator} on ticket {sn}, which is as it was: {error.message}",
        code=error.code,
    )
