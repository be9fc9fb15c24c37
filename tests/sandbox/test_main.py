# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from airflow_provider_bkitsm.sandbox.__main__ import options

COMMAND = [sys.executable, "-m", "airflow_provider_bkitsm.sandbox"]


def test_the_options_have_the_documented_defaults():
    given = options([])
    assert (given.host, given.port, given.database) == ("127.0.0.1", 8099, None)
    assert (given.app_code, given.app_secret, given.public_url) == ("sandbox", "sandbox-secret", None)
    assert given.demand_verified_user is False


@contextmanager
def serving(*more: str, stderr: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the command; whatever happens it has ended afterwards."""
    process = subprocess.Popen([*COMMAND, *more], stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture(scope="module")
def lines():
    more = ["--port", "0", "--public-url", "https://itsm.example.com/", "--app-secret", "s3cret"]
    with serving(*more) as process:
        yield dict(process.stdout.readline().split(maxsplit=1) for _ in range(4))


def test_the_command_says_where_it_is(lines):
    page = lines["Approver"].removeprefix("page").strip()
    assert page.startswith("http://127.0.0.1:")
    assert requests.get(page, timeout=20).status_code == 200
    assert "s3cret" not in str(lines)


def test_the_public_address_is_the_tickets(lines):
    headers = {"X-Bkapi-Authorization": '{"bk_app_code": "sandbox", "bk_app_secret": "s3cret"}'}
    form = [{"key": key, "value": "x"} for key in ("title", "APPROVER", "APPROVAL_CONTENT")]
    body = {"fast_approval": True, "creator": "carol", "fields": form}
    url = f"{lines['ITSM'].strip()}/create_ticket/"
    answer = requests.post(url, json=body, headers=headers, timeout=20).json()
    assert answer["data"]["ticket_url"] == "https://itsm.example.com/#/ticket/detail?id=1"


def test_a_sandbox_started_anew_gives_other_numbers(lines):
    """A store keeps the number of each collector's ticket: those of the sandbox before must not come again."""
    headers = {"X-Bkapi-Authorization": '{"bk_app_code": "sandbox", "bk_app_secret": "s3cret"}'}
    form = [{"key": key, "value": "x"} for key in ("title", "APPROVER", "APPROVAL_CONTENT")]
    body = {"fast_approval": True, "creator": "carol", "fields": form}

    def opened(itsm: str) -> str:
        url = f"{itsm.strip()}/create_ticket/"
        return requests.post(url, json=body, headers=headers, timeout=20).json()["data"]["sn"]

    first = opened(lines["ITSM"])
    with serving("--port", "0", "--app-secret", "s3cret") as process:
        again = dict(process.stdout.readline().split(maxsplit=1) for _ in range(4))
        assert opened(again["ITSM"]) > first


def test_ctrl_c_ends_it_without_a_word():
    with serving("--port", "0", stderr=subprocess.PIPE) as process:
        page = process.stdout.readline().split()[-1]
        assert requests.get(page, timeout=20).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_it_starts_without_airflow():
    loaded = "print([name for name in sys.modules if name.split('.')[0] == 'airflow'])"
    code = f"import sys, airflow_provider_bkitsm.sandbox.server; {loaded}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["jinja2", "jwt", "python_multipart", "uvicorn"])
def test_a_missing_package_is_said_in_one_sentence_with_the_extra_that_has_it(module):
    code = f"import sys; sys.modules[{module!r}] = None; from airflow_provider_bkitsm.sandbox.__main__ import main"
    command = [sys.executable, "-c", f"{code}; main([])"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"needs the module {module}" in line
    assert "pip install 'airflow-provider-bkitsm[sandbox]'" in line
