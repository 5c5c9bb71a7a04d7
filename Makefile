# make demo    restore the bundled example images to out/
# make test    run the whole test suite
# make web     build the page of `vheatir web`; takes node and npm
# make lint    ruff          make types   mypy          make format   let ruff rewrite the code
#
# Each target first sets up what it needs in .venv. PYTHON=python3.12 chooses the Python that .venv is made with.
# Without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu spares the CUDA build of torch.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

# A file URL, because pip splits the variable at spaces; absolute, because tests run pip from other folders.
empty :=
export PIP_CONSTRAINT := file://$(subst $(empty) ,%20,$(CURDIR))/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test web lint types format clean

demo: $(VENV)/.base
	$(RUN) inference.py --task denoise --sigma 25 examples/denoise out/denoise
	$(RUN) inference.py --task jpeg examples/jpeg out/jpeg
	$(RUN) inference.py --task photo examples/photo out/photo
	@echo "Done: compare the folders of examples/ with those of out/."

test: $(VENV)/.all
	$(RUN) -m pytest -n auto --dist loadfile

web:
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run build

lint: $(VENV)/.all
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.all
	$(RUN) -m mypy

format: $(VENV)/.all
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV) out build packaging/vheatir-onnx/build *.egg-info vheatir/page web/node_modules

# What inference needs. The pinned pip, because older ones cannot install basicsr on Python 3.10.
$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("vheatir needs Python 3.10 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet pip setuptools
	$(RUN) -m pip install --quiet --no-build-isolation --editable .
	@touch $@

# And everything else. Without isolation, because basicsr names torch as a build requirement, and an isolated build
# would download and unpack a second one.
$(VENV)/.all: $(VENV)/.base
	$(RUN) -m pip install --quiet --no-build-isolation --editable ".[all]"
	@touch $@
