# SPDX-License-Identifier: Apache-2.0
"""Who asks for an approval: the person who started the run, by their name in ITSM; and the macro that says it.

Airflow keeps that name with the run: of whoever triggered it, or started its backfill. A scheduled run has none.
Airflow does not tell a task who has cleared it: a cleared task asks in the name of the run's person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.itsm.duties import requester_of_run
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.people import read_person


@dataclass(frozen=True, kw_only=True)
class Requester:
    """Who asks.

    :param name: in ITSM; empty where nobody is known: then the connection's user asks.
    :param problem: why nobody knows the name in ITSM of the person who started the run.
    """

    name: str = ""
    problem: str = ""

    def check_is_known(self, wanted_by: str) -> None:
        """Refuse to go on where a person started the run, and it is not known who that is in ITSM.

        :param wanted_by: the parameter that needs to know.
        :raises ItsmConfigurationError: no ticket was opened.
        """
        if self.problem:
            raise ItsmConfigurationError(
                f"{wanted_by}: who asks in ITSM is not known: {self.problem}. Put the person's name in ITSM into"
                " [bkitsm] user_mapping, or give the task a requester; no ticket was opened"
            )


def find_requester(dag_run: Any, *, named: object = None) -> Requester:
    """Return who asks in a run.

    :param dag_run: of the task's context; an object, or JSON as a deadline's callback has it.
    :param named: whom the task names; in place of the person who started the run.
    :raises ItsmInvalidRequestError: what the task names is no person.
    """
    if name := read_person("requester", None if named in ("", "None") else named):
        return Requester(name=name)
    try:
        return Requester(name=requester(dag_run))
    except (ItsmInvalidRequestError, ItsmConfigurationError) as error:
        return Requester(problem=error.message)


def requester(dag_run: Any, default: str = "") -> str:
    """Return the name in ITSM of the person who started a run.

    For templates: ``{{ macros.bkitsm.requester(dag_run) }}``.

    :param dag_run: the template's variable of that name.
    :param default: for a run that no person has started.
    :raises ItsmInvalidRequestError: the person's name cannot be one of ITSM's; ``[bkitsm] user_mapping`` says it.
    :raises ItsmConfigurationError: that mapping cannot be read.
    """
    name = "triggering_user_name"
    person = dag_run.get(name) if isinstance(dag_run, Mapping) else getattr(dag_run, name, None)
    return requester_of_run(person, settings.user_mapping() if person else {}) or default
