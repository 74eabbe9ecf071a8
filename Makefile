# make demo        set up, then classify the photos in photos/ on the engine
# make test        set up, then run all tests
# make test-fast   set up, then run the tests that take a minute together
# make lint        ruff, mypy and clang-format
# make coverage    set up, then run all tests and say which lines of C and Python none of them runs
# make wheel       a wheel in dist/, the same bytes for the same commit, compiler and tools, on any path
# make fuzz SECONDS=600    set up, then look for inputs that break something (fuzz/README.md)
PYTHON ?= python3
SECONDS ?= 600
BIN := .venv/bin
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder
C_FILES := $(shell find engine python training tests/engine fuzz -name '*.[ch]')
ENGINE := $(shell find engine python training CMakeLists.txt pyproject.toml -type f)

.PHONY: demo test test-fast lint fuzz coverage wheel clean

demo: .venv/base
	$(BIN)/shufflenet info shufflenet_g3_x0_5
	$(BIN)/shufflenet predict photos --sheet demo.png --unknown 0.7

test: .venv/dev
	$(PYTEST) -m "not timing"
	$(BIN)/pytest -m timing

test-fast: .venv/dev
	$(PYTEST) -m "not timing and not slow"

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

fuzz: .venv/dev
	$(BIN)/python -c "import atheris" 2> /dev/null || $(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	$(BIN)/python fuzz/run.py --seconds $(SECONDS)

coverage: .venv/dev
	$(BIN)/python -c "import coverage, gcovr" 2> /dev/null || $(BIN)/python -m pip install --quiet --editable '.[coverage]'
	$(BIN)/python tests/coverage_report.py

wheel: .venv/bin/python
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# The stamps stand for the package installed without and with PyTorch and the tools; the engine is built along.
.venv/base: $(ENGINE) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev: $(ENGINE) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]' --config-settings=cmake.define.SHUFFLENET_WERROR=ON
	touch $@ .venv/base

.venv/bin/python:
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv build demo.png
