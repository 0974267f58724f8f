# make demo    see it work
# make test    the whole suite
# The rest is for developers; `make help` lists it. Debian: tools/install-debian.

PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2

.PHONY: help demo test coverage lint format types newsfragment wheel bench oracle clean

help:
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: .venv/.installed ## certificates, TLS backends and a gateway in front of them
	$(BIN)/appgw demo

test: .venv/.installed ## the whole suite
	$(BIN)/python -m twisted.trial -j $(JOBS) tests

coverage: .venv/.installed ## the suite with line and branch coverage
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m twisted.trial tests
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

lint: .venv/.dev ## ruff's rules and format, and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell

format: .venv/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: .venv/.dev ## mypy, strict
	$(BIN)/mypy

newsfragment: .venv/.dev ## the branch brings its line for the changelog
	$(BIN)/towncrier check

wheel: .venv/.dev ## build the wheel, and test it away from this folder
	$(BIN)/tox -e wheel

bench: .venv/.installed ## measure against other gateways: bench/README.md
	$(MAKE) -C bench

oracle: .venv/.installed ## hostile requests, judged at the backend: bench/README.md
	$(MAKE) -C bench oracle

clean: ## remove everything that make has made
	rm -rf .venv .tox .mypy_cache .ruff_cache .hypothesis _trial_temp* build dist *.egg-info .coverage*

# Each stamp is newer than what it was made from, so repeats need no network.
# editable_mode=compat puts this folder itself on the path, where twistd looks for plugins.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--config-settings editable_mode=compat

.venv/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("appgw needs Python 3.11 or later") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(INSTALL) -e '.[test]'
	touch $@

.venv/.dev: .venv/.installed
	$(INSTALL) -e '.[dev]'
	touch $@
