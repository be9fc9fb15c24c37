"""What ITSM's answers hold, frozen and typed; keys not listed here are kept as extra attributes.

Field names are ITSM's own. Times arrive as naive Asia/Shanghai text and leave as aware UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import pendulum
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from airflow_provider_bkitsm.itsm.errors import ItsmUnexpectedAnswerError

_SHANGHAI = "Asia/Shanghai"


def from_shanghai(value: object) -> object:
    """Turn ``YYYY-MM-DD HH:MM:SS[.ffffff]`` without offset into aware UTC; empty text into None."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    return pendulum.instance(datetime.fromisoformat(value), tz=_SHANGHAI).in_timezone("UTC")


def to_shanghai(moment: datetime) -> str:
    """Turn an aware time into the text ITSM's filters understand."""
    return pendulum.instance(moment).in_timezone(_SHANGHAI).format("YYYY-MM-DD HH:mm:ss")


def _names(value: object) -> object:
    """Split ITSM's ``",admin,carol,"`` into names."""
    return tuple(name for name in value.split(",") if name) if isinstance(value, str) else value


def _list(value: object) -> object:
    """Read ITSM's empty object, its form of "none", as an empty list."""
    return () if value in ({}, None) else value


ShanghaiTime = Annotated[datetime, BeforeValidator(from_shanghai)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class ItsmModel(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)


M = TypeVar("M", bound=ItsmModel)


class CreatedTicket(ItsmModel):
    """Answer of ``create_ticket``. Older servers answer ``sn`` only."""

    sn: Annotated[StrictStr, Field(min_length=1)]
    id: int | None = None
    ticket_url: str | None = None


class FormField(ItsmModel):
    """One field of a ticket's form. ``title`` occurs twice in ``get_ticket_info``."""

    key: str
    type: str = ""
    name: str = ""
    value: Any = None
    display_value: Any = None


class Step(ItsmModel):
    """A current step of the flow; ``processors`` are the people it waits for."""

    name: str = ""
    state_id: int
    status: str = ""
    processors_type: str = ""
    processors: Names = ()


class TicketStatus(ItsmModel):
    """Answer of ``get_ticket_status``: no sn, no title, no verdict."""

    current_status: StrictStr
    current_steps: tuple[Step, ...] = ()
    ticket_url: str = ""
    iframe_ticket_url: str = ""


class TicketInfo(ItsmModel):
    """Answer of ``get_ticket_info``. An approval field shows ``"true"`` before anybody decided."""

    sn: StrictStr
    title: str = ""
    current_status: StrictStr
    creator: str = ""
    service_id: int | None = None
    create_at: ShanghaiTime
    update_at: ShanghaiTime | None = None
    end_at: ShanghaiTime | None = None
    fields: tuple[FormField, ...] = ()
    ticket_url: str = ""


class LogEntry(ItsmModel):
    """One line of a ticket's log; ``from_state_type`` ``APPROVAL`` marks a processed approval step."""

    operator: str = ""
    operate_at: ShanghaiTime | None = None
    message: str = ""
    source: str = ""
    form_data: Annotated[tuple[FormField, ...], BeforeValidator(_list)] = ()
    from_state_type: str = ""


class TicketLogs(ItsmModel):
    """Answer of ``get_ticket_logs``, oldest entry first."""

    sn: StrictStr
    logs: tuple[LogEntry, ...] = ()


class ApprovalResult(ItsmModel):
    """One row of ``ticket_approval_result``: the authoritative state of one ticket."""

    sn: StrictStr
    title: str = ""
    ticket_url: str = ""
    current_status: StrictStr
    updated_by: Names = ()
    update_at: ShanghaiTime | None = None
    approve_result: StrictBool


class TicketSummary(ItsmModel):
    """One row of ``get_tickets``; neither ``tag`` nor ``meta`` come back."""

    id: int
    sn: StrictStr
    title: str = ""
    service_id: int | None = None
    current_status: str = ""
    creator: str = ""
    create_at: ShanghaiTime | None = None
    ticket_url: str = ""


class TicketPage(ItsmModel):
    """Answer of ``get_tickets``, newest ticket first."""

    page: int
    total_page: int
    count: int
    items: tuple[TicketSummary, ...] = ()


class TokenVerification(ItsmModel):
    """Answer of ``token/verify``."""

    is_passed: StrictBool


class Service(ItsmModel):
    """One row of ``get_services``."""

    id: int
    name: str = ""
    service_type: str = ""
    desc: str = ""


class ServiceField(ItsmModel):
    """One field of a service's submit form; ``validate_type`` ``REQUIRE`` must be filled."""

    key: str
    type: str = ""
    name: str = ""
    validate_type: str = "REQUIRE"


class Approver(ItsmModel):
    """Answer of ``get_approver``; after the end the last one who acted."""

    approver: Names = ()


class ApproveNodeResult(ItsmModel):
    """Answer of ``get_approve_node_result``, for a finished approval step only."""

    name: str = ""
    processed_user: str = ""
    approve_result: StrictBool
    approve_remark: str = ""


class ServiceCatalog(ItsmModel):
    """A catalogue and those below it."""

    id: int
    key: str = ""
    name: str = ""
    level: int = 0
    children: tuple[ServiceCatalog, ...] = ()


class ServiceRole(ItsmModel):
    """One row of ``get_service_roles``; ``sign_type`` is ``and`` (everybody) or ``or`` (one)."""

    id: int
    name: str = ""
    processors: Names = ()
    processors_type: str = ""
    sign_type: str = ""


class Workflow(ItsmModel):
    """Answer of ``get_workflow_detail``."""

    name: str = ""
    version_number: str = ""


class ServiceDetail(ItsmModel):
    """Answer of ``get_service_detail``."""

    service_id: int
    workflow_id: int | None = None
    name: str = ""
    fields: tuple[ServiceField, ...] = ()


def one(model: type[M]) -> Callable[[object], M]:
    """Return a parser of one object."""

    def parse(data: object) -> M:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            raise _unexpected(model, error) from None

    return parse


def many(model: type[M]) -> Callable[[object], tuple[M, ...]]:
    """Return a parser of a list of objects."""
    parse_one = one(model)

    def parse(data: object) -> tuple[M, ...]:
        if not isinstance(data, list):
            raise ItsmUnexpectedAnswerError(f"expected a list of {model.__name__} from ITSM")
        return tuple(parse_one(row) for row in data)

    return parse


def texts(data: object) -> tuple[str, ...]:
    """Parse a list of texts."""
    if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
        raise ItsmUnexpectedAnswerError("expected a list of texts from ITSM")
    return tuple(data)


def nothing(_data: object) -> None:
    """Parse the answer of an operation, which says nothing (``[]``)."""


def _unexpected(model: type[ItsmModel], error: ValidationError) -> ItsmUnexpectedAnswerError:
    wrong = sorted({".".join(map(str, problem["loc"])) or "the whole answer" for problem in error.errors()})
    return ItsmUnexpectedAnswerError(f"ITSM's {model.__name__} is not as known, see: {', '.join(wrong)}")
