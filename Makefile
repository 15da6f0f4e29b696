# Each target makes the virtual environment it needs; nothing has to be done before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint lab class bench pictures findings clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   the whole job on the shipped data, about five minutes; writes runs/demo/report.html"
	@echo "make test   all tests"
	@echo "make lab    JupyterLab on the first notebook"
	@echo "make class  two notebooks as pages without code, for a class"
	@echo "make lint   ruff, ruff format --check, pyright"
	@echo "make bench  the speed figures of the README, as ratios measured in one run"
	@echo "make pictures  the pictures of the README, after make demo"
	@echo "make findings  docs/findings.md, the page of all findings"
	@echo "make clean  remove what the demo and the tests have written"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    -c constraints.txt -e ".[notebook,test,dialects,tensorboard,class,lint]"
	@# Where Python is told to write no bytecode, each command would compile the package anew.
	$(BIN)/python -m compileall -q rtdetr_nb
	@touch $@

demo: $(READY)
	$(BIN)/rtdetr-nb demo

test: $(READY)
	$(BIN)/python -m pytest

lab: $(READY)
	$(BIN)/rtdetr-nb lab

class: $(READY)
	$(BIN)/rtdetr-nb class

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(READY)
	$(BIN)/python -m bench

# After `make demo`: the pictures of the README, from the real pages.
pictures: $(READY)
	RTDETR_NB_PICTURES=docs RTDETR_NB_RUNS=runs/demo $(BIN)/python -m pytest tests/browser

findings: $(READY)
	$(BIN)/python -m rtdetr_nb.checkpoint.comparison.findings_page > docs/findings.md

clean:
	rm -rf runs .pytest_cache .ruff_cache .hypothesis
