# `make demo` does the main job on real images, `make test` runs the tests; each does its own set-up.
PYTHON ?= python3
VENV ?= .venv
SERVE ?= 1
JOBS ?= 2
BIN := $(VENV)/bin
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=2

.PHONY: help venv demo test lint format browser clean

help:
	@echo "make demo   train a small encoder on OpenMoji, export, measure, report, explore (SERVE=0 stops before serving)"
	@echo "make test   all tests, with a real browser   (make lint: ruff and mypy)"

venv: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@ $(VENV)/.demo

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
