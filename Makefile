# Everything goes through these targets; `make` alone lists them.
# PYTHON=python3.12 chooses the interpreter, VENV=path the environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MAPPED := quant cost_models latency reports

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all bench lint dev clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed ## train, explore, predict, export and report on real digits: 2 to 4 minutes after installation
	$(BIN)/hwsim demo

test: $(VENV)/.installed ## the tests that need nothing from outside: 5 to 10 minutes
	$(BIN)/python -m pytest

test-all: $(VENV)/.installed ## every test; set HWSIM_SHARED=FOLDER for those that need outside data
	$(BIN)/python -m pytest -m ""

bench: $(VENV)/.installed ## the benchmarks
	$(BIN)/python -m pytest -m bench

# mypy is to see the four mapped folders inside hwsim alone: it reads a tree of links shaped like the installed package.
lint: $(VENV)/.installed-dev ## ruff, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf .lint && mkdir -p .lint/hwsim
	@for path in hwsim/[a-z_]* $(MAPPED); do ln -s "../../$$path" .lint/hwsim/; done
	MYPYPATH=.lint $(BIN)/mypy -p hwsim

dev: $(VENV)/.installed-dev ## the environment with ruff, mypy and build

clean: ## remove caches and build products; the environment stays
	rm -rf .lint .mypy_cache .ruff_cache .pytest_cache .benchmarks .hypothesis build dist
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The environment. Each step leaves a stamp, so a second call does nothing; a new pin or dependency installs again.
$(VENV)/.created:
	@lacks=""; \
	if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		lacks=", python3 >= 3.11 (PYTHON=... chooses another)"; \
	elif ! "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null; then \
		lacks=", the venv module (python3-venv)"; \
	fi; \
	command -v g++ >/dev/null || lacks="$$lacks, g++"; \
	if [ -n "$$lacks" ]; then echo "This machine lacks: $${lacks#, }" >&2; exit 1; fi
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
