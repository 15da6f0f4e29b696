# Each target makes the virtual environment it needs; nothing has to be done before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# For the command that a target runs, such as `make lab ARGS=--allow-root`.
ARGS ?=

.PHONY: help demo quick test lint lab class bench pictures findings clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      the whole job on the shipped data, about five minutes; writes runs/demo/report.html"
	@echo "make lab       JupyterLab on copies of the notebooks"
	@echo "make class     two notebooks as pages without code, for a class"
	@echo "make quick     the tests that are neither slow nor in a browser"
	@echo "make test      all tests"
	@echo "make lint      ruff, ruff format --check, pyright"
	@echo "make bench     the figures about speed; writes the table of bench/README.md;"
	@echo "               OFFICIAL=DIR, an official rtdetrv2_pytorch folder, adds its training step"
	@echo "make pictures  the pictures of docs/, after make demo"
	@echo "make findings  docs/findings.md, the page of all findings"
	@echo "make clean     remove what the demo and the tests have written; runs/lab stays"
	@echo "ARGS='...' is passed on by demo, lab, class, quick and test: make test ARGS='-k wheel'"

$(READY): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    -c constraints.txt -e ".[notebook,test,dialects,tensorboard,class,lint]"
	@# Where Python is told to write no bytecode, each command would compile the package anew.
	$(BIN)/python -m compileall -q rtdetr_nb
	@touch $@

demo: $(READY)
	$(BIN)/rtdetr-nb demo $(ARGS)

# A worker a core; a file's tests stay together, since they share what they prepare.
quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not browser" $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

lab: $(READY)
	$(BIN)/rtdetr-nb lab $(ARGS)

class: $(READY)
	$(BIN)/rtdetr-nb class $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(READY)
	$(BIN)/python -m bench

# After `make demo`: the pictures of docs/, from the real pages.
pictures: $(READY)
	RTDETR_NB_PICTURES=docs RTDETR_NB_RUNS=runs/demo $(BIN)/python -m pytest tests/browser
	$(BIN)/python -m tests.browser.small_pictures docs

findings: $(READY)
	$(BIN)/python -m rtdetr_nb.cli.findings_page > docs/findings.md

clean:
	@# Copies of the notebooks may hold a user's work.
	if [ -d runs ]; then find runs -mindepth 1 -maxdepth 1 ! -name lab -exec rm -rf {} +; fi
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
