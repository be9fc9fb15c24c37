# SPDX-License-Identifier: Apache-2.0
"""What the collector operators share: the collector, both platforms, the store, and the ticket's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_bkitsm.itsm.duties import THE_REQUESTER, check_min_approvers
from airflow_provider_bkitsm.itsm.outcome import Reason
from airflow_provider_bkitsm.itsm.people import read_person
from airflow_provider_bkitsm.links.ticket import ItsmTicketLink, show_ticket
from airflow_provider_bkitsm.mixins import (
    ItsmHookMixin,
    OpenLineageMixin,
    TaskMixin,
    VerdictPolicyMixin,
    map_index,
    number,
)
from airflow_provider_bkitsm.version_compat import AirflowFailException, BranchMixIn, DownstreamTasksSkipped

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.collectors.row import CollectorRow, Owner
    from airflow_provider_bkitsm.collectors.store import CollectorStore
    from airflow_provider_bkitsm.hooks.bklog import BkLogHook
    from airflow_provider_bkitsm.itsm.errors import ItsmAnotherDialectError
    from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy


class CollectorStoreMixin(TaskMixin):
    """A task with the collectors' store, opened on first use. The audit names the task that made a change."""

    store_conn_id: str | None
    _actor: str | None = None

    def pre_execute(self, context: Context) -> None:
        """Remember the actor of this try's changes, for the audit."""
        super().pre_execute(context)
        person = getattr(context["dag_run"], "triggering_user_name", None)
        self._actor = str(this_task(context)) + (f", started by {person}" if person else "")

    @cached_property
    def store(self) -> CollectorStore:
        """The store of the collectors' approval state."""
        from airflow_provider_bkitsm.hooks.store import open_store

        return open_store(self.store_conn_id, actor=self._actor)


class SkipSensorsMixin(BranchMixIn, TaskMixin):
    """A task that can skip the waits directly behind it, because there is nothing to wait for.

    Leaving them to an empty number would not do: a wait that is given one fails, whatever the reason (P3). For a
    wait that is cleared later to be skipped again, the operator has to set ``_can_skip_downstream``, as Airflow's
    own do.
    """

    def skip_waits(self, context: Context) -> None:
        """Skip each ``ItsmTicketSensor`` directly behind this task; return only if there is none to skip.

        Of tasks mapped over collectors, each that opens no ticket returns no number, so no wait is mapped over it.
        """
        waits, ti = self.waits(), context["ti"]
        index = map_index(ti)
        if not waits or (index >= 0 and self.get_closest_mapped_task_group() is None):
            return
        self.log.info("Nothing to wait for: skipping %s", waits)
        # Airflow's own way, which also counts when a wait is cleared; in a mapped group it skips nothing yet.
        self.skip(ti, [one for one in self.downstream_list if one.node_id in waits])
        raise DownstreamTasksSkipped(tasks=[(one, index) for one in waits])  # type: ignore[no-untyped-call]

    def waits(self) -> list[str]:
        """Return the tasks directly behind this one that wait for a ticket."""
        from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

        behind = self.downstream_list if self.downstream_task_ids else ()
        kinds = {one.node_id: getattr(one, "operator_class", type(one)) for one in behind}
        return sorted(name for name, kind in kinds.items() if issubclass(kind, ItsmTicketSensor))


