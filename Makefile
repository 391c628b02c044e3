# Portico. `make help` lists the targets; each sets up what it needs by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON := $(VENV)/bin/python
export PYTHONPATH := src
export VENV
JOBS ?= 2
PYTEST := $(PYTHON) -m pytest
PARTS := tests/unit tests/contract tests/integration tests/e2e
MESSAGES := $(PYTHON) -m babel.messages.frontend -q

.PHONY: help setup setup-demo setup-browser setup-bench setup-python demo demo-check check lint lab lab-down lab-guests lab-guests-down lab-e2e test test-openstack test-full bench bench-openstack capabilities \
  messages reference lock clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: ## Install all that the tests need (packages of the system as root or with sudo)
	@tools/setup test

setup-demo:
	@tools/setup demo

setup-browser:
	@tools/setup browser

setup-bench:
	@tools/setup bench

setup-python:
	@tools/setup python

demo: setup-demo ## Run everything on this machine; print the address and the users; Ctrl-C removes it all
	@exec $(PYTHON) -m portico demo --state build/demo $(DEMO)

demo-check: setup-browser ## Drive the demo with a headless browser; pictures and timings land in build/demo-check
	@$(PYTEST) -q -s tests/e2e/test_demo_check.py $(ARGS)

lint: setup-python
	@$(VENV)/bin/ruff format --check src tests
	@$(VENV)/bin/ruff check src tests
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/vermin -q --no-tips --violations --eval-annotations -t=3.6- $$(ls src/portico/agent/*.py src/portico/wire/*.py | grep -v -e tickets.py -e recordings.py -e networks.py)

check: lint ## Lint, types, layers, unit and contract tests: seconds
	@$(PYTEST) -q -n $(JOBS) tests/unit tests/contract -k "not local" $(ARGS)

test: setup lint ## All tests that need no cloud; leaves build/capabilities.json
	@$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder --capabilities build/capabilities.json $(PARTS) $(ARGS)

lab: setup-python ## Bring real OpenStack services up on this machine, on loopback alone (as root); they stay up
	@$(PYTHON) -m tests.lab up

lab-down: ## Stop the OpenStack services; what was made in them is gone, what was installed stays
	@python3 -m tests.lab down

lab-guests: lab ## Add a hypervisor that runs real guests, emulated, to the OpenStack services
	@$(PYTHON) -m tests.lab guest-up

lab-guests-down: ## Delete all real guests and take their hypervisor away
	@python3 -m tests.lab guest-down

test-openstack: setup lab ## Bring the lab up and run the OpenStack suite on it; leaves build/capabilities-openstack.json
	@$(PYTEST) --capabilities build/capabilities-openstack.json tests/openstack $(ARGS)

lab-e2e: setup lab-guests ## Drive a real guest from a browser, log-in to end; pictures and times land in build/lab-e2e
	@$(PYTEST) -q -s --capabilities build/capabilities-guest.json tests/lab_e2e $(ARGS); status=$$?; \
	  $(PYTHON) -m tests.lab guest-down; exit $$status

test-full: setup lint ## The whole matrix: more examples for each property, and everything of make test
	@HYPOTHESIS_PROFILE=full $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder --capabilities build/capabilities.json $(PARTS) $(ARGS)

bench: setup-bench ## Print ratios of this machine, as in docs/reference/performance.md
	@$(PYTHON) -W ignore -m tests.bench

bench-openstack: setup lab ## Print what inventory and provisioning cost beside the bare calls to OpenStack, on the lab
	@$(PYTHON) -W ignore -m tests.bench.openstack

capabilities: ## Print which lines of docs/reference/capabilities.md are proven, after make test and make test-openstack
	@python3 tests/capability_table.py build/capabilities.json build/capabilities-openstack.json build/capabilities-guest.json

messages: setup-python ## Extract texts, update and compile the catalogues
	@$(MESSAGES) extract -F babel.cfg -k _ -k N_ -k NN_:1,2 --no-location --sort-output --project Portico -o src/portico/locale/portico.pot src/portico
	@$(MESSAGES) update -D portico -i src/portico/locale/portico.pot -d src/portico/locale --no-fuzzy-matching --ignore-pot-creation-date
	@$(MESSAGES) compile -D portico -d src/portico/locale

reference: setup-python ## Write the generated pages of docs/reference anew
	@$(PYTHON) tools/reference

lock: ## Choose new versions of all Python and front-end packages (constraints.txt, package-lock.json)
	@tools/lock

clean: ## Remove what was built and installed in this checkout
	@rm -rf build .venv src/*.egg-info src/portico/web/static/vendor .mypy_cache .pytest_cache .ruff_cache .hypothesis
