# SPDX-License-Identifier: Apache-2.0
"""The options of ``[bkitsm]`` in ``airflow.cfg``: their declarations, and the one place that reads them.

Each option has a function of its name, which reads Airflow's configuration when it is called. Without an entry it
returns the default that is declared here. Airflow's configuration is loaded late: Airflow reads the declarations
whenever it lists its providers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.translation import Language

SECTION = "bkitsm"


def _option(
    description: str,
    *,
    default: str = "",
    example: str | None = None,
    kind: str = "string",
    version_added: str = "0.1.0",
) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": version_added,
        "type": kind,
        "example": example,
        "default": default,
    }


OPTIONS: Mapping[str, dict[str, Any]] = {
    "callback": _option(
        "Ask ITSM to call back when a ticket has ended, so that the DAG goes on at once. "
        "Decisions whose callback does not arrive are found by polling.",
        kind="boolean",
        default="True",
    ),
    "callback_base_url": _option(
        "Address of Airflow's API server as ITSM reaches it, a path prefix included. "
        "Empty: [api] base_url. ITSM posts to /bkitsm/callback/... below it.",
        example="https://airflow.example.com",
    ),
    "collect_itsm": _option(
        "Whether a log collector needs an approval in ITSM before it goes live: on or off. "
        "Where it is off, CollectorApplyOperator opens no ticket, and the audit says so. "
        "Anything else is an error, never off.",
        default="on",
        example="off",
    ),
    "collect_itsm_businesses": _option(
        "Businesses (bk_biz_id) with a value of collect_itsm of their own, each on or off, with commas between.",
        example="2=off, 5=on",
    ),
    "user_mapping": _option(
        "JSON object of people's names, in Airflow to in ITSM, for what they do to a ticket "
        "from Airflow's pages, and for who asks in a run that they have started. Who is not in it has the same "
        "name in both.",
        example='{"alice@example.com": "alice"}',
    ),
    "forbid_self_approval": _option(
        "Whether a ticket that nobody but its requester has approved is not approved, for every task that opens a "
        "ticket and does not say it itself. The requester is the person who started the run, by user_mapping, "
        "else the connection's user. A ticket keeps to what was set when it was asked for.",
        kind="boolean",
        default="False",
        example="True",
        version_added="0.2.0",
    ),
    "remind": _option(
        "Function or notifier class that sends a reminder about an open ticket, as package.module.name, which the "
        "API server and the triggerers can import: for a person who presses Remind, and for tasks with a "
        "remind_after and no remind_by. A function is called with the keyword arguments sn, title, ticket_url, "
        "approvers, waiting_since and by, and with reminder where it takes that. Empty: there is only a text to "
        "copy.",
        example="company.chat.remind",
    ),
    "remind_by_allowed": _option(
        "Import paths, with commas between, of functions and notifier classes that the API server may load since "
        "a task names them as its remind_by. Others, except for those of this provider, are loaded by triggerers "
        "only, and Remind on the page uses [bkitsm] remind in their place.",
        example="company.chat.ChatNotifier",
        version_added="0.3.0",
    ),
    "itsm_frame_origin": _option(
        "Origin of ITSM's own pages, to show a ticket's page in a frame. Empty, or no "
        "http(s) origin: no frame. ITSM has to allow that Airflow frames it.",
        example="https://itsm.example.com",
    ),
    "waiting_note": _option(
        "Language of the note that each waiting task carries in Airflow while it waits for its ticket: en or zh. "
        "off: no notes, and those that are there are removed. All API servers need the same value.",
        default="en",
        example="zh",
        version_added="0.3.0",
    ),
    "home_count": _option(
        "Whether Airflow's Home shows how many approvals wait, of the DAGs that the viewer may read.",
        kind="boolean",
        default="True",
        example="False",
        version_added="0.3.0",
    ),
    "store_conn_id": _option(
        "Connection of the database that keeps the records of approvals and the collectors' "
        "approval state (PostgreSQL or MySQL). Empty: a SQLite file bkitsm.db below AIRFLOW_HOME, "
        "enough where workers, triggerer and API server share one machine.",
        example="bkitsm_store",
    ),
    "freeze_gc": _option(
        "Call gc.collect() and gc.freeze() in each process of the API server, when the first request to /bkitsm "
        "arrives: Python's garbage collector then never looks again at what the process has loaded by then. This "
        "shortens the longest pauses at many callbacks a second, and it changes the whole API server.",
        version_added="0.2.0",
        kind="boolean",
        default="False",
        example="True",
    ),
    "initialize_metrics": _option(
        "Initialize Airflow's own metrics in each process of the API server, when the first request to /bkitsm "
        "arrives. Airflow 3.2 does not do it there, so that bkitsm.callback and the other metrics of the API "
        "server are sent nowhere. It switches on Airflow's own metrics of that process too. Other versions of "
        "Airflow do without: there it does nothing.",
        version_added="0.2.0",
        kind="boolean",
        default="False",
        example="True",
    ),
}


def callback() -> bool:
    """Whether ITSM is asked to call back."""
    return _boolean("callback")


def callback_base_url() -> str:
    """Return the address of the API server as ITSM reaches it; empty for ``[api] base_url``."""
    return _text("callback_base_url")


def collect_itsm() -> str:
    """Return whether a collector needs an approval, as written; see :mod:`.collectors.approval_switch`."""
    return _text("collect_itsm")


def collect_itsm_businesses() -> str:
    """Return the businesses for which ``collect_itsm`` is otherwise, as written."""
    return _text("collect_itsm_businesses")


def user_mapping() -> Mapping[str, Any]:
    """Return people's names in ITSM by their names in Airflow.

    :raises ItsmConfigurationError: it is no JSON object.
    """
    try:
        mapping = json.loads(_text("user_mapping") or "{}")
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict):
        raise ItsmConfigurationError(f"[{SECTION}] user_mapping is no JSON object")
    return mapping


def forbid_self_approval() -> bool:
    """Whether a ticket that nobody but its requester has approved is none that counts, unless a task says it."""
    return _boolean("forbid_self_approval")


def remind() -> str:
    """Return the path of the function or notifier that sends reminders; empty for none."""
    return _text("remind").strip()


def remind_by_allowed() -> tuple[str, ...]:
    """Return the paths of further senders that the API server may load for a task."""
    return tuple(path for one in _text("remind_by_allowed").split(",") if (path := one.strip()))


def itsm_frame_origin() -> str:
    """Return the origin of ITSM's own pages, as written; empty for no frame."""
    return _text("itsm_frame_origin")


