# Everything that is done with this project, by one name each.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
UV := uv==0.13.8
bin := .venv/bin
protos := $(wildcard protos/*/v1/*.proto)
benches := $(wildcard tests/bench/bench_*.py)
plugins := python mypy grpc_python mypy_grpc

# Colours and moving bars are for people.
ifdef CI
export NO_COLOR := 1
endif

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s%s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: .venv/setup-stamp ## make .venv with everything pinned; instant when done
	@:

.venv/setup-stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'staleplan needs Python 3.11 or newer, and $(PYTHON) is not;' \
	        'name one that is: make PYTHON=python3.12 ...' >&2; exit 1; }
	@echo 'setup: .venv, with $(PYTHON)'
	@$(PYTHON) -m venv .venv
	@echo 'setup: the packages of requirements.lock'
	@$(install) --require-hashes -r <(sed -n '/^pip==/,/# via/p' requirements.lock)
	@$(install) --require-hashes -r requirements.lock
	@echo 'setup: staleplan itself'
	@$(install) --no-build-isolation --no-index -e .
	@touch $@

# Byte code is written when something is first imported; most of it never is.
install := $(bin)/python -m pip install --quiet --no-deps --no-compile --no-input \
    --disable-pip-version-check --progress-bar off --root-user-action ignore

.PHONY: demo
demo: setup ## replay the event, as it failed and hardened, side by side
	@$(bin)/staleplan replay

.PHONY: test
test: lint ## lint, then every test; the cores' branches must all be covered
	@$(bin)/pytest --cov --cov-report=term

.PHONY: lint
lint: setup protos-check ## style, types, imports, protocols
	@echo 'lint: ruff'
	@$(bin)/ruff check --quiet
	@$(bin)/ruff format --quiet --check
	@echo 'lint: mypy'
	@$(bin)/mypy --no-error-summary
	@echo 'lint: imports'
	@out=$$($(bin)/lint-imports --no-logo 2>&1) || { echo "$$out" >&2; exit 1; }
	@echo 'lint: buf'
	@$(bin)/buf lint

.PHONY: format
format: setup ## let ruff lay out the code
	@$(bin)/ruff check --quiet --fix
	@$(bin)/ruff format

# $(call generate,FOLDER): the Python of every protocol, below FOLDER/protos.
generate = PATH="$(CURDIR)/$(bin):$$PATH" $(bin)/python -m grpc_tools.protoc -I. \
    $(foreach plugin,$(plugins),--$(plugin)_out=$(if $(findstring mypy,$(plugin)),quiet:)$(1)) \
    $(protos)

.PHONY: protos
protos: setup ## generate the Python of the protocols anew
	@$(call generate,.)

.PHONY: protos-check
protos-check: setup
	@echo 'lint: protos'
	@scratch=$$(mktemp -d); trap 'rm -r "$$scratch"' EXIT; \
	$(call generate,$$scratch); \
	diff -rq --exclude='*.proto' --exclude=__pycache__ "$$scratch/protos" protos >&2 || \
	    { echo 'the generated code is not that of the protocols: make protos' >&2; exit 1; }

.PHONY: bench
bench: setup ## measure beside the references; tables here, JSON in bench-results/
	@mkdir -p bench-results; missed=0; \
	for bench in $(benches); do \
	    echo "== $$bench"; \
	    $(bin)/python "$$bench" --json "bench-results/$$(basename "$$bench" .py).json" || missed=1; \
	done; exit $$missed

.PHONY: storm-tables
storm-tables: setup ## measure the tables and pictures of docs/lease-storm.md anew
	@$(bin)/staleplan drill run lease-storm --sweep fleet,workers,timeout,load --fleet 100

.PHONY: drill-full
drill-full: setup ## the drills at their full sizes: two hours
	@$(bin)/staleplan drill run dns-race --mode fixed --count 200
	@$(bin)/staleplan drill run dns-race --mode fixed --count 200 --natural
	@$(bin)/staleplan drill run lease-storm --fleet 10000
	@$(bin)/staleplan drill run lease-storm --fleet 10000 --safeguard hold_leases_when_store_is_down=off --mode fixed
	@$(bin)/staleplan drill run lease-storm --fleet 100000 --mode fixed
	@$(bin)/staleplan drill run lease-storm --fleet 16 --count 20 --mode fixed

.PHONY: check-full
check-full: setup ## the model checker at its full sizes: half an hour, 8 GB
	@$(bin)/staleplan check --mode buggy --plans 5
	@$(bin)/staleplan check --mode fixed --enactors 3 --plans 5 --crashes 1
	@$(bin)/staleplan check --mode fixed --enactors 3 --plans 3 --crashes 1 --lost-replies 1 --pauses 1
	@$(bin)/staleplan check --mode fixed --enactors 3 --zones 2 --plans 4 --workers 2
	@$(bin)/staleplan check --mode fixed --enactors 3 --zones 2 --plans 4 --crashes 1 --workers 2 --no-converging --memory-gb 8

.PHONY: lock
lock: setup ## pin what pyproject.toml asks for, with hashes
	@$(install) $(UV)
	@$(bin)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --extra dev --no-emit-package staleplan -o requirements.lock pyproject.toml

.PHONY: clean
clean: ## remove everything that these commands made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
	    .coverage bench-results
	@find . -name __pycache__ -prune -exec rm -r {} +
