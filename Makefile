# Everything works on a fresh machine with Python, make and pip; nothing needs a compiler.
PYTHON ?= python3
BIN := .venv/bin
# One more than there are cores: many tests wait for processes.
TESTERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")

.PHONY: demo test conformance lint bench bench-clients bench-servers bench-websockets bench-asgi bench-short clean

demo: $(BIN)/installed
	$(BIN)/python examples/demo.py

test: $(BIN)/installed-test
	$(BIN)/python -m pytest -q -n $(TESTERS) --dist loadfile

# Every case of the Autobahn suite, the long ones too: about ten minutes.
conformance: $(BIN)/installed-test
	ENDWELL_CONFORMANCE="1 2 3 4 5 6 7 9 10 12 13" ENDWELL_CONFORMANCE_SECONDS=1500 ENDWELL_TEST_HANG=1600 \
		$(BIN)/python -m pytest -q tests/conformance

lint: $(BIN)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: bench-clients
	$(MAKE) bench-servers
	$(MAKE) bench-websockets
	$(MAKE) bench-asgi

bench-clients:
	bench/setup.sh && bench/.venv/bin/python -m bench

bench-servers:
	bench/setup.sh servers && bench/servers/.venv/bin/python -m bench --servers

bench-websockets:
	bench/setup.sh servers && bench/servers/.venv/bin/python -m bench --websockets

bench-asgi:
	bench/setup.sh servers && bench/servers/.venv/bin/python -m bench --asgi

bench-short:
	bench/setup.sh && bench/.venv/bin/python -m bench --short
	bench/setup.sh servers && bench/servers/.venv/bin/python -m bench --servers --short
	bench/servers/.venv/bin/python -m bench --websockets --short
	bench/servers/.venv/bin/python -m bench --asgi --short

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
