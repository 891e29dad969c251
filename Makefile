# Everything that is started by hand or by CI starts here. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that runs and is new enough; a shim may be there and not run.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin

# Set-up is stamped, so that a second run does nothing until an input changes.
DEPS := $(VENV)/.deps-stamp
DOCS_DIR := service/api/static/docs
DOCS := $(DOCS_DIR)/.stamp
NODE_MODULES := web/node_modules/.stamp
UI_DIR := service/api/static/ui
UI := $(UI_DIR)/.stamp
UI_SOURCES := web/index.html web/vite.config.ts $(wildcard web/tsconfig*.json) $(shell find web/src web/public -type f)
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links
NPM := $(BIN)/python -m devstack.node npm

PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9_-]+:.*## / {printf "  \033[1m%-11s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: setup ## Serve http://localhost:8000 with every part it needs, until Ctrl-C
	@exec $(BIN)/python -m devstack.run --stop-with-parent

# Handed out one by one, for the long tests stand side by side; tests/conftest.py says what stays together.
.PHONY: test
test: lint ## Run every check that a change must pass
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: lint
lint: setup ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(NPM) run lint --prefix web --silent

.PHONY: format
format: setup ## Rewrite the sources in the house style
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.PHONY: e2e
e2e: setup ## Run only the tests against a whole running stack
	@$(BIN)/python -m pytest -m e2e $(PYTEST_ARGS)

.PHONY: chaos
chaos: setup ## Kill, pause and cut the parts for longer than `make test` does
	@$(BIN)/python -m pytest -m "chaos or chaos_long" --timeout=0 $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: setup ## Fuzz every documented route for longer than `make test` does
	@$(BIN)/python -m pytest -m "fuzz or fuzz_long" --timeout=0 $(PYTEST_ARGS)

.PHONY: bench
bench: setup ## Measure the service and print the figures
	@$(BIN)/python -m bench $(BENCH_ARGS)

.PHONY: image-check
image-check: setup ## Run the image IMAGE (talkmeter:latest) as docker-compose.yml does, with Docker or Podman
	@$(BIN)/python -m pytest -m image tests/stack/test_image.py $(PYTEST_ARGS)

.PHONY: screenshots
screenshots: setup ## Take pictures of the web UI into .data/screenshots, the README's into docs/images
	@$(BIN)/python -m devstack.screenshots .data/screenshots docs/images

.PHONY: setup
setup: $(DEPS) $(DOCS) $(UI) ## Install what the other targets need (they all call it)

$(DEPS): requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with PYTHON=…" >&2; exit 1; }
	@echo "Installing the Python packages into $(VENV) …"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(NODE_MODULES): web/package.json web/package-lock.json | $(DEPS)
	@echo "Installing the packages of the web UI …"
	@$(NPM) ci --prefix web --no-audit --no-fund --loglevel=error
	@touch $@

# The pages of the API reference are served from here: nothing is fetched from a CDN.
$(DOCS): $(NODE_MODULES)
	@$(BIN)/python -m devstack.docs_assets web/node_modules $(DOCS_DIR)
	@touch $@

$(UI): $(NODE_MODULES) $(UI_SOURCES)
	@echo "Building the web UI …"
	@$(NPM) run build --prefix web --silent
	@touch $@

.PHONY: types
types: $(DEPS) $(NODE_MODULES) ## Generate the web UI's types from the API's OpenAPI document
	@$(BIN)/python -m devstack.openapi_document web/openapi.json
	@$(NPM) run types --prefix web --silent

.PHONY: lock
lock: $(DEPS) ## Compile requirements*.in and web/package.json into their lock files
	@$(COMPILE) requirements.in -o requirements.txt
	@$(COMPILE) requirements-dev.in -o requirements-dev.txt
	@$(NPM) install --package-lock-only --prefix web

# Both need the network: the first asks for known vulnerabilities of every pinned package, the second for its own tools.
PIP_AUDIT := $(BIN)/uv tool run pip-audit==2.10.1
CYCLONEDX := $(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py

# Strict: else packages that the index can't be asked about are left out, and the rest is said to be clean.
.PHONY: audit
audit: $(DEPS) ## Look for known vulnerabilities in what the service is built from
	@failed=; \
	$(PIP_AUDIT) --strict --require-hashes --disable-pip -r requirements.txt || failed="$$failed Python"; \
	$(NPM) audit --prefix web || failed="$$failed npm"; \
	test -z "$$failed" || { echo "Vulnerable or NOT AUDITED (read above):$$failed." \
		"Mirrors answer no questions about advisories: the public indexes must be reached." >&2; exit 1; }

.PHONY: sbom
sbom: $(DEPS) ## Write what the service is built from to sbom/ (CycloneDX)
	@mkdir -p sbom
	@$(CYCLONEDX) requirements requirements.txt --output-reproducible -o sbom/python.json
	@$(NPM) sbom --prefix web --package-lock-only --sbom-format cyclonedx > sbom/npm.json

.PHONY: clean
clean: ## Remove what the other targets made, except the data of `make run`
	rm -rf $(VENV) web/node_modules $(DOCS_DIR) $(UI_DIR) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
