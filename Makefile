# The first two targets are the README's; `make` alone lists all.
.DEFAULT_GOAL := help
.PHONY: help demo test long check bench sweep kills clean

PYTHON := .venv/bin/python
READY := .venv/.ready

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo    set up, boot the practice fleet, take it all down, recover it, print how long it took
demo: $(READY)
	@deploy/lab/prepare.sh lab
	@$(PYTHON) -m deploy.lab.demo

## make test    set up, run every check and every test
test: $(READY)
	@deploy/lab/prepare.sh lab tests
	@$(MAKE) --no-print-directory check
	@$(PYTHON) -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

## make long    the tests that take too long for every change: the sweep of kills, RabbitMQ, Hyper-V, QEMU
long: $(READY)
	@deploy/lab/prepare.sh lab tests vm
	@$(PYTHON) -m pytest -m long

## make check   formatting, lint, types, import rules
check: $(READY)
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m ruff check --quiet .
	@.venv/bin/lint-imports --no-logo
	@$(PYTHON) -m mypy .

## make bench   the benchmarks with their peers, as a table and build/bench.json; ONLY=name for one
bench: $(READY)
	@deploy/lab/prepare.sh lab
	@$(PYTHON) -m tests.bench $(if $(ONLY),--only $(ONLY))

## make sweep   every fault of the table on real machines, with detection and recovery times
sweep: $(READY)
	@deploy/lab/prepare.sh lab
	@$(PYTHON) -m tests.sweeps $(if $(ONLY),--only "$(ONLY)")

## make kills   scenario 7 with broker, coordinator or agent killed at each of its steps; ONLY=victim
kills: $(READY)
	@deploy/lab/prepare.sh lab
	@$(PYTHON) -m tests.sweeps.kills $(if $(ONLY),--only "$(ONLY)")

## make clean   remove what make made here (not the lab's root file system in ~/.cache)
clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# uv comes from PyPI into its own small environment, so that nothing of the system is touched.
$(READY): pyproject.toml uv.lock deploy/lab/prepare.sh
	@deploy/lab/prepare.sh python
	@touch $@
