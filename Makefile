# Two commands do everything: `make demo` and `make test`. The first one called makes .venv, later ones find it made.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# One thread per worker: several workers that each start a thread per core are slower than one.
WORKERS := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(PYTEST) -n auto --dist loadgroup
NEVER := not gpu and not network

.PHONY: help demo test test-slow test-real test-all check format docs lock setup clean

help:
	@echo 'make demo        the whole loop on a small model: data, training, report (offline, minutes)'
	@echo 'make test        the tests; test-slow and test-real run what it leaves out'
	@echo 'make check       ruff, mypy --strict, import directions, sizes'
	@echo 'make format      ruff, rewriting files'
	@echo 'make docs        the help pages in docs/commands.md'
	@echo 'make lock        requirements.lock again from pyproject.toml'
	@echo 'make setup       .venv from requirements.lock (every target above does it when needed)'
	@echo 'make clean       removes .venv and caches'
	@echo
	@echo 'PYTHON=python3.12 names the interpreter; ARGS="-k dedup" is handed to pytest or to datakit demo.'

setup:
	@.ci/setup '$(PYTHON)'

demo: setup
	@$(BIN)/python -m datakit demo $(ARGS)

test: setup
	@$(WORKERS) -m '$(NEVER) and not slow and not real' $(ARGS)

test-slow: setup
	@$(WORKERS) -m '$(NEVER) and slow and not real' $(ARGS)

# Real data lies in the folder named by DATAKIT_REAL_DATA or in ../shared/data; without either these tests skip.
test-real: setup
	@$(WORKERS) -m '$(NEVER) and real' $(ARGS)

test-all: setup
	@$(WORKERS) -m '$(NEVER)' $(ARGS)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python .ci/sizes.py

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup
	@$(BIN)/python .ci/docs.py

# A virtual environment of its own: what lies in .venv must not decide what is locked.
lock:
	@rm -rf .cache/lock && '$(PYTHON)' -m venv .cache/lock
	@.cache/lock/bin/python .ci/lock.py
	@rm -rf .cache/lock

clean:
	rm -rf .venv .cache .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
