# GNU make. PYTHON, VENV and the checkout may have spaces in their paths.
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=

venv_python = $(VENV)/bin/python

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint check wheel pyz bundle image sif bench fuzz faults clean venv pytest linters python

help: ## show this list
	@echo "JobDistributor. Targets:"
	@awk -F ' *:[^#]*## *' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' Makefile
	@echo "Variables: PYTHON=$(PYTHON)  VENV=$(VENV)  PYTEST_ARGS=$(PYTEST_ARGS)"

demo: venv ## run a small sweep on this machine; needs no network
	@"$(venv_python)" docs/examples/digits-tune/demo.py

test: pytest ## run the tests in a few minutes, without the slow ones; downloads pytest once and nothing else
	@PATH="$$(cd "$(VENV)/bin" && pwd):$$PATH" "$(venv_python)" -m tests.run $(PYTEST_ARGS)

lint: pytest ## look for faults in the sources with ruff and mypy, and in how pages are written
	@PATH="$$(cd "$(VENV)/bin" && pwd):$$PATH"; for tool in ruff mypy; do command -v $$tool >/dev/null || { \
	  echo "error: $$tool is not installed; make linters downloads ruff and mypy into $(VENV)" >&2; exit 1; }; done; \
	found=0; ruff check --quiet || found=1; mypy --python-executable "$(venv_python)" || found=1; \
	"$(venv_python)" -m pytest -qq tests/web || found=1; exit $$found

check: ## run everything that CI runs: all tests, on other Pythons too, and what is built
	@PYTHON="$(PYTHON)" bash .ci/run

wheel: python ## build the wheel into dist/
	@PYTHONPATH=. "$(PYTHON)" -m jd.dist wheel --out dist

pyz: python ## build jd-worker.pyz, every command in one file, into dist/
	@PYTHONPATH=. "$(PYTHON)" -m jd.dist pyz --out dist

bundle: python ## build what is carried to machines without a network into dist/
	@PYTHONPATH=. "$(PYTHON)" -m jd.dist bundle --out dist

image: ## build the images jd-worker, jd-server, jd-hub (docker, podman or buildah); IMAGE_ARGS="--build-arg BASE=…"
	@docker/build.sh $(IMAGE_ARGS)

sif: python ## build jd-worker.sif and jd-server.sif (apptainer or singularity) into dist/; SIF_ARGS=--fakeroot
	@PYTHON="$(PYTHON)" apptainer/build.sh $(SIF_ARGS)

bench: pytest ## run the benchmarks in tests/bench and show one table: ONLY="startup store" JSON=FILE AGAINST=CHECKOUT
	@"$(venv_python)" -m tests.bench.run $(ONLY) $(if $(JSON),--json "$(JSON)") $(if $(AGAINST),--against "$(AGAINST)")

fuzz: venv ## give bad and odd input to everything that reads any: INPUTS=1000000 SEED=2 ONLY=json
	@"$(venv_python)" -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED)) $(ONLY:%=--only %)

faults: pytest ## attack sweeps of real processes from all sides: RUNS=300 SEED=1
	@"$(venv_python)" -m tests.faults $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED))

clean: ## remove VENV, dist/ and caches
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	@rm -rf dist build .mypy_cache .pytest_cache .ruff_cache
	@find . -name '.?*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Below: what the targets above need.

new_enough = -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null
which = -c 'import sys; print(sys.version.split()[0], "of", sys.base_prefix)'

python:
	@"$(PYTHON)" $(new_enough) || { said=$$("$(PYTHON)" --version 2>&1 | tail -n 1); \
	  echo "error: PYTHON=$(PYTHON) is not Python 3.8 or newer ($$said);" \
	       "name one: make PYTHON=/path/to/python3 …" >&2; exit 1; }

# No pip in it, so neither ensurepip (Debian without python3-venv) nor a network is needed; the
# sources are linked. A venv that is there already is used as it is, and never wiped.
venv: python
	@runs() { "$(venv_python)" $(new_enough); }; \
	if ! runs; then \
	  echo "venv: making $(VENV) with $$("$(PYTHON)" --version)"; \
	  "$(PYTHON)" -m venv --without-pip "$(VENV)"; \
	  runs || { echo "error: $(VENV) is there, without a Python 3.8 or newer that runs;" \
	                 "remove it (make clean) or give another VENV" >&2; exit 1; }; \
	elif [ "$(origin PYTHON)" != file ]; then \
	  has=$$("$(venv_python)" $(which)); wanted=$$("$(PYTHON)" $(which)); \
	  [ "$$has" = "$$wanted" ] || { \
	    echo "error: $(VENV) has Python $$has, and PYTHON=$(PYTHON) is $$wanted;" \
	         "give another VENV, or remove this one (make clean)" >&2; exit 1; }; \
	fi
	@PYTHONPATH=. "$(venv_python)" -m jd.dist.install --editable --quiet

# Some versions of ensurepip forget a file in TMPDIR.
pytest: venv
	@if "$(venv_python)" -c 'import pytest' 2>/dev/null; then exit 0; fi; \
	if TMPDIR="$$(cd "$(VENV)" && pwd)" "$(venv_python)" -m ensurepip >/dev/null 2>&1; then \
	  echo "pytest: downloading it into $(VENV)"; \
	  "$(venv_python)" -m pip install -q --disable-pip-version-check 'pytest>=7' && exit 0; \
	  problem="pytest could not be downloaded (see above)"; \
	else \
	  problem="there is no pip for $(PYTHON): on Debian or Ubuntu, apt install python3-venv"; \
	fi; \
	borrowed=$$("$(PYTHON)" -c 'import os, pytest; print(os.path.dirname(os.path.dirname(pytest.__file__)))' 2>/dev/null) || { \
	  echo "error: $$problem; or give a PYTHON that has pytest" >&2; exit 1; }; \
	echo "pytest: $$problem; using the one of $(PYTHON)"; \
	printf '%s\n' "$$borrowed" > "$$("$(venv_python)" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed-pytest.pth"

linters: pytest
	@"$(venv_python)" -m pip install -q --disable-pip-version-check ruff==0.17.6 mypy==2.4.1
