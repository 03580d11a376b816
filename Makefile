# make setup, then make demo. Everything runs in .venv, which `make setup` builds from constraints.txt.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.dit-lens-installed
DOCS   := $(VENV)/.dit-lens-docs-installed
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow check bench anatomy paper docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1 \t/' | expand -t 16

setup: $(STAMP)  ## build .venv and install dit-lens into it, for development

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(STAMP)

$(DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $(DOCS)

demo: $(STAMP)  ## trace tiny-wan on puzzles, draw what it did; ARGS="--out runs/other" goes to dit-lens
	$(BIN)/dit-lens demo $(ARGS)

test: $(STAMP)  ## run the tests but for the slow ones, on up to four cores; ARGS="-k cli -n 0" goes to pytest
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "not slow" $(ARGS)

slow: $(STAMP)  ## run the tests that take long: a hundred kills, full-size memory, every family under every scheduler
	$(BIN)/python -m pytest -m slow $(ARGS)

check: $(STAMP)  ## formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## measure what a trace costs here; ARGS="--quick" tries it, "--out docs/performance" renews the docs
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

anatomy: $(STAMP)  ## measure what tiny-wan does, renew docs/tiny-wan.md; ARGS="--quick" tries it
	PYTHONPATH=docs $(BIN)/python -m anatomy $(ARGS)

paper: $(STAMP)  ## run the experiments of the paper on tiny-wan, renew docs/paper; ARGS="--quick" tries it
	PYTHONPATH=docs $(BIN)/python -m experiments $(ARGS)

docs: $(DOCS)  ## build the documentation into docs/_build
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build

clean:  ## remove caches and builds; .venv and runs/ stay
	rm -rf dist docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find dit_lens probes stores tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
