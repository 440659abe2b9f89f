# Everything runs in .venv, which is made on the first call from the hash-pinned lock: nothing but Python >= 3.11 is needed.
PYTHON ?= python3
PORT ?= 8787
BIN := .venv/bin
PIN := pip compile --upgrade --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml

# A pipe fails where its first command fails: `coverage report | tail` must not hide what the report says.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# Processes that run tests; many tests wait for a socket or a process, so that more than one a core pays.
JOBS ?= auto
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# The part of the slow lane that .ci/run takes: another one for each commit, the same one for the same commit.
SLOW_SHARE ?= 0.1
SLOW_SEED ?= $(shell git rev-parse --short HEAD 2>/dev/null || date +%F)

.PHONY: serve test test-slow test-sample test-clients lint structure types unit coverage bench soak fuzz golden lock clean help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

serve: .venv/ready  ## Install, then start the router (on the dry run while no key is set)
	$(BIN)/autorouter serve --port $(PORT)

test: .venv/dev lint types unit  ## Install, then lint, type-check and run the fast lane of the tests

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tools.structure --check

structure: .venv/dev  ## Print the structure of the package in figures
	$(BIN)/python -m tools.structure

types: .venv/dev
	$(BIN)/mypy

unit: .venv/dev
	@start=$$SECONDS; $(PYTEST) || exit 1; echo "fast tests: $$((SECONDS - start)) s"

coverage: .venv/dev  ## The fast lane again, with its coverage: it takes twice as long
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) --dist worksteal
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=95 | tail -n 40

test-slow: .venv/dev coverage  ## The slow lane: coverage, soak, kills, long fuzzing, whole matrices; at most 30 minutes
	@start=$$SECONDS; FUZZ_SECONDS=$${FUZZ_SECONDS:-20} $(PYTEST) -m slow || exit 1; echo "slow tests: $$((SECONDS - start)) s"

test-sample: .venv/dev  ## A share of the slow lane that changes with every commit (SLOW_SHARE=0.1, SLOW_SEED=TEXT)
	@echo "slow lane: a share of $(SLOW_SHARE), seed $(SLOW_SEED); again: make test-sample SLOW_SEED=$(SLOW_SEED)"
	$(PYTEST) --slow-sample $(SLOW_SHARE) --seed $(SLOW_SEED) || test $$? -eq 5

test-clients: .venv/dev  ## Install pinned Codex and Aider in .clients, and let them work through the dry run
	$(BIN)/python -m tests.clients.run

bench: .venv/dev  ## Measure the router against a mock upstream of its own
	$(BIN)/python -m bench.decide
	$(BIN)/python -m bench.run

soak: .venv/dev  ## 200 mixed streams for half an hour: no byte lost, no receipt missing, nothing leaks
	AUTOROUTER_SOAK_S=$${AUTOROUTER_SOAK_S:-1800} $(BIN)/python -m pytest -m slow tests/soak -s

fuzz: .venv/dev  ## Fuzz every reader of foreign bytes by coverage, half an hour each (FUZZ_SECONDS=1800)
	$(BIN)/python -m tests.fuzz.run --seconds $${FUZZ_SECONDS:-1800}
	FUZZ_SECONDS=$${FUZZ_SECONDS:-1800} $(BIN)/python -m pytest -m slow tests/fuzz/test_schemathesis.py

golden: .venv/dev  ## Write the golden receipts again, after a change that is meant to change them
	$(BIN)/python -m pytest tests/receipts/test_golden.py --regenerate

lock: .venv/dev  ## Pin the newest versions, with hashes
	$(BIN)/uv $(PIN) --group build -o requirements.lock
	$(BIN)/uv $(PIN) --group build --group dev -c requirements.lock -o requirements-dev.lock

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/ready: .venv/bin/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv/dev: .venv/ready requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

clean:  ## Remove the environment and all caches
	rm -rf .venv build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
