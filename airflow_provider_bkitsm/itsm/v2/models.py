# SPDX-License-Identifier: Apache-2.0
"""What ITSM's answers hold, frozen and typed; keys not listed here are kept as extra attributes.

Field names are ITSM's own. Times arrive as naive Asia/Shanghai text and leave as aware UTC. Texts arrive as ITSM
stores them and leave as people meant them: entities of its HTML filter are decoded (:mod:`.v2.html_filter`), and
spelled four-byte characters are read back (:mod:`.v2.four_byte`). It happens here, once, for all readers; what
leaves is text, never markup.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, Field, StrictBool, model_validator

from airflow_provider_bkitsm.itsm.v2.four_byte import unescaped
from airflow_provider_bkitsm.itsm.v2.html_filter import TITLE_TYPE, value_as_shown
from airflow_provider_bkitsm.itsm.v2.parsing import (
    ItsmModel,
    Mappings,
    Meta,
    Name,
    Names,
    ShanghaiTime,
    Text,
    TimeOrNone,
    Word,
    form_items,
    none_as_list,
)


def as_meant(value: Any, field_type: str) -> Any:
    """Return a value as people meant it, of what ITSM stores for a field of this type."""
    shown = value_as_shown(value, field_type)
    return unescaped(shown) if isinstance(shown, str) else shown


# A ticket's title, which ITSM filters; and a text that people wrote and ITSM stores as it is.
Title = Annotated[str, AfterValidator(lambda text: as_meant(text, TITLE_TYPE))]
Remark = Annotated[str, AfterValidator(unescaped)]


class CreatedTicket(ItsmModel):
    """Answer of ``create_ticket``. Older servers answer ``sn`` only."""

    sn: Annotated[Word, Field(min_length=1)]
    id: int | None = None
    ticket_url: str | None = None


class FormField(ItsmModel):
    """One field of a ticket's form. ``title`` occurs twice in ``get_ticket_info``; raw items have no ``key``.

    ``value`` and ``display_value`` are texts as people meant them, objects and lists as ITSM stores them.
    """

    key: str = ""
    type: str = ""
    name: str = ""
    value: Any = None
    display_value: Any = None
    meta: Any = None

    @model_validator(mode="before")
    @classmethod
    def _texts_as_meant(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        field_type, given = str(data.get("type") or ""), {"value", "display_value"} & data.keys()
        return {**data, **{key: as_meant(data[key], field_type) for key in given}}


class Step(ItsmModel):
    """A current step of the flow; ``processors`` are the people it waits for."""

    name: Name = ""
    state_id: int
    status: str = ""
    processors_type: str = ""
    processors: Names = ()
    operations: Mappings = ()


class TicketStatus(ItsmModel):
    """Answer of ``get_ticket_status``: no sn, no title, no verdict."""

    current_status: Word
    current_steps: tuple[Step, ...] = ()
    ticket_url: str = ""
    iframe_ticket_url: str = ""

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Whom its current steps ask, each once."""
        return tuple(dict.fromkeys(name for step in self.current_steps for name in step.processors))


class TicketInfo(ItsmModel):
    """Answer of ``get_ticket_info``. An approval field shows ``"true"`` before anybody decided."""

    sn: Word
    title: Title = ""
    current_status: Word
    creator: str = ""
    service_id: int | None = None
    create_at: ShanghaiTime
    update_at: TimeOrNone = None
    end_at: TimeOrNone = None
    is_commented: bool = False
    current_steps: Annotated[tuple[Step, ...], none_as_list] = ()
    fields: tuple[FormField, ...] = ()
    ticket_url: str = ""
    iframe_ticket_url: str = ""


class LogEntry(ItsmModel):
    """One line of a ticket's log; what it says of an approval: :mod:`~airflow_provider_bkitsm.itsm.v2.evidence`.

    The form of an automatic step is raw: its items have no ``key``.
    """

    operator: str = ""
    operate_at: TimeOrNone = None
    message: Remark = ""
    source: str = ""
    form_data: Annotated[tuple[FormField, ...], form_items] = ()
    from_state_type: str = ""


class TicketLogs(ItsmModel):
    """Answer of ``get_ticket_logs``, oldest entry first."""

    sn: Word
    title: Title = ""
    logs: tuple[LogEntry, ...] = ()


