# SPDX-License-Identifier: Apache-2.0
"""What a triggerer does about the reminders of its waits, as a process of its own that can be killed.

Environment: ``SNS`` is a JSON list of tickets, ``SENT_FILE`` the file to which each message is appended.
``DIES_AT`` is the call of the sender at which the process kills itself, before the message is out.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_bkitsm.hooks.store import keep_connections_open
from airflow_provider_bkitsm.itsm.reminders import read_plan
from airflow_provider_bkitsm.tickets import reminder_store, reminder_watch
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket
from airflow_provider_bkitsm.tickets.reminder_sending import TicketReminders
from airflow_provider_bkitsm.tickets.senders import SenderSpec

LEASE_SECONDS = 4.0
_CALLS = itertools.count(1)


def sends(*, sn: str, **_: Any) -> None:
    """Append the ticket's number to a file, in one write."""
    if next(_CALLS) == int(os.environ.get("DIES_AT", "0")):
        os.kill(os.getpid(), signal.SIGKILL)
    file = os.open(os.environ["SENT_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{sn}\n".encode())
    os.close(file)


async def main() -> None:
    """Look after the reminders of all tickets until the process is ended."""
    reminder_store.LEASE_SECONDS = LEASE_SECONDS
    # To connect anew for each query would be most of what the test costs.
    keep_connections_open()
    opened, plan = datetime.fromisoformat(os.environ["OPENED"]), read_plan(remind_after=60)
    watch = reminder_watch.ReminderWatch()
    for sn in json.loads(os.environ["SNS"]):
        awaited = AwaitedTicket(sn=sn, bkitsm_conn_id="bkitsm_default", dag_id="dag", run_id="run_1")
        sender = SenderSpec(path="tests.tickets.reminder_watch_process.sends")
        watch.add(TicketReminders(awaited=awaited, plan=plan, senders=(sender,), opened=opened))
    await asyncio.get_running_loop().create_future()


def environment(sns: list[str], sent_file: str) -> dict[str, str]:
    """Return the environment of such a process; the reminders are due at once."""
    opened = datetime.now(UTC) - timedelta(seconds=60)
    return {"SNS": json.dumps(sns), "SENT_FILE": sent_file, "OPENED": opened.isoformat()}


if __name__ == "__main__":
    asyncio.run(main())
