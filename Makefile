# Everything a fresh clone needs: python3 with venv and pip. `make test` on a new machine installs first, later calls are quick.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
TORCH := torch==2.13.0

.PHONY: help setup browser test check bench demo docs clean
help:
	@echo "make setup   create .venv with torch, this package and its development tools"
	@echo "make test    run the tests"
	@echo "make browser install what drives a browser (chromium), for the tests of the HTML report"
	@echo "make check   everything that has to be right before a merge: format, lint, types, layers, tests"
	@echo "make demo    break a real model's checkpoint as people do, and let intact find the cause"
	@echo "make bench   measure again and write benchmarks/README.md"
	@echo "make docs    write docs/codes/ from the rules' pages, and what commands print into the others"
	@echo "make clean   remove .venv and caches"

# A stamp is newer than what it was made from: the second call installs nothing.
$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "intact needs Python 3.10 or later")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.stamp-torch: $(VENV)/.stamp-venv
	$(PIP) install $(TORCH)
	@touch $@

# pip reads [dependency-groups] since 25.1. Torch is named again so that no other requirement moves it.
$(VENV)/.stamp-dev: $(VENV)/.stamp-torch pyproject.toml
	$(PIP) install $(TORCH) --editable . --group dev
	@touch $@

$(VENV)/.stamp-demo: $(VENV)/.stamp-dev
	$(PIP) install $(TORCH) --group demo
	@touch $@

setup: $(VENV)/.stamp-dev $(VENV)/.stamp-demo

browser: setup
	$(PIP) install --group browser

test: setup
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

check: setup
	@$(BIN)/python tools/check.py

bench: setup
	@$(BIN)/python -m benchmarks.run

demo: setup
	@$(BIN)/python tools/demo.py

docs: setup
	@$(BIN)/python tools/generate_docs.py
	@$(BIN)/python tools/fill_console.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
