# make demo   set up and run the main job: train, attack, measure, report (digits, minutes on two cores)
# make test   set up and run the tests
# make lint   set up and run formatter, linter and type checker
# With a torch of your own: make demo VENV_FLAGS=--system-site-packages CONSTRAINTS=
PYTHON ?= python3
VENV_FLAGS ?=
EXTRAS ?= test,dev
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
# Bytecode is kept even where the environment says otherwise: else every process compiles the sources of torch again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test lint format clean distclean

# The stamp is made anew when the dependencies change, so that an old environment never runs new code.
.venv/ready: pyproject.toml constraints.txt
	@echo "Setting up .venv (about two minutes, 1.5 GB) ..."
	@$(PYTHON) -m venv $(VENV_FLAGS) .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -e ".[$(EXTRAS)]" $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
	@touch $@

demo: .venv/ready
	$(BIN)/surefooted study run demo --report reports/demo

# A file of tests stays in one process, so that what its tests share is trained once; the many small files come last.
test: .venv/ready
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv reports

# Also what was computed: trainings, attacks, all of the store.
distclean: clean
	rm -rf .surefooted
