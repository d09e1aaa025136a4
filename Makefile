# make demo: install into .venv and run the first comparison. make test: the test suite.
# make test-numeric: the numeric tests again as on other processors. make check: what has to be green
# before a change lands. make conformance: what each metric gives for codes whose scores are known.
# make benchmark: how fast the suite is. make docs: the documentation as a site, in build/site.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml setup.py constraints.txt
# what torch computes; numpy and scipy read none of the variables below
NUMERIC := tests/models tests/bench/test_train.py tests/bench/test_encode.py tests/bench/test_external.py
# of these what convolves, without oneDNN several times as long: layers, losses, training, encoding
CONVOLVED := $(addprefix tests/,models/test_fast_layers.py models/test_models.py \
  models/test_objectives.py bench/test_train.py bench/test_encode.py)

.PHONY: demo test test-numeric test-avx2 test-plain check lint types conformance benchmark docs clean

demo: $(VENV)/.installed
	$(BIN)/bench run --models jointvae,betavae --dataset dsprites

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup

test-numeric: test-avx2 test-plain

# with the kernels of a processor without AVX-512
test-avx2: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest -n auto $(NUMERIC)

# without oneDNN and vector instructions
test-plain: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 BENCH_TEST_ONEDNN=0 ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest -n auto $(CONVOLVED)

check: lint types test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(wildcard .github),$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml)
	$(if $(wildcard .github),$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml)

types: $(VENV)/.installed-dev
	$(BIN)/mypy

conformance: $(VENV)/.installed-dev
	$(BIN)/python -m tests.metrics.conformance

benchmark: $(VENV)/.installed
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/commands.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/data.py --seconds 1
	$(BIN)/python benchmarks/engine.py 2016

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/site/build.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(INPUTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(INPUTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: $(INPUTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@ $(VENV)/.installed
