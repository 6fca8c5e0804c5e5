# The two commands: `make convert` runs the main job, `make test` passes the tests. Both install what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The storage server of Azure that tests run against; it comes from npm.
AZURITE := 3.37.0

# What `make convert` converts; with no SOURCE two small plates that the repository carries.
SOURCE ?= tests/demo/plates
OUT ?= $(if $(filter tests/demo/plates,$(SOURCE)),demo_output/plates.parquet,$(notdir $(patsubst %/,%,$(SOURCE))).parquet)
PRESET ?=
RUNNER ?= concurrent
WORKERS ?=
ARGS ?=

# A report on what comes out, beside it; only of Parquet.
REPORT ?= $(if $(filter %.h5ad %.zarr %.arrow,$(OUT)),,$(patsubst %.pq,%,$(patsubst %.parquet,%,$(patsubst %/,%,$(OUT)))).html)

FLOW_OPTIONS := $(if $(PRESET),--preset "$(PRESET)") $(if $(WORKERS),--workers $(WORKERS)) --runner $(RUNNER)
FLOW_OPTIONS += $(if $(REPORT),--report "$(REPORT)")
# The demo may be made again and again; a user's own output is only replaced when ARGS says --overwrite.
FLOW_OPTIONS += $(if $(filter tests/demo/plates,$(SOURCE)),--overwrite)

# Hundreds of processes would each compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup convert test-quick test test-endurance test-ranges lint format readme docs release-check bench fuzz torture images test-containers lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make convert SOURCE=plate/ OUT=plate.parquet [PRESET=...] [RUNNER=dask] [WORKERS=8] [ARGS='--unmatched keep']"

setup: $(VENV)/.installed  ## make the virtual environment and install the six tools in it

convert: $(VENV)/.installed  ## convert SOURCE to OUT, with a report beside it; with no SOURCE, two small demo plates
	@mkdir -p "$$(dirname "$(OUT)")"
	@$(BIN)/pct-flow "$(SOURCE)" -o "$(OUT)" $(FLOW_OPTIONS) $(ARGS)
	@echo
	@echo "made $(OUT)$(if $(REPORT), and a report on it: $(REPORT)); to look at the cells:"
	@echo "  $(BIN)/python -c \"import duckdb; print(duckdb.sql('SELECT * FROM \\\"$(OUT)\\\" LIMIT 5'))\""

test-quick: $(VENV)/.installed-test  ## one test of each tool, format and promise, in under 2 minutes
	$(BIN)/python -m pytest -q -m quick -n logical --dist worksteal $(ARGS)

# The page of a report is looked at in Chromium (apt-get install chromium); without it those tests are skipped, and say so.
test: test-announced $(VENV)/.installed-test $(VENV)/.installed-azurite-$(AZURITE)  ## install what the tests need and run all but the longest, in about 10 minutes
	$(BIN)/python -m pytest -n logical --dist worksteal --durations 25 --durations-min 5 $(ARGS)

.PHONY: test-announced
test-announced:
	@echo "about 10 minutes on 2 processors ('make test-quick' takes 2); make test-endurance has the tests that take longest"
	@[ -e $(VENV)/.installed-test ] || echo "first pip fetches what the tests need, about 1.5 GB installed"
	@[ -e $(VENV)/.installed-azurite-$(AZURITE) ] || echo "and npm Azurite, a storage server"

test-endurance: $(VENV)/.installed-test $(VENV)/.installed-azurite-$(AZURITE)  ## the tests that take longest: servers and workers that are killed, full disks, clocks that jump
	$(BIN)/python -m pytest -m endurance --timeout 2400 -n logical --dist worksteal $(ARGS)

test-ranges:  ## the exactness tests with the lowest and the newest libraries, and one environment shared with pycytominer
	PYTHON=$(PYTHON) .ci/ranges.sh --tests

lint: $(VENV)/.installed-lint .mypy_path  ## ruff, mypy strict, and imports that point downwards
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p pycytominer_transform
	$(BIN)/mypy tests
	$(BIN)/mypy examples
	PYTHONPATH=.mypy_path $(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-lint  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

readme: $(VENV)/.installed-test  ## make the tables and outputs in README.md and docs/ anew, and the manual pages
	$(BIN)/python tests/docs/readme.py --write

docs: $(VENV)/.installed-docs .mypy_path  ## build the documents into build/site; warnings are errors, links are checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file .mkdocs.yml

release-check: $(VENV)/.installed-release $(VENV)/.installed-lint docs  ## what must be right before a release, without network
	$(BIN)/python tests/release/check.py

bench: $(VENV)/.installed-bench  ## measure speed; see ARGS='--help' for sizes and the peer
	PYTHONPATH=tests/inputs:tests/storage $(BIN)/python tests/bench/bench.py $(ARGS)

fuzz: $(VENV)/.installed-test  ## give the tools odd and spoilt inputs; ARGS='--seconds 3600 csv' for longer
	PCT_EXAMPLES=full $(BIN)/python -m pytest -q -n logical --dist worksteal -m hypothesis
	$(BIN)/python tests/fuzz/run.py $(ARGS)

torture: $(VENV)/.installed-test  ## kill pct-flow at 200 random moments and start it again; ARGS='--kills 50 --seed S'
	PYTHONPATH=tests/inputs:tests/support $(BIN)/python tests/torture/torture.py $(ARGS)

images: $(VENV)/.installed  ## build the container images; BASE_IMAGE=..., PREFECT=with, CLOUD=with
	@PYTHON=$(BIN)/python containers/build.sh

test-containers: $(VENV)/.installed-engines  ## run the tests of images and workflow engines; needs Docker and built images
	$(BIN)/python -m pytest -m containers --timeout 2400 tests/containers $(ARGS)

lock: $(VENV)/.installed  ## work out constraints.txt anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --upgrade --output-file constraints.txt

clean:  ## remove what make made
	rm -rf $(VENV) .mypy_path .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info demo_output fuzz_findings

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3-venv is needed: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

# Without npm, or where npm reaches no registry, the tests of Azure are skipped, and say so; nothing is marked as installed
# then, so it is tried again. npm trusts the certificates that the system trusts.
$(VENV)/.installed-azurite-$(AZURITE): $(VENV)/bin/python
	@echo "npm install azurite@$(AZURITE)"
	@[ ! -f /etc/ssl/certs/ca-certificates.crt ] || \
		export NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}"; \
	timeout 300 npm install --prefix $(VENV) --no-save --no-audit --no-fund --loglevel error --fetch-retries 1 \
		azurite@$(AZURITE) && touch $@ || \
		{ rm -rf $(VENV)/node_modules; echo "npm could not install it: the tests of Azure will be skipped" >&2; }

$(VENV)/.installed-bench: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,bench]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/.installed-release: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,release]'
	@touch $@

# nf-core's tools have an environment of their own, since their requirements do not go with the engines'.
$(VENV)/.installed-engines: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,engines]'
	$(PYTHON) -m venv $(VENV)/nf-core
	$(VENV)/nf-core/bin/python -m pip install --quiet --disable-pip-version-check 'nf-core>=4.2.1,<4.3'
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@touch $@

# mypy finds the package where its name says, so the layout that setuptools maps is laid out for it with links.
.mypy_path: tools common
	mkdir -p $@/pycytominer_transform
	ln -sfn ../../common/api/__init__.py $@/pycytominer_transform/__init__.py
	ln -sfn ../../common $@/pycytominer_transform/common
	ln -sfn ../../tools $@/pycytominer_transform/tools
	@touch $@
