# Every target sets up what it needs; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make run` needs is installed; and what every other target needs as well.
RUN_STAMP := $(VENV)/.run
STAMP := $(VENV)/.ready

# Of `make conformance`.
CLIENTS ?= python or bash or go or node or java or rust or collector
# A layer's content to run instead of the checkout, as `make layer` writes it to build/opt.
OPT ?=

# Of `make bench`, some groups; of `make bench-compare`, some loads and the file to compare with.
BENCH ?=
LOADS ?=
AGAINST ?= bench/baseline.json

# Of `make fuzz`; and of `make soak`, the longest that a case waits, if that is less than its full length.
INPUTS ?= 1000000
SECONDS ?=

# Of `make layer` and `make image`: where the interpreters come from (debian, uv, or folders X:Y; empty: the first that works), one
# architecture alone (x86_64, aarch64), and what is shipped (default; sdk: OpenTelemetry's SDK and exporters as well).
LAYER_PYTHON ?=
ARCH ?=
FLAVOUR ?= default

# Of `make release`, which also takes LAYER_PYTHON: the tag that it is made for, which must be the version's; and 1 to try it
# without a commit.
TAG ?=
ALLOW_DIRTY ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-pythons check format conformance golden fuzz faults soak bench bench-peers bench-compare bench-save bench-instructions
.PHONY: deploy examples layer image check-layer check-page lock clean
.PHONY: release

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create the virtual environment with the locked versions

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Packages besides those that are there. The first stamp is away meanwhile: pip takes a half
# unpacked package for an installed one, so an interrupted setup must begin anew.
define install
@mv $(RUN_STAMP) $(RUN_STAMP).away
@$(INSTALL) --require-hashes -r $<
@mv $(RUN_STAMP).away $(RUN_STAMP)
@touch $@
endef

$(RUN_STAMP): requirements-run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.platform == "linux" or sys.exit("lrap-otel runs on Linux, as Lambda does. Elsewhere:  docker run --rm -it -v \"$$PWD:/src\" -w /src python:3.13 make run")'
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("lrap-otel needs Python 3.10 or newer; name one with  make PYTHON=/path/to/python3")'
	@echo "setting up $(VENV) (once; about a quarter of a minute)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(INSTALL) --require-hashes -r requirements-run.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import os, shlex, sys, sysconfig; print("LRAP_PYTHON=%s\nLRAP_DEPENDENCIES=%s" % (shlex.quote(os.path.realpath(sys.executable)), shlex.quote(sysconfig.get_path("purelib"))))' > .lrap-paths
	@touch $@

$(STAMP): requirements-dev.txt $(RUN_STAMP)
	@echo "installing what the tests need (once; about a minute)"
	$(install)

run: $(RUN_STAMP) ## the main job: emulator, extension, a real function; prints its traces
	@$(BIN)/lrap-otel emulate --require-traces --extension lrap-otel=opt/entrypoint --wrapper opt/wrapper --cwd examples/python \
		--env OTEL_LOGS_EXPORTER=otlp --event examples/events/http.json examples/events/sqs.json examples/events/error.json \
		-- "$(CURDIR)/$(BIN)/python" -m awslambdaric app.handler

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest tests

test-pythons: $(STAMP) ## run the tests that start both processes on every other Python of this machine
	$(BIN)/python -m tests.other_pythons

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

LAYER = -m opt.layer --python "$(LAYER_PYTHON)" $(if $(ARCH),--arch $(ARCH)) --flavour $(FLAVOUR)

layer: ## build build/lrap-otel.zip, the layer for both architectures and every runtime, and build/opt/, its content
	@$(PYTHON) $(LAYER)

image: ## the layer, and build/image/: the same /opt as an OCI image index, for COPY --from
	@$(PYTHON) $(LAYER) image

