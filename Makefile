# Two commands: `make study` measures and reports, `make test` proves. Each sets up .venv itself.
# ARGS goes to pytest: make study ARGS="--preset full", make test ARGS="-k matmul"
# RESULTS is where runs are: make study RESULTS=DIR

PYTHON ?= python3
RESULTS ?= results
PY := .venv/bin/python
READY := .venv/.ready

.PHONY: study test report lint clean
.DEFAULT_GOAL := help

help:
	@echo "make study    measure in the quick preset, write results/<machine>/<run>/report.html"
	@echo "make test     run the tests; needs no GPU"
	@echo "make report   write the newest run's report again"
	@echo "make lint     ruff and mypy"
	@echo "make clean    remove .venv and caches; results stay"

# A run that failed in part (status 1) or was interrupted (2) has rows, and they are reported.
study: $(READY)
	@$(PY) -m pytest --benchmark-only --results="$(RESULTS)" $(ARGS); status=$$?; \
	if [ $$status -le 2 ]; then \
	  $(PY) -m harness report --results="$(RESULTS)" || exit $$?; \
	fi; exit $$status

# pytest -m slow takes minutes more, and .ci/run has it; pytest -m exhaustive takes many.
test: $(READY)
	$(PY) -m pytest -n 2 -m "not slow and not exhaustive" $(ARGS)

report: $(READY)
	@$(PY) -m harness report --results="$(RESULTS)"

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info build

# The exact versions of constraints.txt; made again when they or the dependencies change.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flopwise needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "no virtual environment: install your system's python3-venv package"; exit 1; }
	$(PY) -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)