class CollectorOperator(ItsmHookMixin, CollectorStoreMixin, OpenLineageMixin, BaseOperator):
    """An operator for one collector, with both platforms and the store.

    :param collector_config_id: the collector. (templated)
    :param bk_biz_id: its business. (templated)
    :param creator: in whose name the ticket is opened, and who may withdraw it; None takes the connection's user.
        (templated)
    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    :param bklog_conn_id: connection of type ``bklog``. (templated)
    :param store_conn_id: database of the collectors' state; None takes ``[bkitsm] store_conn_id``. (templated)
    """

    template_fields: Sequence[str] = (
        "collector_config_id",
        "bk_biz_id",
        "creator",
        "bkitsm_conn_id",
        "bklog_conn_id",
        "store_conn_id",
    )
    operator_extra_links = (ItsmTicketLink(),)
    ui_color = "#eaf6ec"

    def __init__(
        self,
        *,
        collector_config_id: int | str,
        bk_biz_id: int | str,
        creator: str | None = None,
        bkitsm_conn_id: str = "bkitsm_default",
        bklog_conn_id: str = "bklog_default",
        store_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collector_config_id = collector_config_id
        self.bk_biz_id = bk_biz_id
        self.creator = creator
        self.bkitsm_conn_id = bkitsm_conn_id
        self.bklog_conn_id = bklog_conn_id
        self.store_conn_id = store_conn_id

    @property
    def asker(self) -> str:
        """Who asks for the approval."""
        name = "" if self.creator == THE_REQUESTER else read_person("creator", self.creator)
        return name or self.hook.gateway.username

    @cached_property
    def bklog(self) -> BkLogHook:
        """The log platform's client."""
        from airflow_provider_bkitsm.hooks.bklog import BkLogHook

        return BkLogHook(self.bklog_conn_id)

    @property
    def key(self) -> tuple[str, int]:
        """The collector's key in the store."""
        return self.bklog_conn_id, number("collector_config_id", self.collector_config_id)

    def collector(self) -> Mapping[str, Any]:
        """Return the collector from the log platform's list; unlike its detail, the list calls no ITSM."""
        biz = number("bk_biz_id", self.bk_biz_id)
        return self.bklog.get_collector(self.key[1], bk_biz_id=biz)

    def own_row(self, context: Context) -> CollectorRow:
        """Return the collector's row if a task before this one has applied; another's is never touched.

        :raises AirflowFailException: it is not, and a retry would not change that.
        """
        row, ti = self.store.get(*self.key), context["ti"]
        if row.owner is None:
            raise AirflowFailException(
                f"nobody applied for collector {self.key[1]}, says this worker's store; nothing was done. Either"
                " the apply task of this run failed before it asked anybody, and its log says why; or workers span"
                " machines, and they need one store: [bkitsm] store_conn_id"
            )
        in_run = (row.owner.dag_id, row.owner.run_id) == (ti.dag_id, ti.run_id)
        if not (in_run and self._comes_after(row.owner, map_index(ti))):
            raise AirflowFailException(
                f"the current application of collector {self.key[1]} is {row.owner}, ticket"
                f" {row.ticket_sn or 'none'}; no task of this run before this one made it, so nothing was"
                " changed: the log of its own apply task says why"
            )
        check_is_here(row)
        show_ticket(ti, row.ticket_url)
        return row

    def _comes_after(self, owner: Owner, index: int) -> bool:
        """Whether a task of this run stands before this one in the DAG, and not in the chain of another one.

        Two chains of a run may be about one collector, also two instances of a mapped one. A task that the DAG
        does not have any more is taken for one before.
        """
        dag = self.get_dag()
        if dag is None or owner.task_id not in dag.task_dict:
            return True
        if owner.task_id not in self.get_flat_relative_ids(upstream=True):
            return False
        is_same_chain = owner.map_index == index
        return is_same_chain or not _are_in_step(dag.task_dict[owner.task_id], dag.task_dict[self.task_id])


class ReadsStoredVerdict(ItsmHookMixin, VerdictPolicyMixin):
    """A task that reads a ticket's verdict where the application's service has it."""

    def another_dialect_of(self, row: CollectorRow) -> ItsmAnotherDialectError | None:
        """Return the error of an application in another ITSM: this one may have a ticket of the same number."""
        return row.in_another_dialect(self.hook.gateway.dialect.name, self.bkitsm_conn_id)

    def check_dialect(self, row: CollectorRow) -> None:
        """Refuse to look for, read or end the ticket of another ITSM (P6).

        :raises ItsmAnotherDialectError: the connection speaks another dialect than when the application was made.
        """
        if another := self.another_dialect_of(row):
            raise another

    def verdict_policy_of(self, row: CollectorRow) -> VerdictPolicy:
        """Return where the verdict is read: by the task's parameters, the stored settings or the connection.

        The first that names a place counts. The stored settings were the service's before the ticket was opened.
        """
        return self.hook.verdict_policy(**self.verdict_settings_of(row))

    def verdict_settings_of(self, row: CollectorRow) -> dict[str, Any]:
        """Return the part of that policy which is not the connection's."""
        named = {key: value for key, value in self.verdict_settings.items() if value is not None}
        return {**(row.verdict_settings or {}), **named}


class VerdictReadingOperator(ReadsStoredVerdict, CollectorOperator):
    """A collector operator that also reads the ticket of the application.

    :param verdict_field: see :class:`~airflow_provider_bkitsm.sensors.ticket.ItsmTicketSensor`; None reads the
        verdict where the application's service has it. (templated)
    :param verdict_value: likewise. (templated)
    :param require_evidence: likewise.
    :param accept_automatic: likewise.
    :param forbid_self_approval: likewise; the application's own setting counts as well.
    :param min_approvers: likewise.
    """

    template_fields: Sequence[str] = (*CollectorOperator.template_fields, "verdict_field", "verdict_value")

    def __init__(
        self,
        *,
        verdict_field: str | None = None,
        verdict_value: str | None = None,
        require_evidence: bool | None = None,
        accept_automatic: bool | None = None,
        forbid_self_approval: bool | None = None,
        min_approvers: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.verdict_field = verdict_field
        self.verdict_value = verdict_value
        self.require_evidence = require_evidence
        self.accept_automatic = accept_automatic
        self.forbid_self_approval = forbid_self_approval
        self.min_approvers = check_min_approvers(min_approvers)

    def read_verdict(self, row: CollectorRow, settings: Mapping[str, Any] | None = None) -> Verdict:
        """Ask ITSM how the application's ticket stands; an approved one that is not what was sent is rejected.

        :param settings: where the verdict is read; None: as ``verdict_settings_of`` says.
        :raises ItsmAnotherDialectError: the ticket is another ITSM's, which is not asked.
        """
        from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict

        self.check_dialect(row)
        chosen = self.verdict_settings_of(row) if settings is None else settings
        verdict = self.hook.run(read_verdict(str(row.ticket_sn), self.hook.verdict_policy(**chosen)))
        return self.confirmed(row, verdict, chosen)

    def confirmed(self, row: CollectorRow, verdict: Verdict, settings: Mapping[str, Any] | None = None) -> Verdict:
        """Return the verdict, rejected if an approved ticket does not show what was sent to open it."""
        from airflow_provider_bkitsm.itsm.confirmation import confirm

        chosen = self.verdict_settings_of(row) if settings is None else settings
        return self.hook.run(confirm(verdict, row.request, chosen))

    def record(self, row: CollectorRow, verdict: Verdict) -> CollectorRow:
        """Store the verdict of a ticket that has ended, unless one is stored already.

        An end that no approver decided is not stored: the verdict policy may be wrong, or a person has to look.
        """
        if not verdict.stands:
            return row
        return self.store.decided(*self.key, sn=verdict.sn, outcome=verdict.outcome, detail=verdict.as_dict())


def _are_in_step(one: Any, other: Any) -> bool:
    """Whether two tasks are mapped alike, so that the instances of one index are about one collector."""
    group = other.get_closest_mapped_task_group()
    if group is not None:
        return one.get_closest_mapped_task_group() is group
    mapped_over = [task.expand_input.value if task.is_mapped else None for task in (one, other)]
    return mapped_over[0] is not None and mapped_over[0] == mapped_over[1]


def check_is_here(row: CollectorRow) -> CollectorRow:
    """Return an application of this Airflow: another one that shares the store may have a run of the same id.

    :raises AirflowFailException: it is another one's, and its approval releases nothing here (promise P3).
    """
    from airflow_provider_bkitsm.tickets.approval_store import installation

    if not row.is_of(installation()):
        raise AirflowFailException(
            f"the current application of {row.name}, ticket {row.ticket_sn or 'none'}, is of another Airflow, its"
            f" address is {row.installation or 'not set'}: its approval releases nothing here, nothing was"
            " changed. If it is this one, give all workers the same [api] base_url"
        )
    return row


def standing(row: CollectorRow, verdict: Verdict) -> str:
    """Return how the ticket stands; if ITSM changed its verdict, that the first one counts."""
    if row.outcome in (None, verdict.outcome) or verdict.reason_code is Reason.FORM_CHANGED:
        return verdict.describe()
    return f"{verdict.describe()} now, but it was {row.outcome} when first read, and that verdict stands"


def this_task(context: Context) -> Owner:
    """Return the running task as an owner in the store."""
    from airflow_provider_bkitsm.collectors.row import Owner

    ti = context["ti"]
    return Owner(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index(ti))