conformance: $(STAMP) ## run real clients of six languages and a real collector (builds them: 10 minutes the first time)
	@test -z "$(OPT)" || test -x "$(OPT)/extensions/lrap-otel" || { echo "$(OPT) is no layer's content: run \`make layer\`"; exit 2; }
	CONFORMANCE_OPT="$(abspath $(OPT))" $(BIN)/python -m pytest tests/conformance -m "$(CLIENTS)"

check-layer: $(STAMP) ## build the layer twice, hold its size, run it in an empty root on both architectures (as root; qemu)
	$(BIN)/python -m pytest tests/layer

check-page: $(STAMP) ## drive the emulator's page in Chromium (needs chromium-headless-shell)
	$(BIN)/python -m pytest tests/browser

examples: $(STAMP) ## check every example with the tools of its users, without an account (installs them: a minute the first time)
	$(BIN)/python -m pytest tests/examples

$(VENV)/.fuzz: requirements-fuzz.txt $(STAMP)
	$(install)

golden: $(STAMP) ## write the golden spans anew; read the difference before committing it
	$(BIN)/python -m tests.telemetry.golden

fuzz: $(VENV)/.fuzz ## compare a million inputs with h11 and json, guided by coverage (four minutes)
	$(BIN)/python -m tests.fuzz.guided $(INPUTS)

faults: $(STAMP) ## every fault of a collector, in every phase, with every fault of ours; prints what arrived (a minute of CPU, four by the clock)
	$(BIN)/python -m pytest tests/faults

soak: $(STAMP) ## run the long-lived cases, all at once (15 minutes; SECONDS=20 makes them short)
	$(BIN)/python -m pytest tests/soak $(if $(SECONDS),--seconds=$(SECONDS))

bench: $(STAMP) ## run the benchmarks; tables and plots go into docs/development/ (10 minutes; BENCH="hot billed": some groups)
	$(BIN)/python -m pytest $(if $(BENCH),$(BENCH:%=bench/test_%.py),bench) --benchmark-only
	$(BIN)/python -m bench.docs

bench-peers: $(STAMP) ## the hot rounds with another proxy beside ours: PEER="its command line"
	@test -n "$$PEER" || { echo 'usage: make bench-peers PEER="command line"'; exit 2; }
	$(BIN)/python -m pytest bench/test_hot.py --benchmark-only

bench-compare: $(STAMP) ## what ours costs in C relays beside what was saved; fails on twice that
	$(BIN)/python -m bench.compare $(LOADS) --against $(AGAINST)

bench-save: $(STAMP) ## save what ours costs in C relays, for bench-compare
	$(BIN)/python -m bench.compare $(LOADS) --against $(AGAINST) --save

bench-instructions: $(STAMP) ## how many instructions a cycle takes in the thread that serves it (needs valgrind)
	$(BIN)/python -m bench.instructions

deploy: $(STAMP) ## publish the layer: REGIONS="eu-west-1 us-east-1"; also PUBLIC=1, ORGANIZATION=o-…, ALIGN=1
	@$(BIN)/lrap-otel deploy $(REGIONS:%=--region %) $(if $(PUBLIC),--public) $(ORGANIZATION:%=--organization %) $(if $(ALIGN),--align)

release: $(RUN_STAMP) ## write dist/: layer, image, wheel, bill of materials, checksums; from a commit (ALLOW_DIRTY=1: to try)
	@$(BIN)/python -m opt.release --python "$(LAYER_PYTHON)" --tag "$$TAG" $(if $(ALLOW_DIRTY),--allow-dirty)

lock: ## choose newest versions and lock them with their hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade requirements-sdk.in -o requirements-sdk.txt
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade requirements-dev.in -o requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade -c requirements-dev.txt requirements-run.in -o requirements-run.txt
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade requirements-fuzz.in -o requirements-fuzz.txt
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade tests/conformance/python/requirements.in -o tests/conformance/python/requirements.txt
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --upgrade requirements-examples.in -o requirements-examples.txt

clean: ## remove what the other targets made
	rm -rf $(VENV) .lrap-paths .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks build dist
