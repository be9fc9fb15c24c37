"""``python -m airflow_provider_bkitsm.sandbox``: serve a sandbox until it is interrupted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from airflow_provider_bkitsm.sandbox.app import create_app
from airflow_provider_bkitsm.sandbox.server import listening_socket
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, ITSM_ROOT, Settings


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_bkitsm.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8099, help="0 takes a free one")
    parser.add_argument("--database", type=Path, help="SQLite file; without it the state ends with the server")
    parser.add_argument("--app-code", default="sandbox")
    parser.add_argument("--app-secret", default="sandbox-secret")
    parser.add_argument("--public-url", help="what ticket addresses begin with")
    parser.add_argument("--start-delay", type=float, default=0.3, help="seconds to a ticket's first step")
    parser.add_argument("--demand-verified-user", action="store_true", help="as an API gateway does by default")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve."""
    options = _options(arguments)
    bound = listening_socket(options.host, options.port)
    url = f"http://{options.host}:{bound.getsockname()[1]}"
    settings = Settings(
        app_code=options.app_code,
        app_secret=options.app_secret,
        database=options.database,
        public_url=options.public_url or url,
        start_delay=options.start_delay,
        demand_verified_user=options.demand_verified_user,
    )
    lines = [
        f"Approver page  {url}/",
        f"ITSM           {url}{ITSM_ROOT}",
        f"Log platform   {url}{BKLOG_ROOT}",
    ]
    print("\n".join(lines), flush=True)  # noqa: T201 - this is a command's output
    uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", ws="none")).run([bound])


if __name__ == "__main__":
    main()
