# Two commands: `make demo` shows what banana does, `make test` proves it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

LEAFLET := adapters/satellite/vendor/leaflet.js
LEAFLET_PACK := leaflet-1.9.4.tgz
LEAFLET_SHA256 := 84c65a256e50657896f54c33bd857b6849ebe94c817803be818bf32a3dde0b77

.PHONY: demo test check samples clean vendor

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps cityscapesscripts
	-$(MAKE) --no-print-directory vendor
	touch $@

# The map of the HTML pages; without it (no npm) they use a plain one of our own.
vendor: $(LEAFLET)

$(LEAFLET):
	mkdir -p build/vendor $(@D)
	cd build/vendor && npm pack --silent leaflet@1.9.4
	echo "$(LEAFLET_SHA256)  build/vendor/$(LEAFLET_PACK)" | sha256sum --check --quiet
	tar -xzf build/vendor/$(LEAFLET_PACK) -C build/vendor package/LICENSE package/dist/leaflet.js package/dist/leaflet.css
	cp build/vendor/package/LICENSE build/vendor/package/dist/leaflet.css $(@D)/
	cp build/vendor/package/dist/leaflet.js $@

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