def waiting_note() -> Language | None:
    """Return the language of the notes on waiting tasks; None for no notes.

    :raises ItsmConfigurationError: it is neither a language nor off.
    """
    value = _text("waiting_note").strip().lower()
    languages: Mapping[str, Language | None] = {"en": "en", "zh": "zh", "off": None}
    if value not in languages:
        raise ItsmConfigurationError(f"[{SECTION}] waiting_note must be en, zh or off, not {value!r}")
    return languages[value]


def home_count() -> bool:
    """Whether Airflow's Home shows how many approvals wait."""
    return _boolean("home_count")


def store_conn_id() -> str:
    """Return the connection of the store's database; empty for a file."""
    return _text("store_conn_id")


def freeze_gc() -> bool:
    """Whether the API server's objects are taken out of Python's garbage collection."""
    return _boolean("freeze_gc")


def initialize_metrics() -> bool:
    """Whether Airflow's metrics are initialized in an API server of Airflow 3.2."""
    return _boolean("initialize_metrics")


def _text(name: str) -> str:
    return str(_conf().get(SECTION, name, fallback=OPTIONS[name]["default"]) or "")


def _boolean(name: str) -> bool:
    return bool(_conf().getboolean(SECTION, name, fallback=OPTIONS[name]["default"] == "True"))


def _conf() -> Any:
    from airflow_provider_bkitsm.version_compat import airflow_conf

    return airflow_conf()
