# make demo   train a small language model in about a minute and play with it
# make test   the whole test suite
# make clean  remove what these made
#
# Both make .venv first, from the first Python >= 3.11 found; nothing else needs to be installed.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test clean

demo: .venv/.installed
	@$(BIN)/python -m gatewise.demo $(FILE)

test: .venv/.installed-dev
	@scripts/test

.venv/.created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed; set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.created pyproject.toml constraints.txt
	@echo "installing gatewise (a few minutes the first time)"
	@$(PIP) --editable '.[all]'
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "installing the development tools"
	@$(PIP) --editable '.[all,dev]'
	@touch $@

clean:
	rm -rf .venv demo-output build dist .pytest_cache .ruff_cache .hypothesis
