PYTHON ?= python3
PORT ?= 8000
ARGS ?=

VENV := .venv
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test test-mysql test-properties faults soak bench check format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make the environment in .venv

$(INSTALLED): requirements.lock pyproject.toml scripts/make-venv.sh
	@scripts/make-venv.sh $(PYTHON) $(VENV)
	@$(VENV)/bin/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(VENV)/bin/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## Start the server with the demo catalogue on PORT (8000)
	@exec $(VENV)/bin/warehouse demo --port $(PORT)

# Faults and workers are timed, and mostly wait: three at a time, with nothing else beside them. Those with a load that
# keeps servers busy go two at a time, and those that measure get the machine for themselves.
TIMED := tests/faults tests/worker
LOADED := tests/faults/cache
ALONE := tests/faults/overload tests/faults/test_slow_clients.py tests/faults/database/test_suspended.py \
	tests/faults/cache/test_cold_keys.py

test: install ## Run every suite on SQLite, MariaDB and PostgreSQL, or what ARGS tell pytest
	@$(VENV)/bin/python -m tests.servers ensure
	@$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile $(or $(ARGS),$(TIMED:%=--ignore=%))
	@$(if $(ARGS),,$(VENV)/bin/python -m pytest -q -n 3 --dist loadfile $(TIMED) $(LOADED:%=--ignore=%) $(ALONE:%=--ignore=%))
	@$(if $(ARGS),,$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile $(LOADED) $(ALONE:%=--ignore=%))
	@$(if $(ARGS),,$(VENV)/bin/python -m pytest -q $(ALONE))

test-mysql: export WAREHOUSE_TEST_BACKENDS := mysql
test-mysql: export WAREHOUSE_TEST_MYSQL_DIR ?= $(CURDIR)/var/mysql-server
test-mysql: install ## Run the contract and HTTP suites on a real MySQL, fetched once
	@[ -n "$$WAREHOUSE_TEST_MYSQL_URL" ] || scripts/real-mysql.sh "$$WAREHOUSE_TEST_MYSQL_DIR"
	@$(VENV)/bin/python -m tests.servers ensure
	@$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile tests/contract tests/api $(ARGS)

test-properties: install ## Run the long searches: the ledger's and the circuit's machines, the cache's model and schedules
	@WAREHOUSE_TEST_STEPS=long $(VENV)/bin/python -m pytest -q tests/properties tests/cache_model tests/cache_schedules tests/resilience $(ARGS)

faults: export WAREHOUSE_TEST_BACKENDS ?= mariadb
faults: install ## Run the experiments with faults in their long form
	@$(VENV)/bin/python -m tests.servers ensure
	@WAREHOUSE_TEST_STEPS=long $(VENV)/bin/python -m pytest -q -s tests/faults $(ARGS)

soak: export WAREHOUSE_TEST_BACKENDS := mariadb
soak: install ## Load and one fault after another for 20 minutes; ARGS: --minutes N, --seed N
	@$(VENV)/bin/python -m tests.servers ensure
	@$(VENV)/bin/python -m tests.faults.soak $(ARGS)

BENCH_VENV := var/bench-venv
BENCH_INSTALLED := $(BENCH_VENV)/.installed

# An environment of their own, so that what the peers need stays out of ours.
$(BENCH_INSTALLED): requirements-bench.lock scripts/make-venv.sh
	@scripts/make-venv.sh $(PYTHON) $(BENCH_VENV)
	@if $(BENCH_VENV)/bin/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements-bench.lock; \
	then touch $@; else echo "The peers cannot be installed: the results will say which are missing." >&2; fi

bench: export WAREHOUSE_TEST_BACKENDS := mariadb
bench: install $(BENCH_INSTALLED) ## Measure beside peers, and write docs/benchmarks.md; ARGS: --quick, --only GROUP
	@$(VENV)/bin/python -m tests.servers ensure
	@$(VENV)/bin/python -m bench.programs ensure
	@$(VENV)/bin/python -m bench $(ARGS)

check: install ## Lint, format, types and import contracts
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: install ## Format the code and sort its imports
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format

LOCK := $(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header

lock: install ## Resolve the lock files anew
	@$(LOCK) pyproject.toml --extra dev --output-file requirements.lock
	@$(LOCK) pyproject.toml --constraint requirements.lock --output-file requirements-runtime.lock
	@$(LOCK) pyproject.toml --extra bench --constraint requirements.lock --output-file requirements-bench.lock

clean: ## Remove the environment, caches and builds; var/ stays
	@rm -rf $(VENV) dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
