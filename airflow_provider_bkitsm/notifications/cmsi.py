# SPDX-License-Identifier: Apache-2.0
"""A notifier that writes to people through BlueKing's message centre (CMSI): mail, WeCom, whatever they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.people import read_people
from airflow_provider_bkitsm.notifications.ticket import ItsmNotifier
from airflow_provider_bkitsm.tickets.reminder import Language, Reminder

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.hooks.cmsi import Style


class BkCmsiNotifier(ItsmNotifier):
    """Writes to people through BlueKing's message centre, which knows their addresses by their user names.

    As ``remind_by`` of a wait it sends the reminder to those whom the ticket asks. As a callback it sends
    ``title`` and ``text`` to ``receivers``. One notifier is one channel: of two notifiers a failure of the one
    does not repeat the other.

    :param channel: ``mail``, ``weixin`` (WeChat or WeCom, as the site has set it up), or at the ESB another
        ``msg_type`` of its ``send_msg``.
    :param language: of a reminder: ``zh`` or ``en``.
    :param receivers: user names, in any spelling of several people; None: those whom a reminder is for.
        (templated)
    :param title: None: the reminder's subject. (templated)
    :param text: plain text; None: the reminder's. (templated)
    :param sender: whom a mail is from; None: what the message centre is set up with. (templated)
    :param style: ``gateway`` or ``esb``; None: as the connection's ITSM is called.
    :param cmsi_url: the message centre's address; None: beside ITSM on the same host.
    :param kwargs: ``bkitsm_conn_id``, whose app code and secret are used.
    """

    template_fields: Sequence[str] = ("receivers", "title", "text", "sender", "bkitsm_conn_id")

    def __init__(
        self,
        *,
        channel: str = "mail",
        language: Language = "zh",
        receivers: Sequence[str] | str | None = None,
        title: str | None = None,
        text: str | None = None,
        sender: str | None = None,
        style: Style | None = None,
        cmsi_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if language not in get_args(Language):
            raise ValueError(f"language must be zh or en, not {language!r}")
        if style not in (None, "gateway", "esb"):
            raise ValueError(f"style must be gateway or esb, not {style!r}")
        self.channel = channel
        self.language = language
        self.receivers = receivers
        self.title = title
        self.text = text
        self.sender = sender
        self.style = style
        self.cmsi_url = cmsi_url

    def notify(self, context: Context) -> None:
        """Send the message.

        :raises ItsmError: it was not sent, or it may not have been; see the message.
        """
        from airflow_provider_bkitsm.hooks.cmsi import MAIL, CmsiHook

        reminder = _reminder_in(context)
        people = read_people("receivers", self.receivers) or (reminder.recipients if reminder else ())
        title = self.title or (reminder.subject(self.language) if reminder else "")
        text = self.text or (reminder.text(self.language) if reminder else "")
        if not (people and title and text):
            raise ItsmConfigurationError(
                "BkCmsiNotifier needs receivers, title and text where it sends no reminder; nothing was sent"
            )
        content = _html(self.text, reminder, self.language) if self.channel == MAIL else text
        hook = CmsiHook(self.bkitsm_conn_id, style=self.style, cmsi_url=self.cmsi_url)
        try:
            hook.send(self.channel, people=people, title=title, content=content, sender=self.sender)
        finally:
            hook.close()
        self.log.info("wrote to %s through the message centre (%s)", ", ".join(people), self.channel)


def _reminder_in(context: Mapping[str, Any] | Context) -> Reminder | None:
    found = context.get("reminder_message")
    return found if isinstance(found, Reminder) else None


def _html(text: str | None, reminder: Reminder | None, language: Language) -> str:
    """Return a mail's content. What comes from elsewhere is text in it."""
    if text is not None or reminder is None:
        return "<br>\n".join(escape(line) for line in str(text).splitlines())
    return reminder.html(language)
