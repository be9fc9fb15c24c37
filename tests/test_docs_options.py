# SPDX-License-Identifier: Apache-2.0
"""The page of options has every option, extra and variable that the code reads, with the default that counts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from airflow.sdk import Connection

import airflow_provider_bkitsm
from airflow_provider_bkitsm.hooks.connection import DIALECTS, Gateway, read_gateway
from airflow_provider_bkitsm.hooks.connection_form import FIELDS, secret_extras
from airflow_provider_bkitsm.hooks.responses import DEFAULT_RETRIES
from airflow_provider_bkitsm.hooks.route import CA_VARIABLES
from airflow_provider_bkitsm.itsm.protocol import DEFAULT_SIZE
from airflow_provider_bkitsm.itsm.v2.four_byte import FourByte
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.settings import OPTIONS
from airflow_provider_bkitsm.tickets.opener import SETTLE_SECONDS
from tools import options

PACKAGE = Path(airflow_provider_bkitsm.__file__).parent
TEXT = options.PAGE.read_text(encoding="utf-8")
# It only sets a variable, for Airflow.
SETS = "cli/console.py"


def rows(heading: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the table below a heading."""
    part = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in part.splitlines() if line.startswith("| ")]
    yield from ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in table[2:])


def sources() -> Iterator[tuple[str, ast.AST]]:
    """Yield every module but the sandbox's, which shares no code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("sandbox/"):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def test_the_tables_are_those_of_the_code():
    assert options.page(TEXT) == TEXT, "make api writes them"


def test_every_option_and_extra_is_there_once():
    written = TEXT.split("\n## Environment variables\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", written, re.MULTILINE)
    assert sorted(named) == sorted([*OPTIONS, *FIELDS["bkitsm"], *FIELDS["bklog"]])
    assert all(f"`AIRFLOW__BKITSM__{name.upper()}`" in TEXT for name in OPTIONS)
    assert all(f"`{name}`" in TEXT for name in secret_extras())


def defaults(conn_type: str) -> Mapping[str, str]:
    headings = {"bkitsm": "Extras of a connection to ITSM", "bklog": "Extras of a connection to the log platform"}
    return {cells[0].strip("`"): cells[-2].strip("`") for cells in rows(headings[conn_type])}


def gateway(conn_type: str, **extra: str) -> Gateway:
    where = {"host": "https://bkapi.example.com/api/x/prod", "login": "app", "password": "secret"}
    return read_gateway(Connection(conn_id="c", conn_type=conn_type, **where, extra=json.dumps(extra)))


@pytest.mark.parametrize("conn_type", FIELDS)
def test_the_defaults_of_a_caller_are_those_that_count(conn_type):
    read, stated = gateway(conn_type), defaults(conn_type)
    assert stated["bk_username"] == read.username
    assert (float(stated["connect_timeout"]), float(stated["read_timeout"])) == read.timeouts
    assert (stated["verify"].startswith("true"), read.verify) == (True, True)
    assert (stated["tenant_id"], read.tenant_id) == ("", None)


def test_the_defaults_of_itsm_are_those_that_count():
    read, stated = gateway("bkitsm"), defaults("bkitsm")
    assert stated["dialect"] == read.dialect.name
    assert stated["four_byte"] == read.four_byte
    assert int(stated["batch_size"]) == DEFAULT_SIZE
    assert int(stated["read_retries"]) == DEFAULT_RETRIES
    assert float(stated["settle_seconds"]) == SETTLE_SECONDS
    policy = VerdictPolicy()
    assert stated["verdict_value"] == policy.verdict_value
    switches = {"require_evidence": policy.require_evidence, "accept_automatic": policy.accept_automatic}
    assert {name: stated[name] for name in switches} == {name: str(on).lower() for name, on in switches.items()}


def test_the_defaults_of_v4_are_those_that_count():
    settings, stated = gateway("bkitsm", dialect="v4").dialect.settings, defaults("bkitsm")
    form = ("title", "content", "approvers", "client_ref")
    assert [stated[f"form_{name}"] for name in form] == [getattr(settings, f"{name}_key") for name in form]
    assert stated["time_zone"] == settings.time_zone


def test_each_extra_is_of_the_dialects_that_read_it():
    of = {cells[0].strip("`"): cells[1] for cells in rows("Extras of a connection to ITSM")}
    assert set(of.values()) == {*DIALECTS, "both"}
    assert {name: of[name] for name in ("service_id", "workflow_key")} == {
        dialect.service_extra: name for name, dialect in DIALECTS.items()
    }
    assert gateway("bkitsm", dialect="v4", four_byte="refuse").four_byte is FourByte.SEND
    proving = {name for name, dialect in DIALECTS.items() if dialect.capabilities.verdict_field}
    assert proving == {of["verdict_field"]}


def test_every_variable_that_is_read_is_there():
    """Whoever reads the environment is known here, with what is read."""
    known = {
        "hooks/transport.py": {*CA_VARIABLES, "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"},
        "hooks/store.py": {"AIRFLOW_HOME"},
        "sensors/ticket.py": {"AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"},
        "tickets/approval_store.py": {"AIRFLOW_IS_K8S_EXECUTOR_POD", "AIRFLOW_IS_EXECUTOR_CONTAINER"},
    }
    # Of the process' locale, which is no setting of ours: the page *Troubleshooting* says what it does.
    locale = {"cli/console.py", "translation.py"}
    # By the same rule as hooks/transport.py.
    known |= dict.fromkeys(("cli/fetch.py", "cli/itsm_check.py"), known["hooks/transport.py"])
    code = {name: ast.unparse(tree) for name, tree in sources()}
    assert {name for name, text in code.items() if re.search("os.environ|getenv", text)} == {*known, *locale, SETS}
    first_cells = [cells[0] for cells in rows("Environment variables")]
    assert {name for cell in first_cells for name in re.findall(r"`([A-Z0-9_]+)`", cell)} == set().union(
        *known.values()
    )


def airflow_options() -> Iterator[tuple[str, str]]:
    """Yield section and name of each option of Airflow's own that is read."""
    reads = {"get", "getboolean", "getint", "getfloat"}
    for _, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in reads:
                words = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                if "conf" in ast.unparse(node.func.value) and len(words) == 2:
                    yield words[0], words[1]
            # The metrics' options are read by a function of their name.
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "on":
                yield from (("metrics", one.value) for one in ast.walk(node) if isinstance(one, ast.Constant))


def test_every_option_of_airflows_own_that_is_read_is_there():
    first_cells = [cells[0] for cells in rows("Airflow's own options")]
    named = {pair for cell in first_cells for pair in re.findall(r"`\[(\w+)\] (\w+)`", cell)}
    assert named == set(airflow_options())
