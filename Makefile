# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each sets up its own environment in .venv first, with the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench bench-serve fuzz docs clean

help: ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

$(VENV)/.audit: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "splitward needs Python 3.11 or later: set PYTHON=python3.11 or newer."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[audit]"
	@touch $@

$(VENV)/.dev: $(VENV)/.audit
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/pip install --quiet --constraint constraints.txt --group docs
	@touch $@

demo: $(VENV)/.audit ## Cut, attack, defend and report, on real digits that come with the packages (no download)
	$(BIN)/splitward demo --out runs/demo

test: $(VENV)/.dev ## All tests but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal -m "not slow"

test-all: $(VENV)/.dev $(VENV)/.docs ## All tests; minutes to hours
	$(BIN)/pytest

lint: $(VENV)/.dev ## Formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Speed, against a straightforward reference in the same run
	$(BIN)/python benchmarks/bench_rmle.py
	$(BIN)/python benchmarks/bench_inverse_network.py
	cd benchmarks && ../$(BIN)/python bench_plan.py

bench-serve: $(VENV)/.dev ## Speed of the cloud; SDKS="--kserve PYTHON --mlserver PYTHON" compares with those
	cd benchmarks && ../$(BIN)/python bench_serve.py $(SDKS)

$(VENV)/.fuzz: $(VENV)/.dev
	$(BIN)/pip install --quiet --constraint constraints.txt --group fuzz
	@touch $@

fuzz: $(VENV)/.fuzz ## Hostile messages under a fuzzer that follows the branches; minutes
	$(BIN)/python fuzz/decoding.py

docs: $(VENV)/.docs ## Documentation, into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean: ## Remove the environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache docs/_build
