# Everything needs just Python 3.11 to 3.13 and make; .venv is created here on first use.
#
#   make demo       limits from a bundled example, written to results/
#   make test       the test suite
#   make lint       style, imports between rooms, spelling
#   make doctest    examples of the docstrings
#   make notebooks  run the tutorials
#   make docs       build the documentation in docs/_build/html
#   make bench      accuracy and speed against the incumbents
#   make clean      remove what was built, .venv included
#
# PYTHON=/path/to/python chooses the interpreter, OUTPUT=folder that of the demo's results,
# PYTEST_ARGS="-k castro" is handed to pytest.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
OUTPUT := results
PYTEST_ARGS :=

export MPLBACKEND := Agg
# packages of the user's own environment must not leak into .venv
unexport PYTHONPATH PYTHONHOME

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint doctest notebooks docs bench clean FORCE

help:
	@sed -n 's/^#   make /make /p' Makefile

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# Stamps hold the folder they were made in: a tree that was moved is installed anew.
stale = $(if $(filter $(CURDIR),$(shell cat $(1) 2>/dev/null)),,FORCE)

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    command -v "$$python" >/dev/null 2>&1 || continue; \
	    "$$python" -c '$(SUPPORTED)' 2>/dev/null || continue; \
	    echo "Creating $(VENV) with $$(command -v "$$python")"; \
	    "$$python" -m venv --clear $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "$$python cannot create a virtual environment; on Debian and Ubuntu install" >&2; \
	    echo "the package python3-venv." >&2; \
	    exit 1; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 found: install one, or name it with" >&2; \
	echo "make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	exit 1

# .venv/.stamp-run has the package alone, .venv/.stamp-<extra> the package with that extra.
define install
	@echo "Installing dmgammapy$(1) into $(VENV) (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".$(1)"
	@echo "$(CURDIR)" > $@
endef

$(VENV)/.stamp-run: pyproject.toml $(call stale,$(VENV)/.stamp-run) | $(BIN)/python
	$(call install,)

$(VENV)/.stamp-test: pyproject.toml $(call stale,$(VENV)/.stamp-test) | $(BIN)/python
	$(call install,[test])

$(VENV)/.stamp-docs: pyproject.toml $(call stale,$(VENV)/.stamp-docs) | $(BIN)/python
	$(call install,[docs])

demo: $(VENV)/.stamp-run
	$(BIN)/dmgammapy run dmgammapy/data/example/config.yaml --output $(OUTPUT) --overwrite

test: $(VENV)/.stamp-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.stamp-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m codespell_lib

doctest: $(VENV)/.stamp-test
	$(BIN)/python -m pytest --doctest-modules dmgammapy

notebooks: $(VENV)/.stamp-test
	@mkdir -p build/notebooks
	@for tutorial in tutorials/*.py; do \
	    [ -e "$$tutorial" ] || continue; \
	    echo "Running $$tutorial"; \
	    env -u MPLBACKEND $(BIN)/python -m jupytext --quiet --to ipynb --set-kernel python3 --execute \
	        --run-path tutorials \
	        --output "build/notebooks/$$(basename "$$tutorial" .py).ipynb" "$$tutorial" || exit 1; \
	done

docs: $(VENV)/.stamp-docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/python tools/check_links.py docs/_build/html
	@echo "Built docs/_build/html/index.html"

bench: $(VENV)/.stamp-test
	@for benchmark in benchmarks/bench_*.py; do \
	    [ -e "$$benchmark" ] || continue; \
	    $(BIN)/python "$$benchmark" || exit 1; \
	done

clean:
	rm -rf $(VENV) build docs/_build docs/api *.egg-info dmgammapy/_version.py
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find dmgammapy tests tools benchmarks tutorials docs -name __pycache__ -type d -prune \
	    -exec rm -rf {} +
