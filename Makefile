# Two commands matter: `make run` and `make test`. Each sets itself up through ops/install, on a machine with
# nothing but Python >= 3.11 (with venv) and make, and does no set-up work the second time.

VENV := .venv/bin
SITE ?= policies/site.yaml

# Tests start our processes by the thousand; each would compile all of the house anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test lint types demo docs bench install install-dev

help: ## say what the targets do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

# What `apply` could not do, it has said: an order has a problem, a plan is too large to go unasked, the disk is full.
# The last good policy stays in force, and the resolver must not wait for the correction.
run: install ## apply the orders of policies/, then run resolver, prober and metrics until Ctrl-C
	$(VENV)/blocker --site $(SITE) apply --yes || true
	$(VENV)/blocker --site $(SITE) run

test: lint types ## lint, types, all tests, coverage of the pure rooms; needs neither root nor a server
	$(VENV)/coverage run -m pytest
	$(VENV)/coverage report

lint: install-dev ## ruff: rules and format
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

types: install-dev ## mypy, strict
	$(VENV)/mypy

demo: install ## an order's whole life in half a minute; needs no network
	$(VENV)/blocker demo

docs: install-dev ## write the reference pages of ops/docs and the schema of orders from the code
	$(VENV)/python -m tests.reference
	$(VENV)/blocker schema >policies/order.schema.json

bench: install-dev ## the benchmarks, each beside its peer
	$(VENV)/python -m tests.bench

install: ## set up .venv to run
	@ops/install

install-dev: ## set up .venv to run and test
	@ops/install --dev
