# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
FIT := import sys; v = sys.version_info; sys.exit(v < (3, 11) or v.releaselevel != "final")
PYTHON ?= $(shell for one in python3 python3.13 python3.12 python3.11; do \
    $$one -c '$(FIT)' 2>/dev/null && echo $$one && break; done)
VENV := .venv
BIN := $(VENV)/bin
# A module is compiled when it is imported: most of what is installed never is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile

.DEFAULT_GOAL := help
.PHONY: help demo test coverage chaos soak bench test-slow test-browser lint style lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

demo: $(VENV)/.installed  ## run the whole service on real texts, without a key
	@$(BIN)/python run.py demo

# On a fresh clone mypy keeps one core busy for half a minute: it runs beside the tests, and has the last word.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.installed-dev style  ## lint, types, imports and tests
	@said=$$(mktemp); trap 'rm -f "$$said"' EXIT; \
	$(BIN)/mypy >"$$said" 2>&1 & mypy=$$!; \
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal; tests=$$?; \
	wait $$mypy; types=$$?; cat "$$said"; exit $$((tests || types))

coverage: $(VENV)/.installed-dev  ## the same tests, and which lines and branches they reach
	@rm -f .coverage .coverage.*
	COVERAGE_FILE=$(CURDIR)/.coverage $(BIN)/coverage run -m pytest --numprocesses 3 --dist worksteal
	@$(BIN)/coverage combine --quiet && rm -f .coverage.*
	@$(BIN)/coverage report --fail-under=90

chaos: $(VENV)/.installed-dev  ## everything dies at random, thrice: nothing lost, nothing paid twice
	for seed in 1 2 3; do $(BIN)/python -m tests.chaos --tasks 5000 --seed $$seed || exit 1; done

soak: $(VENV)/.installed-dev  ## 15 minutes under faults: memory, files and CPU stay flat
	$(BIN)/python -m tests.chaos.soak

bench: $(VENV)/.installed-dev  ## this service beside a thread pool and a floor, medians of three
	$(BIN)/python -m benchmarks throughput overhead

test-slow: $(VENV)/.installed-dev  ## what `make test` leaves out: most of what real servers answer
	$(BIN)/python -m pytest -m slow --numprocesses 3 --dist worksteal

test-browser: $(VENV)/.installed-dev  ## the status page in a real browser (needs chromium)
	$(BIN)/python -m pytest tests/browser/status_page.py

lint: style  ## style, types and the direction of imports
	$(BIN)/mypy

style: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

lock:  ## compile the requirements files anew (needs uv)
	for name in requirements requirements-local requirements-ray requirements-dev; do \
	    UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal --python-version 3.11 \
	        --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate $(LOCK) \
	        $$name.in --output-file $$name.txt || exit 1; \
	done

clean:  ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*

$(VENV)/.installed: requirements.txt requirements-local.txt
	@$(or $(PYTHON),false) -c '$(FIT)' || \
	    { echo "Python 3.11 or later is needed, and no pre-release: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt -r requirements-local.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	@touch $@

include deploy/targets.mk
