# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.chaos.reminders``: kill triggerers while they remind, and count what comes to the people."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import func, select

from airflow_provider_bkitsm.collectors.database import Transactions, server_engine
from airflow_provider_bkitsm.collectors.tables import reminder_table
from airflow_provider_bkitsm.tickets.reminder_store import ReminderState
from benchmarks.report import machine, publish
from demo.airflow_api import wait_until
from demo.processes import ends_orderly
from tests.chaos.stage import TRIGGERERS, Stage, stage
from tests.mail import MailServer, mail_server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
WAITS = 500
# So many messages of a triggerer are on their way at a time: each may come twice where it is killed.
_AT_ONCE = 4
_SECONDS = 1800
_SENDER = """\
SmtpNotifier(
    to="{{ reminder.recipients | join('@example.com,') }}@example.com",
    subject="{{ reminder.subject_en }}",
    html_content="{{ reminder.html_en }}",
    custom_headers={"X-Ticket": "{{ reminder.sn }}"},
)"""
# With each wait that needs no worker Airflow hands its triggerer the whole DAG.
_WAITS_OF_A_DAG = 10
_DAGS = """\
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

sender = {sender}
for dag_id, numbers in {numbers}.items():
    with DAG(dag_id, schedule=None):
        for sn in numbers:
            ItsmTicketSensor(task_id=sn, ticket_sn=sn, opened_by="anyone", remind_after=1, remind_by=sender)
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many tickets were reminded of how often, as the mail server has it."""

    once: int
    twice: int
    more: int
    never: int

    def __str__(self) -> str:
        return f"{self.once} once, {self.twice} twice, {self.more} more often, {self.never} never"


class Reminding:
    """Tickets whose approvers two triggerers remind, by Airflow's own notifier for mails.

    :param waits: how many tickets, each with a task that waits for it.
    """

    def __init__(self, on: Stage, mail: MailServer, *, waits: int) -> None:
        self.stage = on
        self.mail = mail
        self.numbers = [self._opened(f"Reminded {number}") for number in range(waits)]
        self._transactions = Transactions(server_engine(on.servers["postgresql"].url))

    def _opened(self, title: str) -> str:
        fields = {"title": title, "APPROVER": "alice,bob", "APPROVAL_CONTENT": "c"}
        form = [{"key": key, "value": value} for key, value in fields.items()]
        asked = {"fast_approval": True, "creator": "carol", "fields": form}
        return str(self.stage.sandbox.control.call("POST", "create_ticket", json=asked)["sn"])

    def start(self) -> None:
        """Have a task wait for each ticket; all reminders are due at once."""
        api = self.stage.airflow.api
        where = {"host": "127.0.0.1", "port": self.mail.port, "extra": json.dumps(self.mail.extra)}
        api.call("POST", "connections", json={"connection_id": "smtp_default", "conn_type": "smtp", **where})
        starts = range(0, len(self.numbers), _WAITS_OF_A_DAG)
        numbers = {f"reminded_{start}": self.numbers[start : start + _WAITS_OF_A_DAG] for start in starts}
        file = self.stage.dag_file.with_name("reminded.py")
        file.write_text(_DAGS.format(sender=_SENDER, numbers=numbers))
        self.stage.airflow.wait_ready(*numbers)
        for dag_id in numbers:
            api.trigger(dag_id)

    def until_sent(self, mails: int) -> None:
        """Wait until so many mails are there."""
        wait_until(lambda: len(self.mail.mails) >= mails, self._state, seconds=_SECONDS)

    def until_held(self) -> str:
        """Wait until triggerers wait for the mail server to greet them, and all else is over; name one of them."""

        def held() -> str | None:
            # Once somebody is not greeted nobody is any more: what is still then stays so.
            name = self.holder
            return name if name and self.is_still else None

        return wait_until(held, self._state, seconds=_SECONDS)

    def until_over(self) -> None:
        """Wait until every reminder is stored as sent: after that none is sent any more."""
        sent = ReminderState.SENT
        wait_until(lambda: self.states()[sent] >= len(self.numbers), self._state, seconds=_SECONDS)

    @property
    def holder(self) -> str | None:
        """Name of a component that wants to send a mail and is not greeted."""
        ports = self.mail.waiting
        with suppress(psutil.Error):
            for one in psutil.net_connections("tcp4"):
                is_ours = one.raddr and one.raddr.port == self.mail.port and one.laddr.port in ports
                if is_ours and one.pid is not None:
                    return psutil.Process(one.pid).environ()["LOGNAME"]
        return None

    @property
    def is_still(self) -> bool:
        """Whether each mail that was taken is stored as sent, and none is on its way."""
        return self.mail.is_quiet and self.states()[ReminderState.SENT] == len(self.mail.mails)

    def states(self) -> Counter[str]:
        """Count the reminders in the store by state."""
        state = reminder_table.c.state
        with self._transactions.read() as connection:
            rows = connection.execute(select(state, func.count()).group_by(state))
            return Counter(dict(rows.all()))

    def let_claims_run_out(self) -> None:
        """Have all claims be as old as they are three minutes after they were made."""
        claimed = reminder_table.c.state == ReminderState.CLAIMED
        with self._transactions.begin() as connection:
            connection.execute(reminder_table.update().where(claimed).values(free_at=datetime.now(UTC)))

    def counts(self) -> Counter[str]:
        """Count the mails about each ticket."""
        return Counter(str(one.message["X-Ticket"]) for one in self.mail.mails)

    def result(self) -> Counts:
        """Say how often people were reminded."""
        found = self.counts()
        each = Counter(found[sn] for sn in self.numbers)
        return Counts(
            once=each[1], twice=each[2], never=each[0], more=sum(each.values()) - each[0] - each[1] - each[2]
        )

    def _state(self) -> str:
        return f"{len(self.mail.mails)} mails, in the store {dict(self.states())}"