class ApprovalResult(ItsmModel):
    """One row of ``ticket_approval_result``: the authoritative state of one ticket."""

    sn: Word
    title: Title = ""
    ticket_url: str = ""
    current_status: Word
    updated_by: Names = ()
    update_at: TimeOrNone = None
    approve_result: StrictBool


class TicketSummary(ItsmModel):
    """One row of ``get_tickets``; neither ``tag`` nor ``meta`` come back.

    ``comment_id`` is empty while the ticket is open, ``end_at`` None; ``bk_biz_id`` is -1 without business.
    """

    id: int
    sn: Word
    title: Title = ""
    catalog_id: int | None = None
    service_id: int | None = None
    service_type: str = ""
    flow_id: int | None = None
    current_status: str = ""
    comment_id: Text = ""
    is_commented: bool = False
    creator: str = ""
    create_at: TimeOrNone = None
    updated_by: Names = ()
    update_at: TimeOrNone = None
    end_at: TimeOrNone = None
    bk_biz_id: int | None = None
    ticket_url: str = ""
    iframe_ticket_url: str = ""


class StepOfUser(ItsmModel):
    """A current step in ``get_tickets_by_user``, which names it otherwise than ``get_ticket_status`` does."""

    id: int | None = None
    state_id: int | None = None
    name: str = ""
    type: str = ""
    tag: str = ""


class TicketOfUser(TicketSummary):
    """One row of ``get_tickets_by_user``: what the asked-for person sees and may do.

    ``meta`` is what the ticket was opened with, own keys included, without ``callback_url`` and ``headers``.
    ``comment_id`` is ``"-1"`` where the person may not comment. ITSM's ``can_operate`` is always false and so
    not listed.
    """

    service_name: str = ""
    meta: Meta = Field(default_factory=dict)
    project_key: str = ""
    current_status_display: str = ""
    current_processors: Names = ()
    current_steps: Annotated[tuple[StepOfUser, ...], none_as_list] = ()
    priority_name: str = ""
    followers: Any = None
    waiting_approve: bool = False
    can_comment: bool = False
    can_withdraw: bool = False
    can_supervise: bool = False
    is_supervise_needed: bool = False
    supervise_type: str = ""
    supervisor: Names = ()
    sla: Any = None
    sla_color: str = ""


R = TypeVar("R", bound=TicketSummary)


class Page(ItsmModel, Generic[R]):
    """One page of a search, newest ticket first."""

    page: int
    total_page: int
    count: int
    items: tuple[R, ...] = ()


class TicketPage(Page[TicketSummary]):
    """Answer of ``get_tickets``."""


class PageOfUser(Page[TicketOfUser]):
    """Answer of ``get_tickets_by_user``."""


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
    """One field of a service's submit form; ``validate_type`` ``REQUIRE`` must be filled.

    ``choice`` holds what may be answered: ``{"key", "name"}``, for trees ``{"id", "name", "children"}``.
    ``default`` is what ITSM's own page starts with: a call that leaves the field out does not get it.
    ``source_type`` is CUSTOM where ``choice`` holds the choices, else only ITSM knows them. ``show_type`` 0 hides
    the field where its ``show_conditions`` hold. ``custom_regex`` must match the beginning of a value.
    """

    key: str
    type: str = ""
    name: str = ""
    desc: str = ""
    validate_type: str = "REQUIRE"
    choice: Mappings = ()
    default: Any = None
    meta: Meta = Field(default_factory=dict)
    source_type: str | None = None
    regex: str | None = None
    custom_regex: str | None = None
    show_type: Any = None
    show_conditions: Meta = Field(default_factory=dict)


class Approver(ItsmModel):
    """Answer of ``get_approver``; after the end the last one who acted."""

    approver: Names = ()


class ApproveNodeResult(ItsmModel):
    """Answer of ``get_approve_node_result``, for a finished approval step only."""

    name: str = ""
    processed_user: str = ""
    approve_result: StrictBool
    approve_remark: Remark = ""


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
    """Answer of ``get_workflow_detail``: a flow's version, its parts as plain mappings."""

    name: str = ""
    flow_type: str = ""
    desc: str = ""
    version_number: Text = ""
    states: Mappings = ()
    transitions: Mappings = ()
    fields: Mappings = ()


class ServiceDetail(ItsmModel):
    """Answer of ``get_service_detail``."""

    service_id: int
    workflow_id: int | None = None
    name: str = ""
    service_type: str = ""
    desc: str = ""
    fields: tuple[ServiceField, ...] = ()
