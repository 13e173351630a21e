# Two commands for a newcomer: `make demo` and `make test`. Each creates its own .venv when it is missing.
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Branches of Core that the tests reach; fewer than 90 % of them fail.
COUNTED := --cov --cov-report=term:skip-covered --cov-fail-under=90

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench science fuzz kills soak mutation licences audit lock extension clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.made:
	@echo "Creating $(VENV) (Python packages, some 2 GB; once)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml constraints.txt
	@$(PIP) --editable '.[slicer]'
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	@$(PIP) --editable '.[slicer,test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: $(VENV)/.test
	@$(PIP) --editable '.[slicer,test,bench]'
	@touch $@

$(VENV)/.trust: $(VENV)/.test
	@$(PIP) --editable '.[slicer,test,trust]'
	@touch $@

demo: $(VENV)/.demo  ## the whole job on made patients, under 6 minutes after installing
	@$(BIN)/prrt demo --out $(OUT)

lint: $(VENV)/.test  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: lint  ## ruff, mypy and pytest, under 15 minutes on 2 cores; COVERAGE=1 counts Core's branches as well
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),$(COUNTED))

bench: $(VENV)/.bench  ## speed side by side against peers, equal results first (about half an hour on 2 cores)
	@$(BIN)/python Testing/Benchmarks/bench.py

science: $(VENV)/.test  ## the slow scientific checks: level of the tests, null and strong cohorts (about an hour on 2 cores)
	@$(BIN)/python Testing/Benchmarks/significance_level.py
	@$(BIN)/python Testing/Benchmarks/science.py

fuzz: $(VENV)/.trust  ## 50,000 damaged DICOM files, 20,000 other ones: typed errors alone, bounded memory and time (some minutes)
	@$(BIN)/python Testing/Fuzz/fuzz.py
	@$(BIN)/python Testing/Fuzz/parts.py

kills: $(VENV)/.test  ## kill -9 at random moments of every command that writes; nothing finished is lost (some minutes)
	@$(BIN)/python Testing/Kills/kills.py

soak: $(VENV)/.test  ## 500 predictions in one process with flat memory (some minutes)
	@$(BIN)/python Testing/Soak/soak.py

mutation: $(VENV)/.trust  ## mutants of SUV and labs that the tests must kill, or that are explained (some 15 minutes)
	@$(BIN)/python Testing/Mutation/mutation.py

licences: $(VENV)/.trust  ## the licence of everything that is installed; fails on one that is not permitted
	@$(BIN)/python .ci/licences.py

audit: $(VENV)/.trust  ## pip check, and whether what is installed is what the lock file names
	@$(BIN)/python .ci/audit.py

lock: $(VENV)/.trust  ## write the lock file with hashes anew
	@$(BIN)/python .ci/lock.py

extension: $(VENV)/.made  ## write the extension's file lists and catalogue entries
	@$(BIN)/python .ci/extension.py

clean:  ## remove the environment and the demo's output
	@rm -rf $(VENV) demo
