# SPDX-License-Identifier: Apache-2.0
"""What an author says of reminders and escalation, checked when the DAG is parsed, as its trigger takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_bkitsm.callback.waiters import is_template
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.people import read_people
from airflow_provider_bkitsm.itsm.reminders import ReminderPlan, Times, WorkingHours, read_plan
from airflow_provider_bkitsm.tickets.senders import SenderSpec, sender_specs, without_templates


@dataclass(frozen=True, kw_only=True)
class ReminderSettings:
    """What a task says of reminders and escalation.

    :param senders: as :class:`~airflow_provider_bkitsm.tickets.senders.SenderSpec` has them.
    """

    plan: ReminderPlan
    senders: tuple[SenderSpec, ...]

    @property
    def as_text(self) -> str | None:
        """The trigger's ``reminders``: JSON that holds no template; None where there is nothing to say."""
        if not self.plan and not self.senders:
            return None
        return without_templates(
            {"plan": self.plan.as_dict(), "remind_by": [one.as_dict() for one in self.senders]}
        )


def reminder_settings(
    *,
    remind_after: Times | None,
    remind_by: Any,
    working_hours: WorkingHours | Mapping[str, Any] | None,
    escalate_after: timedelta | float | None,
    escalate_to: Any,
) -> ReminderSettings:
    """Check what a task says of reminders.

    :raises ItsmConfigurationError: when the DAG is parsed: it cannot be read, or half of an escalation is missing.
    """
    plan = read_plan(remind_after=remind_after, escalate_after=escalate_after, hours=working_hours)
    if (escalate_after is None) != (escalate_to in (None, "", [], ())):
        raise ItsmConfigurationError("escalate_after and escalate_to go together: when, and to whom")
    people = [escalate_to] if isinstance(escalate_to, str) else escalate_to
    # The text of another task's output is a template.
    if isinstance(people, list | tuple | set) and not any(is_template(str(one)) for one in people):
        read_people("escalate_to", escalate_to)
    return ReminderSettings(plan=plan, senders=sender_specs(remind_by))
