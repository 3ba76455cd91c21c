# make serve     everything from nothing to a running server
# make test      everything, also against the embedded model
# ARGS="…" is passed on: make serve ARGS="--port 9000", make test ARGS="-k weights"

BIN := .venv/bin
READY := .venv/.antiphon-ready
# Else each of the many servers that tests start would compile the whole package.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup serve pull lint check test tests chaos attack live bench soak docs package
.DEFAULT_GOAL := help

help:
	@echo 'make setup              makes .venv with the package and its test tools'
	@echo 'make serve ARGS="…"     runs the server (fetches the embedded model first, if it is missing)'
	@echo 'make pull ARGS="…"      fetches a model that runs here (ARGS=hf:OWNER/REPO:Q4_K_M)'
	@echo 'make check              style, types, import rules, and the tests that need no model, no browser and no foreign client, and kill nothing'
	@echo 'make test ARGS="…"      everything'
	@echo 'make docs               renews what the documents take from the code, and builds their site'
	@echo 'make package            wheel and sdist in dist/, the same bytes whoever makes them'
	@echo 'make chaos ARGS="…"     a server that is killed again and again (ARGS="--seconds 120 --seed 7 --workers 3")'
	@echo 'make attack ARGS="…"    everything that a hostile client may try (ARGS="--most 100000 --sections bodies frames")'
	@echo 'make live ARGS="…"      real model servers, with Antiphon in front of them (ARGS="--servers llama.cpp LiteLLM")'
	@echo 'make soak ARGS="…"      mixed traffic for half an hour, and whether anything grows (ARGS="--minutes 5")'
	@echo 'make bench ARGS="…"     what a response costs, beside a proxy that does nothing (ARGS=--quick)'

setup: $(READY)

$(READY): pyproject.toml scripts/setup
	@scripts/setup
	@touch $@

# What code from models needs is installed and made beside the server, which answers meanwhile.
serve: export ANTIPHON_SANDBOX_SETUP ?= start
serve: $(READY)
	@scripts/sandbox & exec $(BIN)/antiphon serve $(ARGS)

pull: $(READY)
	@$(BIN)/antiphon pull $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# A file's tests stay together: those that need the model share one engine. Many of them wait
# more than they compute, so more run at a time than there are cores. The order is that of tests/order.py.
PYTEST := $(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder

check: lint
	@$(PYTEST) -m "not embedded and not clients and not chaos and not browser and not attack" --ignore tests/clients $(ARGS)

# Types are checked beside the tests, which leave a core idle while they begin.
test: $(READY)
	@scripts/programs
	@scripts/sandbox
	@$(MAKE) --no-print-directory -j 2 lint tests

tests:
	@$(PYTEST) $(ARGS)

chaos: $(READY)
	@$(BIN)/python -m tests.chaos $(ARGS)

attack: $(READY)
	@$(BIN)/python -m tests.attack $(ARGS)

live: $(READY)
	@$(BIN)/python -m tests.live $(ARGS)

docs: $(READY)
	@$(BIN)/python -m scripts.docs
	@$(BIN)/python -m tests.ledger --write
	@$(BIN)/python -m scripts.site

bench: $(READY)
	@$(BIN)/python -m bench $(ARGS)

package: $(READY)
	@scripts/package $(ARGS)

soak: $(READY)
	@$(BIN)/python -m bench.soak $(ARGS)
