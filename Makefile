# `make run` starts the server, and `make test` runs the tests. A target installs its dependencies when it first runs.
# ARGS contains arguments for the target's program: make run ARGS="--port 9000", make test ARGS="-k journal".

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The arguments of a check: a Python of a supported version exits with 0.
SUPPORTED := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# The first Python 3.11 or newer on the PATH. PYTHON=/path/to/python3 overrides this choice.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p $(SUPPORTED) 2>/dev/null && echo $$p && break; done)
# A .venv is created again if its Python is too old or has been uninstalled.
REPAIR := $(if $(wildcard $(VENV)),$(shell $(BIN)/python $(SUPPORTED) 2>/dev/null || echo remove-venv))
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
# Python compiles each module at its first import. Most modules of these packages are never imported.
INSTALL := $(PIP) install --no-deps --require-hashes --no-compile -r
# Tests run in two processes more than there are cores, because many tests wait for other processes, but in at most five.
# ARGS="-n 0" runs one test at a time.
PROCESSES := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 3 ? cores + 2 : 5)))
PARALLEL := --numprocesses=$(PROCESSES)
# pip compiles this file when it installs the project, if the machine has a C compiler.
C_SOURCES := src/tickwire/server/transport/senders/send_loop.c src/tickwire/market/quote_json.c
PAGE := src/tickwire/server/pages/app/index.html
JS_CLIENT := clients/js/dist/index.js
# The programs of rehearse-rollout, which deploy/rehearsal/build.sh builds.
REHEARSAL ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tickwire-rehearsal
# The extras of the container image.
IMAGE_EXTRAS := nats s3 protobuf flatbuffers feeds otel doctor
# The packages of the group `bulk` in pyproject.toml.
BULK := kubernetes-validate zensical
# Many container images set this variable. Each process that a test starts would then compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup dev run test test-slow check check-python check-page format lock bench load report soak test-image rehearse-rollout release-check docs docs-site clean remove-venv

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

remove-venv:
	@echo "removing $(VENV), because its Python is older than 3.11 or does not start"
	@rm -rf $(VENV)

$(BIN)/python: $(REPAIR)
	@test -n "$(PYTHON)" || { echo "Tickwire requires Python 3.11 or newer, but no such version is on the PATH: install one, or add PYTHON=/path/to/python3 to the command." >&2; exit 1; }
	@$(PYTHON) $(SUPPORTED) || { echo "Tickwire requires Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1): add PYTHON=/path/to/python3 to the command." >&2; exit 1; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python -m venv failed: on Debian and Ubuntu, install the package python3-venv" >&2; exit 1; }

$(VENV)/.run: locks/run.txt pyproject.toml $(wildcard hatch_build.py $(C_SOURCES)) $(REPAIR) | $(BIN)/python
	@echo "installing the dependencies of the server (once)"
	@$(INSTALL) locks/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: locks/dev.txt $(VENV)/.run
	@echo "installing the dependencies of tests and checks (once)"
	@$(INSTALL) locks/dev.txt
	@touch $@

# Each of these packages has thousands of files. `make check` installs them at the same time as those in locks/dev.txt.
$(VENV)/.bulk: locks/bulk.txt $(VENV)/.run
	@$(INSTALL) locks/bulk.txt
	@touch $@

$(PAGE): $(shell find dashboard clients/js/src -name node_modules -prune -o -type f -print) | $(VENV)/.run
	@echo "building the page (only after a change of its sources)"
	@$(BIN)/python dashboard/build.py

$(JS_CLIENT): $(shell find clients/js -name node_modules -prune -o -name dist -prune -o -name .build -prune -o -name '*.ts' -print) | $(VENV)/.run
	@echo "building the JavaScript client (only after a change of its sources)"
	@$(BIN)/python dashboard/build.py --folder clients/js

setup: $(VENV)/.run $(PAGE)  ## create .venv, install tickwire in it, and build the page

dev: $(VENV)/.dev $(VENV)/.bulk  ## also install the dependencies of tests and checks

run: setup  ## serve a simulated market, and a page at http://127.0.0.1:8000/
	@$(BIN)/tickwire serve $(ARGS)

test: dev $(PAGE) $(JS_CLIENT)  ## run the tests, except the long ones
	@sh tests/system-programs $(BIN)/python
	@$(BIN)/pytest $(PARALLEL) $(ARGS)

test-slow: dev $(PAGE) $(JS_CLIENT)  ## run the long tests: storms, kill loops, long views, many random examples
	@sh tests/system-programs $(BIN)/python long
	@$(BIN)/pytest -m long $(ARGS)

check: $(VENV)/.run  ## check format, lint, types, import directions and links, in Python and in the page
	@$(MAKE) --no-print-directory --jobs=2 check-python check-page

check-python: dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy --num-workers auto
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python docs/check_links.py
	@$(BIN)/python -m docs.generate --check

check-page:
	@$(BIN)/python dashboard/build.py check
	@$(BIN)/python dashboard/build.py --folder clients/js check

format: dev  ## format the code and apply automatic fixes
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/python dashboard/build.py format \
		&& $(BIN)/python dashboard/build.py --folder clients/js format

bench: dev  ## run all benchmarks, or one benchmark: ARGS="fanout --readers 1000"
	@$(BIN)/python -m benchmarks $(or $(ARGS),all)

load: dev  ## send 5,000 requests/s and read 1,000 streams, and compare the server with its targets
	@$(BIN)/python -m benchmarks load $(ARGS)

soak: dev  ## let clients come and go for 20 minutes, and fail if the server leaks memory, files or threads
	@$(BIN)/python -m benchmarks soak $(ARGS)

# Measure with `all` if ARGS names no earlier figures.
report: dev  ## measure everything and write artifacts/capacity.html (25 minutes), or compare: ARGS="OLD NEW"
	@$(if $(ARGS),,$(BIN)/python -m benchmarks all --folder artifacts/capacity)
	@$(BIN)/python -m benchmarks report $(or $(ARGS),artifacts/capacity)

test-image:  ## build the container image on a Debian base, and run the smoke and wire tests inside (requires root)
	@sh deploy/image/test.sh $(ARGS)

rehearse-rollout: dev  ## roll a good and a bad version out with Argo Rollouts on this machine (sh deploy/rehearsal/build.sh first)
	@PATH="$(REHEARSAL)/bin:$$PATH" $(BIN)/python -m deploy.rehearse_rollout $(ARGS)

release-check: dev $(PAGE)  ## build the release twice, install it without Node and compiler, and write dist/ with the SBOMs
	@$(BIN)/python -m deploy.release_check $(ARGS)

docs: dev  ## write the generated settings page, tables and dashboard field list
	@$(BIN)/python -m docs.generate

docs-site: dev  ## build the documentation site in artifacts/docs-site/html, and check its links
	@$(BIN)/python -m docs.site.build

lock:  ## resolve the dependencies again (requires uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --group build -o locks/run.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --group dev --all-extras $(addprefix --no-emit-package ,$(BULK)) -o locks/dev.txt
	uv pip compile --group bulk --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade -o locks/bulk.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --constraint locks/dev.txt $(addprefix --extra ,$(IMAGE_EXTRAS)) -o locks/image.txt
	uv pip compile --group release --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade -o locks/release.txt
	uv pip compile --group node --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade -o locks/node.txt

clean:  ## delete all files that the targets created, except the data in .tickwire
	rm -rf $(VENV) .bench .locust .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis artifacts dist dashboard/node_modules \
		clients/js/node_modules clients/js/dist clients/js/.build $(dir $(PAGE))
