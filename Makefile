# Every target sets up what it needs in .venv by itself, and is quick the second time.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-rest test-all programs check bench picture soak clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.demo: .venv/.made pyproject.toml constraints.txt
	@echo "Installing into .venv (about 1.5 GB with PyTorch; once) …"
	@$(INSTALL) --editable ".[lightning]"
	@touch $@

.venv/.dev: .venv/.demo
	@$(INSTALL) --editable ".[lightning,pictures,test-transformers,dev]"
	@touch $@

demo: .venv/.demo ## see a real model get better over four versions, in ./demo
	@$(BIN)/progressive-training demo demo

# What tests need beside Python: installed as root, else the last line of the tests says what was left out.
programs:
	@$(PYTHON) tests/support/programs.py

# The official MCP suites and the Node that they need.
.venv/.node: tests/server/conformance/package.json | .venv/.made programs
	@command -v npm >/dev/null || exit 0; mkdir -p .venv/node && cp tests/server/conformance/package.json .venv/node/ && \
		npm install --prefix .venv/node --no-package-lock --no-audit --no-fund --loglevel=error && touch $@

# A client of the SDK before this one, in a Python of its own.
.venv/.old-client: .venv/.made
	@$(PYTHON) -m venv .venv/old-client
	@.venv/old-client/bin/python -m pip install --quiet --disable-pip-version-check mcp==1.30.0
	@touch $@

# Ray, which the server itself never needs: a real cluster for the tests.
.venv/.ray: .venv/.made
	@$(PYTHON) -m venv .venv/ray
	@.venv/ray/bin/python -m pip install --quiet --disable-pip-version-check "ray[default]==2.60.0"
	@touch $@

# Compiled beforehand: a test starts many a process, also where the environment forbids Python to keep what it compiles.
TESTED := .venv/.dev .venv/.node .venv/.old-client .venv/.ray | programs
TESTS = $(BIN)/python -m compileall -q agents loop pages prompts server tools tests/support; $(BIN)/pytest -n 2 --dist worksteal

test: $(TESTED) ## run the fast tests, which cover every kind (minutes)
	@$(TESTS) --tier fast

test-rest: $(TESTED) ## run the others
	@$(TESTS) --tier rest

test-all: $(TESTED) ## run every test
	@$(TESTS)

check: .venv/.dev ## lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache

bench: .venv/.dev ## measure what the docs claim (bench/README.md; peers are optional)
	@$(BIN)/python bench/run.py

picture: .venv/.dev demo ## make the README's pictures anew from the demo's result (needs chromium)
	@$(BIN)/python bench/picture.py demo docs/demo.png
	@$(BIN)/python bench/screenshots.py demo docs/dashboard.png docs/dashboard-phone.png

soak: .venv/.dev ## hours of kills and full disks (needs strace): is anything ever lost?
	@$(BIN)/python bench/soak.py

clean: ## remove what make made: .venv, ./demo, caches
	rm -rf .venv demo .pytest_cache .ruff_cache .hypothesis *.egg-info
