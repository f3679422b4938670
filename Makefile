# Every target sets up what it needs; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

# Of `make conformance`.
CLIENTS ?= python or bash or go or node or java or rust or collector

.DEFAULT_GOAL := help
.PHONY: help setup run test check format bench conformance lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create the virtual environment with the locked versions

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.platform == "linux" or sys.exit("lrap-otel runs on Linux, as Lambda does. Elsewhere:  docker run --rm -it -v \"$$PWD:/src\" -w /src python:3.13 make run")'
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("lrap-otel needs Python 3.10 or newer; name one with  make PYTHON=/path/to/python3")'
	@echo "setting up $(VENV) (once; about half a minute)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import os, shlex, sys, sysconfig; print("LRAP_PYTHON=%s\nLRAP_DEPENDENCIES=%s" % (shlex.quote(os.path.realpath(sys.executable)), shlex.quote(sysconfig.get_path("purelib"))))' > .lrap-paths
	@touch $@

run: $(STAMP) ## the main job: emulator, extension, a real function; prints its traces
	@$(BIN)/lrap-otel emulate --require-traces --extension lrap-otel=opt/entrypoint --wrapper opt/wrapper --cwd examples/python \
		--event examples/events/http.json examples/events/sqs.json examples/events/error.json \
		-- "$(CURDIR)/$(BIN)/python" -m awslambdaric app.handler

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest tests

check: $(STAMP) ## format, lint, types, tests with branch coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

format: $(STAMP) ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

conformance: $(STAMP) ## run real clients of six languages and a real collector (builds them: 10 minutes the first time)
	$(BIN)/python -m pytest tests/conformance -m "$(CLIENTS)"

bench: $(STAMP) ## run the benchmarks
	$(BIN)/python -m pytest bench --benchmark-only

lock: ## choose newest versions and lock them with their hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade requirements-dev.in -o requirements-dev.txt

clean: ## remove what the other targets made
	rm -rf $(VENV) .lrap-paths .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks build dist
