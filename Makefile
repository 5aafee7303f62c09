# Two commands: `make demo` shows what banana does, `make test` proves it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check samples clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.ready
	$(BIN)/banana segment samples/dashcam.mp4 --with depth,normals -o demo --overwrite
	$(BIN)/banana depth samples/scan.dcm -o demo --format dcm,overlay --overwrite
	$(BIN)/banana tile samples/scene.tif -o demo --overwrite
	@echo
	@echo "The pictures are in demo/ : open demo/dashcam.masks.mp4, demo/scan.depth.overlay.png, demo/scene.masks.tif"

test: $(VENV)/.ready
	$(BIN)/python -m pytest -q

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

samples: $(VENV)/.ready
	$(BIN)/python samples/make.py

clean:
	rm -rf demo build *.egg-info
