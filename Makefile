# Everything works on a fresh machine with Python, make and pip; nothing needs a compiler.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench bench-clients bench-servers bench-short clean

demo: $(BIN)/installed
	$(BIN)/python examples/demo.py

test: $(BIN)/installed-test
	$(BIN)/python -m pytest -q -n auto --dist loadfile

lint: $(BIN)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: bench-clients
	$(MAKE) bench-servers

bench-clients:
	bench/setup.sh && bench/.venv/bin/python -m bench

bench-servers:
	bench/setup.sh servers && bench/servers/.venv/bin/python -m bench --servers

bench-short:
	bench/setup.sh && bench/.venv/bin/python -m bench --short
	bench/setup.sh servers && bench/servers/.venv/bin/python -m bench --servers --short

clean:
	rm -rf .venv bench/.venv bench/servers/.venv build demo-out

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(BIN)/installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,speed]'
	touch $@

$(BIN)/installed-test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,test,lint]'
	touch $@
