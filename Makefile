# Two commands do everything, set-up included:  make demo   make test
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
OUT ?= demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## Train, generate, prove and synthesise a digits network; ends with a report
	@mkdir -p $(OUT)
	$(BIN)/codesign train digits --weights 4 --activations 4 -o $(OUT)/digits.onnx
	$(BIN)/codesign generate $(OUT)/digits.onnx -o $(OUT)/build --board ulx3s --target-ii 64
	$(BIN)/codesign verify $(OUT)/build --junit $(OUT)/results.xml
	$(BIN)/codesign synth $(OUT)/build
	$(BIN)/codesign report $(OUT)/build

test: $(READY) ## Run the tests (under 15 minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(READY) ## Run the long suite as well
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY) ## Format check, lint, types, layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@# Types and layers of the package as it is installed, hdl, sim, boards and templates inside.
	@rm -rf .lint && $(BIN)/python -m pip install --quiet --no-deps --target .lint .
	cd .lint && ../$(BIN)/mypy --config-file ../pyproject.toml -p codesign
	cd .lint && PYTHONPATH=. ../$(BIN)/lint-imports --config ../pyproject.toml
	@rm -rf .lint build

bench: $(READY) ## Compare speed and area with da4ml in the same run (JSON + table)
	$(BIN)/python -m benchmarks --out benchmarks/results.json

clean: ## Remove the environment and everything generated
	rm -rf .venv $(OUT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