def play(waits: int, home: Path) -> str:
    """Kill one triggerer after a fifth of the reminders, and the other one after three fifths; return the section.

    :raises SystemExit: a reminder has not come, or more of them came twice than can have been on their way.
    """
    with stage(home) as running, mail_server() as mail:
        reminding = Reminding(running, mail, waits=waits)
        reminding.start()
        claims = []
        for name, share in zip(TRIGGERERS, (0.2, 0.6), strict=True):
            reminding.until_sent(round(waits * share))
            running.kill(name)
            claims.append(reminding.states()[ReminderState.CLAIMED])
            running.restart(name)
        reminding.until_over()
        result = reminding.result()
    if result.never or result.more or result.twice > len(claims) * _AT_ONCE:
        raise SystemExit(f"{waits} reminders: {result}")
    return _section(waits, claims, result)


def _section(waits: int, claims: Sequence[int], result: Counts) -> str:
    counts = (
        waits,
        len(claims),
        " + ".join(map(str, claims)),
        result.once,
        result.twice,
        result.more,
        result.never,
    )
    lines = [
        "| waits | `kill -9` | claims open at the kills | came once | came twice | more often | never |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {' | '.join(map(str, counts))} |",
    ]
    return "\n\n".join([f"{machine('apache-airflow-providers-smtp')}.", "\n".join(lines)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Play it, and write the section of the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.reminders", description=__doc__)
    parser.add_argument("--waits", type=int, default=WAITS, help="with another number the page is left as it is")
    parser.add_argument("--home", type=Path, help="an empty directory to keep databases and logs in")
    given = parser.parse_args(arguments)
    with ends_orderly(), tempfile.TemporaryDirectory(prefix="bkitsm-chaos-") as home:
        text = play(given.waits, given.home or Path(home))
    publish("reminders", text, page=PAGE, only_print=given.waits != WAITS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
