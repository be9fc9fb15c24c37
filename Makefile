# Everything runs in .venv, which these targets create and fill themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/.peers
CHAOS := $(VENV)/.chaos
MUTATION := $(VENV)/.mutation
BENCHMARKS := waiting worker_starts imports

.PHONY: help demo test lint bench bench-quick chaos mutation clean
.DEFAULT_GOAL := help

help:
	@echo "make demo                  try the provider: Airflow, a sandbox ITSM, one collector to approve"
	@echo "make demo DECIDE=approve   the same unattended (approve, reject or withdraw)"
	@echo "make demo KEEP=1           stay up after the result, until Ctrl-C"
	@echo "make test                  the whole suite, end-to-end tests included"
	@echo "make lint                  ruff and mypy --strict"
	@echo "make bench                 measure everything, write docs/benchmarks.md (half an hour)"
	@echo "make bench-quick           the same in small, written nowhere (two minutes)"
	@echo "make chaos                 crashes and kills, write docs/reliability.md (twenty minutes)"
	@echo "make mutation              whether the tests notice mistakes in the pure core (an hour and a half)"
	@echo "make clean                 remove what these targets made"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 14); sys.exit(not ok and \
	  "Python 3.11, 3.12 or 3.13 is needed, this is %d.%d; name one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing into $(VENV) (about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@exec $(BIN)/python -m demo $(if $(DECIDE),--decide $(DECIDE)) $(if $(KEEP),--keep)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(PEERS): $(STAMP)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $(PEERS)

bench: $(PEERS)
	set -e; for one in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$one; done

bench-quick: $(PEERS)
	set -e; for one in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$one --quick; done

$(CHAOS): $(STAMP)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,chaos]'
	@command -v redis-server >/dev/null || ! command -v apt-get >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server >/dev/null; }
	@touch $(CHAOS)

chaos: $(CHAOS)
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.chaos.processes

$(MUTATION): $(STAMP)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,mutation]'
	@touch $(MUTATION)

mutation: $(MUTATION)
	$(BIN)/mutmut run --max-children 2
	$(BIN)/python -m tests.mutation

clean:
	rm -rf $(VENV) mutants .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
