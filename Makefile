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

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

# Both of torch and torchvision from TORCH_INDEX: a pair from two indexes does not load.
define install
@echo "Installing into $(VENV), most of it PyTorch: 3 GB to download, 7 GB on disk, minutes (README.md: the smaller CPU build)"
$(if $(TORCH_INDEX),$(PIP) install --index-url $(TORCH_INDEX) torch torchvision)
$(PIP) install --editable '.[$(1)]'
endef

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(call install,demo)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(call install,dev)
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
