# `make demo` shows what tribond does, `make test` that it does it right. Both need Python 3.11 or later; say which one
# with `make PYTHON=python3.12 ...`. Everything made stays in this folder.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --no-input --disable-pip-version-check \
	--constraint constraints.txt # twice quiet: errors only

# Two processes, a file of tests to each: what a file's tests share is made once, and programs of LAMMPS run one at a time.
PROCESSES := --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Stamps: the package alone (enough for the demo), and with everything that tests and checks need.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
BUSY := $(VENV)/.busy

# An environment that was never finished, was moved, or has lost its Python counts as none.
SOUND := $(shell test ! -e $(BUSY) && test "$$(cat $(READY) 2>/dev/null)" = "$$PWD" \
	&& $(BIN)/python -c 'import pip' 2>/dev/null && echo yes)

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test torchsim bench lint format clean anew

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## Relax a crystal with the built-in potential; results and picture go to demo/
	@mkdir -p demo
	@$(BIN)/tribond relax examples/LiFePO4.cif --output demo
	@echo "The picture is demo/LiFePO4_relaxation.png"

test: $(READY_DEV) ## Run the tests; ARGS="-m slow" for the long ones, ARGS="tests/nn" for some, ARGS="-n 0 --pdb" in one process
	@$(BIN)/python -m pytest $(PROCESSES) $(ARGS)

torchsim: $(READY_DEV) ## Add torch-sim to the environment (75 MB; on Python 3.12 and later 500 MB) and run its tests
	@$(PIP_INSTALL) --editable '.[dev,torchsim]'
	@$(BIN)/python -m pytest -n 0 tests/integrations/test_torchsim.py $(ARGS)

bench: $(READY_DEV) ## Compare time and memory with MatGL, MatterSim and m3gnet; ARGS=--help for what can be chosen
	@$(BIN)/python -m benchmarks.speed $(ARGS)

lint: $(READY_DEV) ## Check style (ruff) and types (mypy)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY_DEV) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove everything that these commands made
	rm -rf $(VENV) src/tribond/lib .bench demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# PyTorch comes first, at the pinned version. Which build of it that is, is for pip's own settings to say: with
# PIP_EXTRA_INDEX_URL pointing at PyTorch's CPU index, no gigabytes of CUDA come along.
$(READY): pyproject.toml constraints.txt hatch_build.py native/build.json native/include/tribond.h $(wildcard native/src/*/*) $(if $(SOUND),,anew)
	@if [ -z "$(SOUND)" ]; then \
		"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
			echo "tribond needs Python 3.11 or later; '$(PYTHON)' is older or missing. Name another: make PYTHON=..." >&2; \
			exit 1; }; \
		"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; \
			exit 1; }; \
		echo "Making a Python environment in $(VENV) (once; PyTorch takes a few minutes) ..."; \
		rm -rf $(VENV); \
		"$(PYTHON)" -m venv $(VENV); \
	fi
	@touch $(BUSY)
	@$(PIP_INSTALL) torch
	@$(PIP_INSTALL) --editable .
	@rm -f $(BUSY)
	@pwd > $@

$(READY_DEV): $(READY)
	@echo "Adding the tools for tests and checks ..."
	@touch $(BUSY)
	@$(PIP_INSTALL) --editable '.[dev]'
	@rm -f $(BUSY)
	@touch $@

anew:
