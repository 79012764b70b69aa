# The commands of a checkout. Every path is relative, so that the checkout may live anywhere.
#
#   make demo    the sample business, start to end; options: make demo ARGS="--customers 500"
#   make test    the test suite
#   make check   lint, format, types, and the committed GraphQL schema
#   make bench   each figure that the README claims; make bench-identity those of identity alone
#   make prove   the long proofs
#   make clean   remove what was installed or cached; the data in .cdp stay

.DELETE_ON_ERROR:
.PHONY: demo test check bench bench-identity prove clean runtime development

RUN := .venv/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input install --quiet --progress-bar off

# Compiled files are kept: each worker of a test run, and each command that it starts, would compile
# the whole checkout anew.
test prove: export PYTHONDONTWRITEBYTECODE =

demo: runtime
	$(RUN) -m cdp demo $(ARGS)

test: development
	$(RUN) -m pytest -m "not prove" -n 4 --dist worksteal $(ARGS)

check: development
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m cdp schema export --check

bench: development
	$(RUN) -m benchmarks $(ARGS)

bench-identity: development
	$(RUN) -m benchmarks public_sets shoppers linkage online $(ARGS)

prove: development
	$(RUN) -m pytest -m prove -n 2 --dist worksteal $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find cdp schema connectors migrations tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The environment, in steps that are skipped while nothing that they depend on has changed.
runtime: .venv/project.stamp
development: .venv/project.stamp .venv/development.stamp

.venv/python.stamp:
	@python="$(PYTHON)"; \
	for name in python3.13 python3.12 python3.11 python3.14 python3; do \
	  [ -z "$$python" ] || break; \
	  "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1 && python="$$name"; \
	done; \
	[ -n "$$python" ] || { echo "No Python 3.11 or newer with venv was found: install one" \
	  "(Debian: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3." >&2; \
	  exit 1; }; \
	echo "Making .venv with $$python"; \
	"$$python" -m venv --clear .venv
	@touch $@

.venv/runtime.stamp: .venv/python.stamp requirements.txt requirements-build.txt
	@echo "Installing the pinned requirements; the first time this takes a minute"
	@$(PIP) --require-hashes -r requirements.txt -r requirements-build.txt
	@touch $@

.venv/project.stamp: .venv/runtime.stamp pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/development.stamp: .venv/project.stamp requirements-dev.txt
	@echo "Installing the pinned requirements of development"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
