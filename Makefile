# `make` lists what can be done. Every target does all its own set-up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NET := $(BIN)/goldentooth-net

.DEFAULT_GOAL := help

.PHONY: help setup render twin lint test test-all long model fuzz check golden schema docs notebook lock bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-fuzz: requirements-fuzz.txt $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.txt
	@touch $@

$(VENV)/bin/python:
	@scripts/make-venv "$(PYTHON)" "$(VENV)"

setup: $(VENV)/.installed ## the virtual environment, with locked dependencies

render: $(VENV)/.installed ## every host's configuration, in build/, judged where judges are installed
	$(NET) render --validate

twin: $(VENV)/.installed ## the network as real hosts on this machine, live and verified (root)
	scripts/install-debian-packages twin
	$(NET) twin up
	$(NET) twin status
	$(NET) twin run -- $(abspath $(NET)) verify

lint: $(VENV)/.installed ## what is weak in the facts (findings are not a failure of make)
	@$(NET) lint || [ $$? -eq 1 ]

test: $(VENV)/.installed-dev ## all tests, with the real daemons' checkers
	scripts/install-debian-packages test
	$(BIN)/pytest -n 4 --ignore=tests/twin
	$(BIN)/pytest tests/twin -m alone
	$(BIN)/pytest tests/twin -m "not alone and not long" -n 3 --dist loadscope

test-all: test long model ## all tests, and what takes long: long drills, every interleaving, fuzzing

long: $(VENV)/.installed-fuzz ## drills that take minutes, and a minute of fuzzing
	scripts/install-debian-packages test
	$(BIN)/pytest tests/twin -m long
	$(BIN)/python tests/fuzz/fuzz_host.py --seconds 60

model: $(VENV)/.installed-dev ## every interleaving of the host's program
	$(BIN)/python -m tests.model

fuzz: $(VENV)/.installed-fuzz ## ten minutes of hostile requests to the program on a host
	$(BIN)/python tests/fuzz/fuzz_host.py --seconds 600

check: $(VENV)/.installed-dev ## formatting, ruff and mypy --strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 goldentooth/host/[a-z]*.py # hosts have 3.9, which tests run

golden: $(VENV)/.installed-dev ## write the golden files anew (then review the diff)
	$(BIN)/pytest tests/golden --regenerate

schema: $(VENV)/.installed ## the inventory's JSON Schema, for editors
	$(NET) schema

docs: $(VENV)/.installed ## the pages that are made from the code
	$(BIN)/python docs/generate.py

notebook: $(VENV)/.installed-dev ## run notebooks/network.ipynb against a twin, save what it shows (root)
	scripts/install-debian-packages twin
	$(NET) twin up --name notebook
	$(NET) twin run --name notebook -- $(abspath $(BIN)/python) notebooks/execute.py \
		notebooks/network.ipynb; status=$$?; $(NET) twin down --name notebook; exit $$status

lock: $(VENV)/.installed-dev ## resolve the dependencies anew, with hashes
	scripts/lock-requirements $(BIN)

bench/.venv-compare/.installed: bench/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m venv bench/.venv-compare
	bench/.venv-compare/bin/pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

bench: $(VENV)/.installed-dev bench/.venv-compare/.installed ## side-by-side benchmarks
	$(BIN)/python bench/render.py
	scripts/install-debian-packages twin
	$(BIN)/python bench/twin.py

clean: ## remove everything that was made
	rm -rf $(VENV) build .build.lock .pytest_cache .mypy_cache .ruff_cache .hypothesis
