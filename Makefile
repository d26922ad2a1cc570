# Everything needs only Python 3.11 or 3.12, make and the network.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types unit ui label-studio prove bench audit lock docs environments clean

VENV := .venv
UV := .tools/uv/bin/uv
PYTEST := $(VENV)/bin/python -m pytest
COMPILE := $(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate --python-version 3.11

help: ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.complete ## The environment, in .venv

$(UV): requirements-uv.lock tools/uv.sh
	tools/uv.sh

$(VENV)/.complete: $(UV) requirements.lock pyproject.toml
	@echo "Installing the environment (about 7 GB; later runs reuse it)"
	$(UV) venv --quiet --allow-existing --python "$$(tools/python.sh)" $(VENV)
	$(UV) pip sync --compile-bytecode --python $(VENV)/bin/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-build-isolation --no-deps --editable .
	touch $@

demo: setup ## Make a small church and run everything on it
	$(VENV)/bin/stt demo

ui: setup ## Dagster web UI on 127.0.0.1:3000, listening page on 127.0.0.1:3001
	$(VENV)/bin/stt ui

label-studio: setup ## Label Studio on 127.0.0.1:3002, where people correct transcripts
	$(VENV)/bin/stt label-studio

test: setup ## All tests: unit, runs, e2e
	tools/chromium.sh
	$(PYTEST) --numprocesses 3 --dist loadfile

check: lint unit ## What to run before a commit: lint, unit tests

lint: setup ## Style, and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo --no-cache

types: setup ## Types
	$(VENV)/bin/basedpyright

unit: setup ## Unit tests
	$(PYTEST) --numprocesses 2 --dist loadfile stt_platform_tests/unit

prove: setup ## The slow proofs: benchmarks and long stress
	$(VENV)/bin/python benchmarks/stress.py --processes 8 --claims 500 --fragments 500
	$(VENV)/bin/python -m benchmarks.chaos --trials 30 --rounds 9
	$(PYTEST) -m prove

bench: setup ## Short benchmarks: orchestration, discovery, store, translation in batches
	$(VENV)/bin/python -m benchmarks.orchestration --sermons 2
	$(VENV)/bin/python -m benchmarks.scale --sermons 20
	$(VENV)/bin/python -m benchmarks.stress --processes 4 --claims 50 --fragments 50
	$(VENV)/bin/python -m benchmarks.translation --verses 20

audit: $(UV) ## Known vulnerabilities of the pinned packages; needs the network
	$(UV) tool run --from pip-audit==2.10.1 pip-audit --disable-pip --require-hashes --requirement requirements.lock

docs: setup ## Pages that are made from the code
	$(VENV)/bin/python tools/parameters.py > docs/parameters.md

lock: $(UV) ## Resolve all pins anew
	$(COMPILE) pyproject.toml --extra embedded --extra dev --output-file requirements.lock
	$(COMPILE) requirements-inaspeechsegmenter.in --override requirements-inaspeechsegmenter.overrides --no-build \
	    --output-file requirements-inaspeechsegmenter.lock
	$(COMPILE) requirements-inaspeechsegmenter-models.in --no-deps --no-build \
	    --output-file requirements-inaspeechsegmenter-models.lock
	$(COMPILE) requirements-comet.in --no-build --output-file requirements-comet.lock
	$(COMPILE) requirements-label_studio.in --override requirements-label_studio.overrides --no-build \
	    --output-file requirements-label_studio.lock
	$(COMPILE) requirements-label_studio-sources.in --no-deps --output-file requirements-label_studio-sources.lock

environments: setup ## Build the isolated environments now, instead of on first use
	$(VENV)/bin/python -m stt_platform.environments

clean: ## Remove the environment and tools; recordings and results stay
	rm -rf $(VENV) .tools
