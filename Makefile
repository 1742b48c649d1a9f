# `make` alone lists the targets. Nothing is installed outside .venv; data lies in .data, reports in build.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
DEMO_STAMP := .venv/.installed-demo
TEST_STAMP := .venv/.installed-test
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --compile --constraint constraints.txt
export ROWS

.PHONY: help install demo serve test test-all check bench bench-backfill bench-metadata bench-partitions bench-memory schema reference clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(TEST_STAMP) ## create .venv and install everything, tests included

demo: $(DEMO_STAMP) ## run the whole migration on an embedded PostgreSQL (ROWS=200000)
	@MAINTENANCE_EMBEDDED=1 MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=65536 $(PY) -m tests.demo

serve: $(DEMO_STAMP) ## start PostgreSQL with the legacy tables, Prefect and a worker, to try the flows by hand (ROWS=50000)
	@MAINTENANCE_EMBEDDED=1 $(PY) -m tests.demo.serve

test: $(TEST_STAMP) ## run the tests on the embedded PostgreSQL
	@MAINTENANCE_EMBEDDED=1 $(PY) -m pytest -q -n 2 --dist loadgroup $(ARGS)

test-all: $(TEST_STAMP) ## run the tests with full loops, also on each server found or named in TEST_DATABASE_URLS
	@MAINTENANCE_EMBEDDED=1 $(PY) -m pytest -q -n 2 --dist loadgroup --all-servers --full-loops $(ARGS)

check: $(TEST_STAMP) ## ruff, pyright, import-linter, sqlfluff and the contract tests
	@.ci/check

bench-backfill: $(TEST_STAMP) ## compare the backfill with the plan's own (ROWS=3000000)
	@MAINTENANCE_EMBEDDED=1 $(PY) -m tests.bench.backfill

bench-partitions: $(TEST_STAMP) ## compare partitions with pg_partman, plain SQL, COPY and pandas (ROWS=250000)
	@MAINTENANCE_EMBEDDED=1 $(PY) -m tests.bench.partitions

bench-metadata: $(TEST_STAMP) ## what it costs an insert to hold metadata in its shape (ROWS=200000)
	@MAINTENANCE_EMBEDDED=1 $(PY) -m tests.bench.metadata

bench: bench-backfill bench-partitions bench-metadata ## run every benchmark, one after the other, each at its own ROWS

bench-memory: $(TEST_STAMP) ## run each flow 200 times in one process and see whether memory grows (RUNS=200)
	@MAINTENANCE_EMBEDDED=1 MALLOC_ARENA_MAX=2 $(PY) -m tests.bench.memory

schema: $(TEST_STAMP) ## write maintenance.schema.json from the declaration's models
	@$(PY) -c 'import json; from tasks.core.declaration import Declaration; \
		print(json.dumps(Declaration.model_json_schema(), indent=2))' > maintenance.schema.json

reference: $(TEST_STAMP) ## write docs/declaration.md from the same models
	@$(PY) -m tests.reference

clean: ## remove .data, build and caches, archives aside; refuses while a server of .data runs
	@if [ -x $(PY) ]; then $(PY) -c 'import sys; from tasks.core.embedded import DATA, remove_below; \
		held = remove_below(DATA); sys.exit("still in use: " + ", ".join(map(str, held)) if held else 0)'; fi
	@rm -rf .data .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name archive -exec rm -rf {} +

.venv/bin/python:
	@python=$$(.ci/find-python) && "$$python" -m venv .venv || { rm -rf .venv; echo "make: cannot create .venv (on Debian: apt-get install python3-venv)" >&2; exit 1; }

$(DEMO_STAMP): constraints.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv (about a minute, once)"
	@$(INSTALL) --editable '.[archive,demo]'
	@touch $@

$(TEST_STAMP): constraints.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv (about a minute, once)"
	@$(INSTALL) --editable '.[archive,demo,test]'
	@touch $(DEMO_STAMP) $@
