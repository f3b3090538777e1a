# Every target sets up what it needs: Python 3.11+ and pip are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test gpu check format docs clean

demo: $(INSTALLED)  ## train the default variant on the embedded data, offline
	$(BIN)/python -m sepconv_lab.run model=xception block.mid_act=none train.epochs=2
	$(BIN)/python -m sepconv_lab.runs plot --latest

test: $(INSTALLED)  ## tests and notebooks, two at a time; then those that need the machine for themselves
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not alone" --nbmake tests notebooks
	$(BIN)/python -m pytest -m alone

gpu: $(INSTALLED)  ## tests, times and a packed study on a GPU, in under eight minutes; without one its parts are named as skipped
	$(BIN)/python -m sepconv_lab.bench gpu

check: $(INSTALLED)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)  ## print the tables of README.md and docs/ anew
	$(BIN)/python -m tests.test_readme

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
