# make demo    see it work
# make test    the whole suite
# The rest is for developers; `make help` lists it. Debian: tools/install-debian.

PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2

.PHONY: help demo test coverage lint format types newsfragment wheel compiled
.PHONY: test-compiled bench oracle clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

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

compiled: .venv-compiled/.installed ## the faster form, in .venv-compiled; needs a C compiler

test-compiled: .venv-compiled/.installed ## the whole suite, against that
	rm -rf .venv-compiled/elsewhere
	mkdir .venv-compiled/elsewhere
	cp -R tests bench setup.cfg setup.py .venv-compiled/elsewhere
	cd .venv-compiled/elsewhere && APPGW_COMPILE=1 \
		../bin/python -m twisted.trial -j $(JOBS) tests

bench: .venv/.installed ## measure against other gateways: bench/README.md
	$(MAKE) -C bench

oracle: .venv/.installed ## hostile requests, judged at the backend: docs/hardening.md
	$(BIN)/python -m tests.oracle.run

clean: ## remove everything that make has made
	rm -rf .venv .venv-compiled .tox .mypy_cache .ruff_cache .hypothesis _trial_temp* build dist *.egg-info .coverage*

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

# From a wheel, never in place: a compiled module beside its source would hide
# every later edit of it. Debian's own Python is built with profiles and takes two
# thirds of the time of one that is not; PYTHON=... names another.
DISTRIBUTION := /usr/bin/python3
USABLE := 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'
COMPILED = $(PYTHON)
ifeq ($(origin PYTHON),file)
COMPILED = $(shell $(DISTRIBUTION) -c $(USABLE) 2>/dev/null && echo $(DISTRIBUTION) || echo $(PYTHON))
endif

.venv-compiled/.installed: setup.py setup.cfg pyproject.toml $(shell find appgw twisted -name '*.py')
	rm -rf build/lib* .venv-compiled
	$(COMPILED) -m venv .venv-compiled
	APPGW_COMPILE=1 .venv-compiled/bin/python -m pip install --quiet \
		--disable-pip-version-check '.[test]'
	touch $@
