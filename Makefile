# make demo    catvec at work on real data (flights out of New York)
# make test    the tests
# make check   format, lint and types
# make docs    the documentation: every page is run, then written as web pages to build/docs
# make clean   back to a fresh checkout
# The first one of them sets up .venv; after that each starts at once.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --progress-bar off
WORKERS ?= 2

# Both by environment, so that what pip builds with is pinned too.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: demo test check docs clean

demo: .venv/.demo-stamp
	@$(BIN)/catvec demo

test: .venv/.dev-stamp
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

check: .venv/.dev-stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/.dev-stamp .venv/.docs-stamp
	$(BIN)/pytest -n $(WORKERS) -m "" tests/test_readme.py
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

# A stamp is touched last, so a set-up that failed or was stopped is done again.
.venv/.made-stamp:
	@echo "Making .venv ..."
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.demo-stamp: .venv/.made-stamp pyproject.toml constraints.txt
	@echo "Installing catvec and what the demo needs (once, a minute or so) ..."
	@$(INSTALL) -e '.[fast,demo]'
	@touch $@

# Holds all that the demo needs, so it counts for both.
.venv/.dev-stamp: .venv/.made-stamp pyproject.toml constraints.txt
	@echo "Installing catvec and the development tools (once, some minutes) ..."
	@$(INSTALL) -e '.[fast,torch,dev,demo]'
	@touch .venv/.demo-stamp $@

.venv/.docs-stamp: .venv/.made-stamp pyproject.toml constraints.txt
	@echo "Installing catvec and what writes its documentation (once, a minute or so) ..."
	@$(INSTALL) -e '.[docs,torch]'
	@touch $@
