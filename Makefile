# `make demo` does the main job on real images, `make test` runs the tests; each does its own set-up.
PYTHON ?= python3
VENV ?= .venv
SERVE ?= 1
JOBS ?= 2
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=2

.PHONY: help venv demo test lint format browser clean

help:
	@echo "make demo   train a small encoder on OpenMoji, export, measure, report, explore (SERVE=0 stops before serving)"
	@echo "make test   all tests, with a real browser   (make lint: ruff and mypy)"
	@echo "TORCH_INDEX=ADDRESS   at the first call: take torch and torchvision from this package index, such as PyTorch's for CPUs"

venv: $(VENV)/.dev

# torch and torchvision come from one index: a pair from two of them does not load.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(PIP) install --index-url $(TORCH_INDEX) torch torchvision)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	@$(call announce,the demo needs)
	$(PIP) install -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@$(call announce,the tests need)
	$(PIP) install -e '.[dev]'
	@touch $@ $(VENV)/.demo

announce = echo "Installing into $(VENV) what $(1), PyTorch first of all: SIZES"

demo: $(VENV)/.demo
	$(BIN)/codelab demo --out runs/demo $(if $(filter 0,$(SERVE)),--no-serve)

browser:
	@sh tests/install_chromium.sh $(BIN)/python

# Each worker computes on one thread: two workers on two cores, none in the other's way.
test: $(VENV)/.dev browser
	$(THREADS) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
