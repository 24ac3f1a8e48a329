# What a developer does here; `make` alone lists it. Needs Python 3.11 or later and the package index, nothing else.
# Another Python: make test PYTHON=python3.13      Some tests only: make test ARGS="tests/spool -k claim"
PYTHON ?= python3
ARGS ?=
# A third of the tests' time is waiting, for processes and for clocks. A file stays together, because its tests share what they set up.
CORES := $(shell nproc 2>/dev/null || echo 2)
PARALLEL ?= --numprocesses $(shell expr $(CORES) \* 3 / 2) --maxprocesses 6 --dist loadfile --no-loadscope-reorder
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test test-pythons test-processors test-editors test-installs test-ray test-system test-thorough prove prove-journal mutants bench docs deb format lint types check clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1#/p' $(firstword $(MAKEFILE_LIST)) | expand -t 1 | \
		while IFS='#' read -r target words; do printf '%-22s %s\n' "$$target" "$$words"; done

demo: $(VENV)/.installed ## install, then make three pictures with the embedded model
	@$(BIN)/tiffsd demo $(ARGS)

test: $(VENV)/.installed-dev ## install with the developers' tools, then run the tests
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-processors: $(VENV)/.installed-dev ## test that results are exact on the processors that this one can pretend to be
	@$(BIN)/python -m tests.processors $(PROCESSORS) $(ARGS)

# Each is looked for by name on the PATH, then among pyenv's. One that fails stops no other.
PYTHONS ?= 3.11 3.12 3.13 3.14

test-pythons: ## run the tests with each Python from 3.11 to 3.14 that is here, each in an environment of its own
	@failed=false; summary=; \
	for version in $(PYTHONS); do \
		outcome="not there"; \
		for python in "python$$version" "$$HOME"/.pyenv/versions/"$$version".*/bin/python; do \
			"$$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null || continue; \
			echo "Python $$version:"; \
			$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON="$$python" && outcome=passed || { outcome=failed; failed=true; }; \
			break; \
		done; \
		summary="$$summary  Python $$version: $$outcome\n"; \
	done; \
	printf "$$summary"; ! $$failed

test-installs: $(VENV)/.installed-dev ## install the wheel with pipx and uv in clean homes, and make the demo's pictures; fetches much
	@$(BIN)/python -m tests.installs $(ARGS)

test-ray: $(VENV)/.installed-dev ## install Ray, then test workers on a cluster of it that is made and killed on this machine
	@$(PIP) --editable '.[dev,ray]'
	@$(BIN)/python -m pytest tests/compute/remote/test_ray.py $(ARGS)

# Debian's names; --no-install-recommends leaves out half a desktop.
EDITORS := gimp krita python3-pyqt5 imagemagick-6.q16hdri imagemagick-6.q16 graphicsmagick libvips-tools openimageio-tools gmic \
	libtiff-tools imagej xvfb xauth chromium

test-editors: $(VENV)/.installed-dev ## install the image editors and Chromium of Debian, edit with each of them, open the page, compare with the table of docs/editors.md
	@become=$$([ "$$(id -u)" = 0 ] || echo sudo); $$become apt-get update -qq && \
		$$become env DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends $(EDITORS)
	@TIFFSD_EDITORS=all $(BIN)/python -m pytest -m 'not system' tests/editors tests/page $(ARGS)

test-system: $(VENV)/.installed-dev ## test the service in a real systemd, booted in a container (as root)
	@$(BIN)/python -m pytest -m 'system and not thorough' -rs tests/system $(ARGS)

# Both run, whatever fails in the first.
test-thorough: $(VENV)/.installed-dev ## run what the others leave out: more cases of the same, longer stress, a proof of the tests of the service
	@failed=false; $(BIN)/python -m pytest -m 'thorough and not system' $(PARALLEL) $(ARGS) || failed=true; \
		$(BIN)/python -m pytest -m 'thorough and system' -rs tests/system $(ARGS) || failed=true; ! $$failed

prove: $(VENV)/.installed-dev ## prove the spool: every crash, pair of crashes, error, power cut and act of a member, with the figures
	@$(BIN)/python -m tests.spool.prove

prove-journal: $(VENV)/.installed-dev ## cut the power on ext4, XFS and btrfs at every write to their disk, in a guest with Debian's kernel; takes hours
	@$(BIN)/python -m tests.spool.replay $(ARGS)

mutants: $(VENV)/.installed-dev ## put faults into a copy of the program, one at a time: the tests must notice each
	@$(BIN)/python -m tests.mutants $(ARGS)

bench: $(VENV)/.installed-dev ## measure speed and memory beside what people would use instead; half an hour, 12 GB of disk
	@$(BIN)/python -m benchmarks $(ARGS)

deb: $(VENV)/.installed-dev ## build the Debian package, into dist/
	@rm -rf build/deb && $(BIN)/python -m build --wheel --no-isolation --outdir build/deb . >/dev/null
	@debian/build.sh $(BIN)/python build/deb/*.whl dist

docs: $(VENV)/.installed-dev ## make a site of docs/ in site/, which needs no network to be read, and the man page tiffsd.1
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --clean && echo "Open site/index.html in a browser."
	@$(BIN)/python -m tests.docs.command_line --man > tiffsd.1

format: $(VENV)/.installed-dev ## format the code and repair what the linter can
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

lint: $(VENV)/.installed-dev ## look for mistakes and unformatted code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## check the types
	@$(BIN)/mypy

check: PROCESSORS = --short
check: test test-processors test-system lint types ## everything that CI runs

clean: ## remove what make made: environment, caches, builds, the demo's pictures
	rm -rf $(VENV) .venv-3.* build dist site tiffsd.1 *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-pictures
	find tiffsd daemon tests training -name __pycache__ -prune -exec rm -rf {} +

# The stamps make an environment new again when its list of packages changes, and only then. torch comes first and alone: it is most
# of the download, and where it cannot be had nothing else is worth fetching.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("tiffsd needs Python 3.11 or later, this is " \
		+ sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	@test -x $(BIN)/pip || { echo "Making the environment $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing torch (most of the download, some minutes) ..."
	@$(PIP) torch
	@echo "Installing tiffsd ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the developers' tools ..."
	@$(PIP) --editable '.[dev]'
	@touch $@
