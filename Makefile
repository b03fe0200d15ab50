# make setup   .venv with clinstack in it (.venv/bin/clinstack)
# make test    style, types and tests, as CI runs them
# make demo    the whole road on built-in data, about five minutes on two cores
# make conformance  every PEFT method on every model family: the matrix, two minutes
# make bench-step1  step 1 beside peft and transformers' Trainer, 20 minutes; figures in bench-step1/
# make bench-step2  kept states, a grid and 1,266 labels, beside what one would write; 50 minutes, figures in bench-step2/
# make bench-limited  the limited-data study's grid on three small encoders, 70 minutes on two cores; figures in bench-limited/
# make bench-serve  mixed batches, late branches and switching beside peft, and a server under load; 20 minutes, figures in bench-serve/
# make bench-data   times and memory of the data commands, of data mimic3 beside plain pandas; 25 minutes, figures in bench-data/

PYTHON ?= python3
BIN := .venv/bin
OUT ?= demo-run

.PHONY: setup test conformance slow demo bench-data bench-limited bench-serve bench-step1 bench-step2 format clean

setup: .venv/.installed

# torch first and alone: a later resolver would otherwise fetch a build with gigabytes of accelerator libraries.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# One thread a test worker: two workers of two threads each would fight over two cores.
test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

conformance: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/conformance

slow: setup
	$(BIN)/pytest -m slow

demo: setup
	$(BIN)/clinstack demo --out $(OUT)

bench-data: setup
	$(BIN)/python benchmarks/data.py --work bench-data
	$(BIN)/python benchmarks/sections.py bench-data/60000/mimic3/NOTEEVENTS.csv
	$(BIN)/python benchmarks/large_tables.py --work bench-data/large
	$(BIN)/clinstack data synthetic bench-data/planted --patients 2000 --identifiers 0.3 --seed 7
	$(BIN)/python benchmarks/identifiers.py bench-data/planted

bench-step1: setup
	$(BIN)/python benchmarks/step1.py --work bench-step1

bench-step2: setup
	$(BIN)/python benchmarks/step2.py --work bench-step2

bench-limited: setup
	$(BIN)/python benchmarks/limited.py --work bench-limited

bench-serve: setup
	$(BIN)/python benchmarks/serve.py --work bench-serve

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist demo-run bench-data bench-limited bench-serve bench-step1 bench-step2
