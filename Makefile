# Two commands for newcomers: `make demo` and `make test`; each sets up .venv first.
# Only python3 with pip and make are needed. PY=3.11 takes the current stack.
PY ?= 3.10
VENV ?= .venv
BIN := $(VENV)/bin
# What is imported once is compiled once, whatever the environment says: without
# bytecode each process that starts TensorFlow takes twice as long to be ready.
export PYTHONDONTWRITEBYTECODE :=
LOCK := requirements/py$(subst .,,$(PY)).txt
STAMP := $(VENV)/.installed-py$(PY)
DEMO ?= demo

SPEED := $(filter-out benchmarks/study_% benchmarks/live% benchmarks/simulated.py benchmarks/measured.py, $(wildcard benchmarks/*.py))

.PHONY: demo test seeds mutants lint bench studies lock clean install

demo: $(STAMP)
	$(BIN)/trailrank demo --root $(DEMO)

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

# What hangs on a draw, with ten seeds each; and deliberate faults, which tests must
# notice. For whoever changes tests; neither is part of the CI.
seeds: $(STAMP)
	$(BIN)/python -m pytest -m stochastic --seeds 10 -n 2 --dist loadgroup

mutants: $(STAMP)
	$(BIN)/python tests/mutants/run.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The two halves of `test`, which CI runs side by side.
.PHONY: test-quick test-slow
test-quick: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder -m slow

# The API reference, from the docstrings: build/docs/index.html.
.PHONY: docs
docs: $(STAMP)
	$(BIN)/python docs/build_reference.py build/docs

# What setuptools left of an earlier build would end up in the wheel: away with it first.
.PHONY: wheel try-wheel
wheel: $(STAMP)
	rm -rf build/lib build/bdist.* dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

# Takes some minutes: the demo, from the wheel, in an environment of its own.
try-wheel: wheel
	PATH="$(abspath $(BIN)):$$PATH" bash tests/wheel/try_wheel.sh dist/*.whl $(LOCK) $(BIN)/python

bench: $(STAMP)
	@for script in $(SPEED); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

studies: $(STAMP)
	@for script in benchmarks/study_*.py benchmarks/live_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

install: $(STAMP)

$(STAMP): $(LOCK) setup.py
	@echo "Setting up $(VENV) with Python $(PY) (about 2 GB; a minute or two the first time) ..."
	@python3 -m venv $(VENV)-uv
	@$(VENV)-uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)-uv/bin/uv venv --quiet --allow-existing --python $(PY) $(VENV)
	$(VENV)-uv/bin/uv pip sync --python $(BIN)/python $(LOCK)
	$(VENV)-uv/bin/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-* && touch $(STAMP)

# Run it after a change of setup.py or requirements/preflight.in; the locks hold no index
# address. requirements/preflight.txt is a link to the lock inside the package.
lock:
	@python3 -m venv $(VENV)-uv
	@$(VENV)-uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)-uv/bin/uv pip compile --quiet setup.py --all-extras --python-version 3.10 --python-platform x86_64-manylinux_2_35 --generate-hashes --no-emit-index-url --no-header --output-file requirements/py310.txt
	$(VENV)-uv/bin/uv pip compile --quiet setup.py --all-extras --python-version 3.11 --python-platform x86_64-manylinux_2_39 --generate-hashes --no-emit-index-url --no-header --output-file requirements/py311.txt
	$(VENV)-uv/bin/uv pip compile --quiet requirements/preflight.in --python-version 3.12 --python-platform x86_64-manylinux_2_31 --generate-hashes --no-emit-index-url --no-header --output-file trainer/preflight/requirements.txt

clean:
	rm -rf $(VENV) $(VENV)-uv $(DEMO) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache
