# SPDX-License-Identifier: Apache-2.0
"""What sends a reminder, for ``[bkitsm] remind``: here to a chat that takes messages at an address of its own."""

# --8<-- [start:remind]
import os

import requests


def remind(*, sn, title, ticket_url, approvers, waiting_since, by):
    who, since = ", ".join(approvers), f"{waiting_since:%Y-%m-%d %H:%M} UTC"
    text = f"{by} asks {who} to look at {title} ({sn}), open since {since}: {ticket_url}"
    answer = requests.post(os.environ["CHAT_ADDRESS"], json={"text": text}, timeout=5)
    answer.raise_for_status()


# --8<-- [end:remind]
