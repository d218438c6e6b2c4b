# Two commands: `make study` measures and reports, `make test` proves. Each sets up .venv itself.
# ARGS goes to pytest: make study ARGS="--preset full", make test ARGS="-k matmul"
# RESULTS is where runs are: make study RESULTS=DIR

PYTHON ?= python3
RESULTS ?= results
PY := .venv/bin/python
READY := .venv/.ready

.PHONY: study test report reference lint clean
.DEFAULT_GOAL := help

help:
	@echo "make study    measure in the quick preset, write results/<machine>/<run>/report.html"
	@echo "make test     run the tests; needs no GPU"
	@echo "make report   write the newest run's report again"
	@echo "make reference  measure for 25 to 45 minutes what is committed, and README's figure"
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

# The committed run, README's figure and its table: on a quiet machine, from a clean commit, and
# touch nothing meanwhile. 45 minutes on two cores, 25 with a GPU, the most telling first. A part
# that failed in part (1) does not end it, as its rows say so; go on after an interrupt by hand.
MEASURE = $(PY) -m pytest --benchmark-only
GO_ON = || [ $$? -eq 1 ]
reference: $(READY)
	@set -ex; if nvidia-smi -L; then \
	  $(MEASURE) --devices=cuda -k "test_kernels and cold" --budget=240 $(GO_ON); \
	  $(MEASURE) --devices=cpu,cuda -k "workloads or transfers" --budget=420 --resume=last $(GO_ON); \
	  $(MEASURE) --devices=cuda -k "convergence or probes" --budget=300 --resume=last $(GO_ON); \
	  $(MEASURE) --devices=cuda -k test_kernels --budget=300 --resume=last $(GO_ON); \
	else \
	  $(MEASURE) --devices=cpu --preset=full -k "convergence or probes" $(GO_ON); \
	  $(MEASURE) --devices=cpu --preset=full -k "cold and test_kernels" \
	    --budget=240 --resume=last $(GO_ON); \
	  $(MEASURE) --devices=cpu --preset=full --budget=900 --resume=last -k "host and (test_kernels \
	    or batch32- or ((batch1- or batch1024-) and eager))" $(GO_ON); \
	fi; \
	run=$$($(PY) -m harness.thin last results/reference); \
	$(PY) -m harness.report.front "$$run" results/reference/front.svg README.md; \
	$(PY) -m harness report "$$run"

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
