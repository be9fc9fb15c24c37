# SPDX-License-Identifier: Apache-2.0
"""``python -m airflow_provider_bkitsm.sandbox``: serve a sandbox until it is interrupted."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

from airflow_provider_bkitsm.sandbox.settings import (
    BKLOG_ROOT,
    DEFAULT_PORT,
    ITSM_ROOT,
    ITSM_V4_ROOT,
    Dialects,
    LogServices,
    Settings,
)
from airflow_provider_bkitsm.sandbox.times import tenth_of_day


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_bkitsm.sandbox",
        description="An ITSM (v2, v4 or both) and a log platform to try the provider against.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (%(default)s)")
    parser.add_argument("--database", type=Path, help="SQLite file; without it the state ends with the server")
    parser.add_argument("--app-code", default=Settings.app_code, help="(%(default)s)")
    parser.add_argument("--app-secret", default=Settings.app_secret, help="(%(default)s)")
    parser.add_argument(
        "--dialect",
        choices=get_args(Dialects),
        default=Settings.dialect,
        help="the version of ITSM, or both, each on its gateway's path (%(default)s)",
    )
    parser.add_argument("--public-url", help="what ticket addresses begin with (http://host:port)")
    parser.add_argument(
        "--start-delay",
        type=float,
        default=Settings.start_delay,
        help="seconds until a new ticket reaches its first step (%(default)s)",
    )
    parser.add_argument(
        "--log-services",
        choices=get_args(LogServices),
        default=Settings.log_services,
        help="the log platform's services: an approval, the one ITSM installs, or both (%(default)s)",
    )
    parser.add_argument("--utf8mb4", action="store_true", help="store characters of four bytes (emoji) too")
    parser.add_argument(
        "--demand-verified-user",
        action="store_true",
        help="refuse a bare bk_username where an API gateway does by default",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C.

    :raises SystemExit: a package of the extra ``sandbox`` is not installed.
    """
    given = options(arguments)
    try:
        from airflow_provider_bkitsm.sandbox.server import create_app, listening_socket, server_of
    except ModuleNotFoundError as problem:
        sys.exit(str(problem))
    bound = listening_socket(given.host, given.port)
    host = f"[{given.host}]" if ":" in given.host else given.host
    url = f"http://{host}:{bound.getsockname()[1]}"
    settings = Settings(
        app_code=given.app_code,
        app_secret=given.app_secret,
        database=given.database,
        numbers_after=tenth_of_day(time.time()),
        dialect=given.dialect,
        public_url=(given.public_url or url).rstrip("/"),
        start_delay=given.start_delay,
        log_services=given.log_services,
        utf8mb4=given.utf8mb4,
        demand_verified_user=given.demand_verified_user,
    )
    server = server_of(create_app(settings))
    bound.listen()
    lines = [
        f"Approver page  {url}/",
        *([f"ITSM           {url}{ITSM_ROOT}"] if settings.dialect != "v4" else []),
        f"Log platform   {url}{BKLOG_ROOT}",
        f"Application    {settings.app_code}",
        *(_lines_of_v4(url) if settings.dialect != "v2" else []),
    ]
    print("\n".join(lines), flush=True)  # noqa: T201 - this is a command's output
    # Ctrl-C is how it ends: uvicorn shuts down first, and raises it then.
    with suppress(KeyboardInterrupt):
        server.run([bound])


def _lines_of_v4(url: str) -> list[str]:
    """Return what a connection to ITSM v4 needs."""
    from airflow_provider_bkitsm.sandbox.itsm_v4.installation import SYSTEM, TOKEN
    from airflow_provider_bkitsm.sandbox.itsm_v4.workflows import seeded

    return [
        f"ITSM-v4        {url}{ITSM_V4_ROOT}",
        f"  system       {SYSTEM}, token {TOKEN}",
        f"  workflows    {', '.join(one.key for one in seeded(SYSTEM, 'default'))}",
    ]


if __name__ == "__main__":
    main()
