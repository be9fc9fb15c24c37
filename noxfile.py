# SPDX-License-Identifier: Apache-2.0
"""Every Airflow and Python that is supported: ``make test-matrix``, and its quick part ``make test-quick``.

Each Airflow minor has a file of versions that belong together, renewed by ``make constraints``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13")
CONSTRAINTS = {
    "3.1": "constraints/airflow-3.1.txt",
    "3.2": "constraints/airflow-3.2.txt",
    "3.3": "constraints.txt",
}
OLDEST, NEWEST = min(CONSTRAINTS), max(CONSTRAINTS)
# A file stays on one worker: it shares servers. Many tests wait more than they compute: three for two cores.
PARALLEL = ("--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder")
# The documentation is built with the newest only, and workers are killed in its Airflow.
ONCE = ("tests/test_docs_site.py", "tests/chaos/test_processes.py")
UNIT = ("tests", "--ignore=tests/e2e", *(f"--ignore={one}" for one in ONCE), *PARALLEL)
# Three Airflows at a time: mostly they wait.
E2E = ("tests/e2e", "--numprocesses=3", "--no-loadscope-reorder")
# The rooms that touch Airflow, without what is the same on each: what goes over the network to ITSM, what a
# browser draws, how a console spells, and tables of thousands of cases. What SQLite does, PostgreSQL does.
QUICK = (
    *("tests/cli", "tests/hooks", "tests/links", "tests/operators", "tests/plugins"),
    *("tests/sensors", "tests/triggers"),
    *("tests/test_dags.py", "tests/test_get_provider_info.py", "tests/test_readme.py", "tests/test_mixins.py"),
    *(
        f"--ignore-glob=*/{room}/test_{name}.py"
        for room, names in {
            "cli": ("console", "itsm_findings", "probe", "services"),
            "hooks": ("itsm_*", "limits", "loop_*", "pool", "responses", "route", "transport*", "bklog_*"),
            "plugins": ("mutations", "pages_*", "views_slow"),
        }.items()
        for name in names
    ),
    *("-k", "not postgres"),
    *PARALLEL,
)

# What the machine trusts, as pip does: a company's proxy signs with its own.
os.environ.setdefault("UV_SYSTEM_CERTS", "true")
# As pip does; else each of Airflow's processes may have to compile what it imports.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")

nox.needs_version = ">=2026.2"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"

if shutil.which("pyenv"):
    # Its names for Pythons that are not switched on exist, and fail.
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True)
    ours = [one for one in listed.stdout.split() if one.rpartition(".")[0] in PYTHONS]
    os.environ.setdefault("PYENV_VERSION", ":".join(ours))


def _ready(session: nox.Session, *install: str) -> None:
    """Install the provider, and keep Airflow's files out of the person's own home."""
    session.install("--editable", ".[test]", *install)
    session.env["AIRFLOW_HOME"] = os.path.join(os.path.abspath(session.virtualenv.location), "airflow")
    session.run("python", "-c", "import airflow, sys; print('Airflow', airflow.__version__, sys.version)")


def _test(session: nox.Session, airflow: str, *what: str) -> None:
    _ready(session, "--constraint", CONSTRAINTS[airflow])
    session.run("python", "-m", "pytest", "--show-capture=no", "-q", *(session.posargs or what))


@nox.session(python=PYTHONS)
@nox.parametrize("airflow", list(CONSTRAINTS), ids=[f"airflow-{one}" for one in CONSTRAINTS])
def unit(session: nox.Session, airflow: str) -> None:
    """All but the end-to-end tests: DAGs imported and serialised, provider info against Airflow's schema."""
    _test(session, airflow, *UNIT)


@nox.session
@nox.parametrize(
    ("python", "airflow"),
    [("3.11", OLDEST), ("3.13", NEWEST)],
    ids=[f"airflow-{OLDEST}", f"airflow-{NEWEST}"],
)
def e2e(session: nox.Session, airflow: str) -> None:
    """A real Airflow, the oldest and the newest."""
    _test(session, airflow, *E2E)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml allows."""
    _ready(session, "--resolution", "lowest-direct")
    session.run("python", "-m", "pytest", "--show-capture=no", "-q", *(session.posargs or UNIT))


@nox.session
@nox.parametrize(
    ("python", "airflow"),
    [("3.11", OLDEST), ("3.13", NEWEST)],
    ids=[f"airflow-{OLDEST}", f"airflow-{NEWEST}"],
)
def installed(session: nox.Session, airflow: str) -> None:
    """The built wheel beside a plain Airflow: ``make wheel`` first."""
    (wheel,) = Path("dist").glob("*.whl")
    session.install("apache-airflow", str(wheel), "--constraint", CONSTRAINTS[airflow])
    session.env["AIRFLOW_HOME"] = os.path.join(os.path.abspath(session.virtualenv.location), "airflow")
    session.run("uv", "pip", "check", external=True)
    listed = session.run("airflow", "providers", "list", "--output", "json", silent=True)
    if "airflow-provider-bkitsm" not in str(listed):
        session.error("Airflow does not list the provider")
    # The quick start has no more than this: what the extra `sandbox` names must come with Airflow.
    session.run("python", "-c", "import airflow_provider_bkitsm.sandbox.server")


@nox.session(python=PYTHONS[0])
def lineage(session: nox.Session) -> None:
    """OpenLineage's own provider, facets and listener, for which the other sessions have a stand-in."""
    session.install("--editable", ".[openlineage]", "--constraint", CONSTRAINTS[NEWEST])
    _test(session, NEWEST, "tests/test_lineage.py", "tests/test_dags.py")


@nox.session
def audit(session: nox.Session) -> None:
    """Known holes in what the tests run with and in the lowest versions allowed; needs the network."""
    session.install("pip-audit")
    lowest = os.path.join(session.create_tmp(), "lowest.txt")
    compiling = ("uv", "pip", "compile", "pyproject.toml", "--python-version", PYTHONS[0], "--quiet")
    session.run(*compiling, "--resolution", "lowest-direct", "--output-file", lowest, external=True)
    for file in (*CONSTRAINTS.values(), lowest):
        session.run("pip-audit", "--no-deps", "--disable-pip", "--requirement", file, *session.posargs)


# On the Python that runs it: CI has no other for certain.
@nox.session
@nox.parametrize("airflow", ["3.1", "3.2"], ids=["airflow-3.1", "airflow-3.2"])
def quick(session: nox.Session, airflow: str) -> None:
    """What an older Airflow could break."""
    _test(session, airflow, *QUICK)
