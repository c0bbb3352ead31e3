# make study   the main job: the study `digits` on embedded data, and its report
# make test    every check: style, types, import direction, tests
# make bench   speed, as ratios in one run (not part of `make test`)

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: study test check bench clean

study: $(INSTALLED)
	$(BIN)/robustlr study run digits

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	@for script in tests/benchmarks/bench_*.py; do \
		echo "== $$script"; PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python $$script || exit 1; \
	done

# pyproject.toml gives the ranges, constraints.txt the exact versions that the checks ran with
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,hf,optimizers,postgresql,remote]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
