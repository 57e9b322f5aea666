# Every value (ENV, SUFFIX, ...) reaches the shell as it was typed: make expands nothing in it.
# make turns every failure into its own 2; the recipes print provisioner's exit code before.

PYTHON ?= python3
ENVIRONMENTS := provision plan teardown status
SHELL := /bin/sh

override ENV := $(value ENV)
override SUFFIX := $(value SUFFIX)
override TARGET := $(value TARGET)
override YES := $(value YES)
export ENV SUFFIX TARGET YES

ifneq ($(filter $(ENVIRONMENTS),$(MAKECMDGOALS)),)
ifeq ($(strip $(value ENV)),)
$(error ENV is missing; type: make $(firstword $(filter $(ENVIRONMENTS),$(MAKECMDGOALS))) ENV=dev)
endif
endif

.PHONY: help install gone $(ENVIRONMENTS) test crash soak check audit cover bench
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  ENV=dev        the environment, a file in environments/"
	@echo "  SUFFIX=pr-42   a stack of its own beside the others"
	@echo "  TARGET=aws     a real AWS account in place of the embedded cloud"
	@echo "  YES=1          do not ask"
	@echo "  ARGS='...'     further options, passed on unchanged"

install: .venv/installed ## Install what is needed into .venv

provision: .venv/installed ## Build ENV, or bring it up to date
	$(call provisioner,provision,asking)

plan: .venv/installed ## Show what provision would do to ENV
	$(call provisioner,plan)

teardown: .venv/installed ## Remove ENV, leaving nothing behind
	$(call provisioner,teardown,asking)

status: .venv/installed ## Show what AWS says of ENV now
	$(call provisioner,status)

test: .venv/installed ## Run all tests but those of make crash
	@.venv/bin/python -m pytest -n 2 -m 'not crash' $(value ARGS)

crash: .venv/installed ## Run the heavy tests: staging and prod die in every place there is, and go on
	@.venv/bin/python -m pytest -n 2 -m crash $(value ARGS)

soak: .venv/installed ## Walk at random through all that may befall a stack, by thousands
	@.venv/bin/python -W error -m tests.walk $(value ARGS)

check: .venv/installed ## Run the linters and check the types
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy

audit: ## Look the pinned packages up among known vulnerabilities; needs the network, installs nothing here
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" \
		&& "$$folder/bin/pip" install --quiet pip-audit \
		&& "$$folder/bin/pip-audit" --requirement constraints.txt --strict --no-deps --disable-pip $(value ARGS)

cover: .venv/installed ## Run what make test runs and show which branches that misses
	@.venv/bin/python -m coverage erase
	@.venv/bin/python -m coverage run -m pytest -n 2 -m 'not crash' $(value ARGS)
	@.venv/bin/python -m coverage combine --quiet
	@.venv/bin/python -m coverage report

bench: .venv/installed ## Measure speed and size against a bare script
	@.venv/bin/python -m benchmarks $(value ARGS)

# A Python that the system has replaced since takes what was installed with it.
.venv/installed: setup.cfg constraints.txt pyproject.toml $(shell .venv/bin/python -c "import click" 2>/dev/null || echo gone)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed and $(PYTHON) is not; install it or name it: make install PYTHON=python3.12" >&2; \
	  exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) -m venv is missing; install it: sudo apt install python3-venv (Debian, Ubuntu)" \
	    "or sudo dnf install python3-pip (Fedora, RHEL)" >&2; exit 2; }
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "installing into .venv (the first time takes a minute)" >&2
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# $(call provisioner,COMMAND,asking): "asking" for the commands that know --yes.
define provisioner
@set -- $(1) "$$ENV"; \
[ -z "$$SUFFIX" ] || set -- "$$@" --suffix "$$SUFFIX"; \
[ -z "$$TARGET" ] || set -- "$$@" --target "$$TARGET"; \
$(if $(2),case "$$YES" in (''|0|n|no|false) ;; (*) set -- "$$@" --yes ;; esac;) \
.venv/bin/python -m provisioner "$$@" $(value ARGS); code=$$?; \
[ $$code -eq 0 ] || { echo "provisioner exited with $$code" >&2; exit $$code; }
endef
