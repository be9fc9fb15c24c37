# SPDX-License-Identifier: Apache-2.0
"""What a connection says of its ITSM v4: system, workflow, the form's keys and the time zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

_DEFAULT_ZONE = "Asia/Shanghai"


@dataclass(frozen=True, kw_only=True)
class V4Settings:
    """The part of a connection's extra that only ITSM v4 has.

    :param workflow_key: the workflow that tickets are opened in by default.
    :param system_id: code of the system that the workflows are registered for; without it each ticket is read by
        itself.
    :param system_token: the system's secret, sent with every call.
    :param title_key: key of the form that holds the title; likewise ``content_key``, ``approvers_key`` and
        ``client_ref_key``, which the workflow need not have.
    :param time_zone: of the times that ITSM writes without an offset.
    :param signs_address: whether the address of a callback carries our signature. A site may refuse an address
        with a query, or drop the query: then the token has to do alone.
    """

    workflow_key: str | None = None
    system_id: str | None = None
    system_token: str | None = field(default=None, repr=False)
    title_key: str = "ticket__title"
    content_key: str = "content"
    approvers_key: str = "approvers"
    client_ref_key: str = "client_ref"
    time_zone: str = _DEFAULT_ZONE
    signs_address: bool = True

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)


# Which entry of a connection's extra is which setting.
EXTRAS = {
    "workflow_key": "workflow_key",
    "system_id": "system_id",
    "system_token": "system_token",
    "form_title": "title_key",
    "form_content": "content_key",
    "form_approvers": "approvers_key",
    "form_client_ref": "client_ref_key",
    "time_zone": "time_zone",
}


_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def read_settings(entry: Callable[[str], str | None]) -> V4Settings:
    """Read the settings.

    :param entry: returns an entry of a connection's extra as text; None where it is absent.
    :raises ItsmConfigurationError: an entry cannot be used.
    """
    given = {setting: value for extra, setting in EXTRAS.items() if (value := entry(extra)) is not None}
    settings = V4Settings(**given, signs_address=_is_on(entry, "sign_callback_url"))
    keys = (settings.title_key, settings.content_key, settings.approvers_key, settings.client_ref_key)
    if len(set(keys)) < len(keys):
        raise _wrong("form_title, form_content, form_approvers and form_client_ref must be different keys")
    for name in ("system_id", "system_token"):
        value = getattr(settings, name) or ""
        if not (value.isascii() and value.isprintable()):
            raise _wrong(f"extra {name!r} must be a text a header can hold")
    try:
        _ = settings.zone
    except (ValueError, OSError, LookupError):
        raise _wrong(f"extra 'time_zone' must be the name of a time zone, such as {_DEFAULT_ZONE}") from None
    return settings


def _is_on(entry: Callable[[str], str | None], name: str) -> bool:
    text = (entry(name) or "true").lower()
    if text not in _SWITCH:
        raise _wrong(f"extra {name!r} must be true or false")
    return _SWITCH[text]


def _wrong(why: str) -> ItsmConfigurationError:
    return ItsmConfigurationError(f"{why}; nothing was sent")
