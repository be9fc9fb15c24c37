# Everything runs in .venv, which these targets create and fill themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/.peers
CHAOS := $(VENV)/.chaos
# Whatever takes what pip takes.
PIP_INSTALL ?= $(BIN)/pip install --quiet --disable-pip-version-check
# Airflow's processes would else compile all that they import, at each start: uv leaves that to them.
export UV_COMPILE_BYTECODE := 1
export PYTHONDONTWRITEBYTECODE :=
NOX := PATH="$(abspath $(BIN)):$$PATH" $(BIN)/nox
MUTATION := $(VENV)/.mutation
SCRIPTS := node_modules/.installed
BENCHMARKS := waiting worker_starts imports

.PHONY: help scripts demo test test-js test-unit test-e2e coverage test-quick test-matrix audit lint headers api wheel constraints docs docs-serve bench bench-quick chaos mutation clean
.DEFAULT_GOAL := help

help:
	@echo "make demo                  try the provider: Airflow, a sandbox ITSM, one collector to approve"
	@echo "make demo DECIDE=approve   the same unattended (approve, reject or withdraw)"
	@echo "make demo DIALECT=v4       the same with ITSM v4, which is experimental"
	@echo "make demo KEEP=1           stay up after the result, until Ctrl-C"
	@echo "make test                  the whole suite, end-to-end tests included"
	@echo "make test-e2e              those alone; make test-unit all others"
	@echo "make test-js               the scripts of the pages alone, by Node.js"
	@echo "make coverage              all but the end-to-end tests, and which lines and branches they miss"
	@echo "make test-quick            what Airflow 3.1 and 3.2 could break (three minutes)"
	@echo "make test-matrix           every supported Airflow and Python (an hour and a half)"
	@echo "make audit                 known holes in our dependencies, from a database in the network"
	@echo "make lint                  ruff, mypy --strict, imports, declared packages, spelling, dead code, licences, prettier"
	@echo "make headers               add the licence header where it lacks"
	@echo "make api                   write docs/api.md (both languages), docs/openapi.json and the tables of docs/options.md from the code"
	@echo "make wheel                 build wheel and sdist into dist, and check them"
	@echo "make constraints           renew the versions that the tests run with"
	@echo "make docs                  build the documentation into site/, English and Chinese, strictly"
	@echo "make docs-serve            the same on http://127.0.0.1:8000"
	@echo "make bench                 measure everything, write docs/benchmarks.md (half an hour)"
	@echo "make bench-quick           the same in small, written nowhere (two minutes)"
	@echo "make chaos                 crashes and kills, write docs/reliability.md (twenty minutes)"
	@echo "make mutation              whether the tests notice mistakes in what has changed of the pure core"
	@echo "make clean                 remove what these targets made"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 14); sys.exit(not ok and \
	  "Python 3.11, 3.12 or 3.13 is needed, this is %d.%d; name one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing into $(VENV) (about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

# What looks after the scripts of the pages; the package itself needs none of it.
HAS_NODE := node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' 2>/dev/null
NEEDS_NODE = { $(HAS_NODE) && command -v npm >/dev/null; } || \
  { echo "Node.js 20 or later with npm is missing: it checks the scripts of the pages" >&2; exit 1; }
$(SCRIPTS): package.json package-lock.json
	@$(NEEDS_NODE)
	@npm ci --silent
	@touch $(SCRIPTS)

# Where Node.js is, the pages are also looked at with axe-core.
scripts:
	@if $(HAS_NODE); then $(MAKE) --no-print-directory $(SCRIPTS); fi

demo: $(STAMP)
	@exec $(BIN)/python -m demo $(if $(DECIDE),--decide $(DECIDE)) $(if $(DIALECT),--dialect $(DIALECT)) $(if $(KEEP),--keep)

# It starts an Airflow too.
KILLED := tests/chaos/test_processes.py
# A file stays together: it shares servers.
UNIT := --ignore=tests/e2e --ignore=$(KILLED) --numprocesses=3 --dist=loadfile --no-loadscope-reorder
# Four Airflows at a time: mostly they wait.
E2E := tests/e2e $(KILLED) --numprocesses=4 --no-loadscope-reorder

test: $(STAMP)
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@if $(HAS_NODE); then $(MAKE) test-js; fi
	@made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; BKITSM_TEST_RUN=$$made \
	  $(MAKE) --jobs=$(or $(AT_ONCE),2) test-unit test-e2e
	@$(HAS_NODE) || echo "Not tested, as Node.js 20 or later is missing: the scripts of the pages (make test-js)"
endif

test-js:
	@$(NEEDS_NODE)
	node --test tests/js/*.test.js

# The end-to-end tests mostly wait: the others compute meanwhile, and make way for them.
test-unit: $(STAMP) scripts
	nice $(BIN)/python -m pytest tests $(UNIT)

test-e2e: $(STAMP)
	$(BIN)/python -m pytest $(E2E)

coverage: $(STAMP) scripts
	$(BIN)/python -m pytest tests $(UNIT) --cov --cov-report=term

test-quick: $(STAMP) scripts
	$(NOX) --session quick

test-matrix: coverage
	$(NOX) --session unit lowest installed lineage e2e

audit: $(STAMP)
	$(NOX) --session audit

lint: $(STAMP) $(SCRIPTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-cache
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/vulture
	$(BIN)/deptry airflow_provider_bkitsm
	$(BIN)/python -m tools.headers --check
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	npm run --silent lint

headers: $(STAMP)
	$(BIN)/python -m tools.headers

api: $(STAMP)
	$(BIN)/python -m tools.public_api
	$(BIN)/python -m tools.openapi
	$(BIN)/python -m tools.options

wheel: $(STAMP)
	$(BIN)/python -m tools.wheel
	$(BIN)/twine check --strict dist/*

# The newest patch of each Airflow, and the newest of all else that goes with it.
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --no-annotate --no-header --upgrade --quiet

# Airflow 3.2 allows later versions of these two, and cannot run `dag.test()` with them.
constraints: $(STAMP)
	echo 'apache-airflow~=3.1.0' | $(COMPILE) --extra test -c - -o constraints/airflow-3.1.txt
	printf '%s\n' 'apache-airflow~=3.2.0' 'svcs<26' 'fastapi<0.137' | $(COMPILE) --extra test -c - -o constraints/airflow-3.2.txt
	$(COMPILE) --all-extras -o constraints.txt

# Each language has its own search. What is not read anew would not be warned of again.
SPHINX := $(BIN)/python -m sphinx --quiet --fail-on-warning --fresh-env --conf-dir docs

docs: $(STAMP)
	rm -rf site
	$(SPHINX) --doctree-dir build/docs/en docs site
	$(SPHINX) --doctree-dir build/docs/zh --tag zh docs/zh site/zh

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8000

$(PEERS): $(STAMP)
	@$(PIP_INSTALL) --constraint constraints.txt --editable '.[dev,bench]'
	@touch $(PEERS)

bench: $(PEERS)
	set -e; for one in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$one; done

bench-quick: $(PEERS)
	set -e; for one in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$one --quick; done

$(CHAOS): $(STAMP)
	@$(PIP_INSTALL) --constraint constraints.txt --editable '.[dev,chaos]'
	@command -v redis-server >/dev/null || ! command -v apt-get >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server >/dev/null; }
	@touch $(CHAOS)

chaos: $(CHAOS)
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.chaos.processes
	$(BIN)/python -m tests.chaos.reminders

$(MUTATION): $(STAMP)
	@$(PIP_INSTALL) --constraint constraints.txt --editable '.[dev,mutation]'
	@touch $(MUTATION)

mutation: $(MUTATION)
	$(BIN)/python -m tests.mutation

clean:
	rm -rf $(VENV) node_modules .nox mutants .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage dist build site
