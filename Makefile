# Two commands do all the set-up: `make demo` and `make test`. They use their own .venv and change nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format lint types contracts tests faults corruption fuzz dist docs bench clean

demo: $(VENV)/runtime
	$(BIN)/pacs-recover demo

test: check

check: format lint types contracts tests

format: $(VENV)/dev
	$(BIN)/ruff format --check .

lint: $(VENV)/dev
	$(BIN)/ruff check .

types: $(VENV)/dev
	$(BIN)/mypy

contracts: $(VENV)/dev
	$(BIN)/lint-imports

tests: $(VENV)/dev
	$(BIN)/pytest -n auto --dist loadgroup $(PYTEST)

corruption: $(VENV)/dev
	$(BIN)/python -m tests.corruption

fuzz: $(VENV)/dev
	$(BIN)/python -m tests.fuzz all --seconds 60

# The whole fault matrix (docs/faults.md): less than twenty minutes on two cores. `make test` runs a sample of it.
faults: $(VENV)/dev
	FAULTS=all $(BIN)/pytest -n auto tests/faults $(PYTEST)

# The wheel, the one file, the man page, a Debian package: docs/install.md.
dist: $(VENV)/dev
	$(BIN)/python -m distribution.build dist

# These pages as a site; a dead link fails it. Open build/docs/index.html.
docs: $(VENV)/dev
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

# Both sides of every comparison in one go: docs/performance.md. BENCH='--only start --quick' for one, sooner.
bench: $(VENV)/dev
	$(BIN)/python -m benchmarks $(BENCH)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev: $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
