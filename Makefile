# Two commands do everything: `make run` and `make test`. Each sets up what it needs, once.
# ARGS goes to the program behind the target: make run ARGS="--port 9000", make test ARGS="-k journal".

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The first interpreter that answers and is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
INSTALL := $(PIP) install --no-deps --require-hashes -r
PAGE := src/tickwire/server/pages/app/index.html

.DEFAULT_GOAL := help
.PHONY: help setup dev run test check format lock bench docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Tickwire needs Python 3.11 or newer; none was found. Name one with PYTHON=/path/to/python3." >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python -m venv failed: on Debian and Ubuntu, install the package python3-venv" >&2; exit 1; }

$(VENV)/.run: locks/run.txt pyproject.toml | $(BIN)/python
	@echo "installing what the server needs (once)"
	@$(INSTALL) locks/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: locks/dev.txt $(VENV)/.run
	@echo "installing what the tests and checks need (once)"
	@$(INSTALL) locks/dev.txt
	@touch $@

$(PAGE): $(shell find dashboard -name node_modules -prune -o -type f -print) | $(VENV)/.run
	@echo "building the page (when its sources have changed)"
	@$(BIN)/python dashboard/build.py

setup: $(VENV)/.run $(PAGE)  ## a .venv in this checkout with tickwire in it, and the page

dev: $(VENV)/.dev  ## the same with everything for tests and checks

run: setup  ## a simulated market with a page at http://127.0.0.1:8000/
	@$(BIN)/tickwire serve $(ARGS)

test: dev $(PAGE)  ## every test
	@sh tests/system-programs
	@$(BIN)/pytest $(ARGS)

check: dev  ## formatting, lint, types, import directions, links in the docs; of the page too
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python docs/check_links.py
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python dashboard/build.py check

format: dev  ## let ruff format and mend what it can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/python dashboard/build.py format

bench: dev  ## every benchmark, beside the peers that are here
	@$(BIN)/tickwire bench all $(ARGS)

docs: dev  ## write the generated parts of the documentation anew
	@$(BIN)/python docs/generate.py

lock:  ## resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --group build -o locks/run.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --group dev --all-extras -o locks/dev.txt

clean:  ## remove what the targets made (not the data in .tickwire)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis artifacts dist dashboard/node_modules $(dir $(PAGE))
