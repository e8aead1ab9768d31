# `make demo` and `make test` work on a fresh machine with Python 3.11 or 3.12.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEMO := runs/demo
WORKERS ?= 2

.PHONY: help setup test demo bench lint types clean

help: ## Say what each command does.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP) ## Prepare .venv from requirements.lock; quick when nothing changed.

# The stamp is newer than the lock file and the metadata it was installed from.
$(STAMP): requirements.lock setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: $(PYTHON) not found; install Python 3.11 or 3.12, or name one:" \
	    "make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed, $(PYTHON) is" \
	    "`$(PYTHON) -V 2>&1`; name another: make PYTHON=python3.11" >&2; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -r requirements.lock
	$(PY) -m pip install --quiet --no-deps -e .
	@touch $@

test: setup ## Run the whole test suite.
	$(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

demo: setup ## Run the whole method on 600 virtual patients; ends with a report.
	$(PY) -m data_prep.virtual --stays=600 --seed=0 --out=$(DEMO)/cohort
	$(PY) -m experiments.omg_rl --dataset=$(DEMO)/cohort --out=$(DEMO)/omg_rl \
	  --flagfile=experiments/presets/recommended.flags $(ARGS)

bench: setup ## Time every part beside its targets; minutes, writes runs/bench/bench.json.
	$(PY) -m experiments.benchmark --out=runs/bench/bench.json $(ARGS)

lint: setup ## Check style and format with ruff.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: setup ## Check types with pyright.
	$(PY) -m pyright --pythonpath $(PY) --warnings

clean: ## Remove caches and builds; .venv and runs/ stay.
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find omgrl_jax experiments data_prep tests -name __pycache__ -prune -exec rm -rf {} +
