# Every target does the set-up it needs; a second run finds it done.
SHELL := bash
.SHELLFLAGS := -o pipefail -ec
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# A process a core; a file of tests stays in one, for its fixtures.
PARALLEL := --numprocesses auto --dist loadfile
# Or the many processes that tests and benchmarks start would each compile the package again.
unexport PYTHONDONTWRITEBYTECODE
# The files that hold tests of a mark: importing all others takes longer than these tests do.
marked = $(shell grep -rl --include='test_*.py' 'pytest.mark.$(1)' tests)

# Of what pip prints: the large packages as they come, and when it unpacks them.
define TELL
while read -r line; do case "$$line" in \
  *' ('[0-9][0-9]*' MB)') size="$${line##*(}"; name="$${line% (*}"; name="$${name##*[ /]}"; \
    echo "  $${name%%-[0-9]*}, $${size%)}";; \
  Installing\ collected*) echo '  unpacking them, a minute or two';; \
  Successfully\ installed*) echo '  done';; \
esac; done
endef

.PHONY: setup demo test test-slow cluster-test mutants lint format bench docs clean pins

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo 'Setting up $(VENV), once: Python packages, about 1.3 GB to download and 4 GB on the disk. It takes some minutes.'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --constraint constraints.txt \
	  --editable '.[dev,demo,openvino,text]' | $(TELL)
	@touch $@

# On the photographs that come with scikit-image and scikit-learn; make demo IMAGES=folder takes your own.
demo: $(READY)
	$(BIN)/lookalike demo $(if $(IMAGES),--images '$(IMAGES)')

test: lint
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(PARALLEL)
	$(BIN)/python -m pytest -m alone $(call marked,alone)

# Nights on a Dask cluster of processes on loopback, workers of which are killed.
cluster-test: $(READY)
	$(BIN)/python -m pytest -m cluster $(call marked,cluster)

# Small changes to the code, one at a time: does a test notice? make mutants EVERY=10 tries every tenth.
mutants: $(READY)
	$(BIN)/python -m tests.mutants --every $(or $(EVERY),1)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(VENV)/types && mkdir -p $(VENV)/types/lookalike
	ln -s $(CURDIR)/pipelines/* $(CURDIR)/model $(VENV)/types/lookalike/
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Needs ../shared/data; each script has a --help.
bench: $(READY)
	$(BIN)/python benchmarks/embed.py
	$(BIN)/python benchmarks/peers_embed.py
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/quality_speed.py --network efficientnet_lite0 --size 128 224
	$(BIN)/python benchmarks/instructions.py
	$(BIN)/python benchmarks/query.py
	$(BIN)/python benchmarks/filters.py
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/duplicates.py
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/explain.py
	$(BIN)/python benchmarks/words.py
	$(BIN)/python benchmarks/python_api.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/recall.py
	$(BIN)/python benchmarks/peers_search.py
	$(BIN)/python benchmarks/peers_index.py --growth 25000 50000 100000 200000
	$(BIN)/python benchmarks/nightly.py
	$(BIN)/python benchmarks/cluster.py
	$(BIN)/python benchmarks/domains.py

# The pages of docs/ as a site, in build/site; those of the reference that follow from the code are written anew.
docs: $(READY)
	$(BIN)/python docs/reference/make.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo 'build/site/index.html'

# After a change of dependencies in pyproject.toml: install without pins, then write down what came.
pins: $(READY)
	{ echo '# Exact versions of everything, tried together on Python 3.11. Made by: make pins'; \
	  $(BIN)/python -m pip freeze --exclude-editable; } > constraints.txt

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
