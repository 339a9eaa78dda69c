# SPDX-License-Identifier: Apache-2.0
# `make` lists what there is to do. Everything runs in .venv, which the first use creates from requirements.txt.
#
#   PYTHON=/path/to/python   the interpreter for a new .venv (3.12 or newer); looked for when left out
#   VENV=                    (empty) no .venv: PYTHON or python3 as it is, as on a GPU host with a JAX of its own

VENV ?= .venv
VENV_ORACLE := .venv-oracle
VENV_AOT ?= .venv-aot
SCALE ?= laptop
WORKERS ?= logical

# A stamp carries the check sum of what was installed: a changed lock is installed once, an unchanged one never again.
sum = $(shell cat $(1) 2>/dev/null | cksum | cut -d ' ' -f 1)
make_venv := sh scripts/make_venv.sh

choose = $(if $(filter $(NAME),$(1)),,$(error NAME=$(NAME): choose one of: $(1)))

.DEFAULT_GOAL := help
.PHONY: help setup check test test-gpu corpus examples experiment train bench oracle torture report gpu-check aot lock

ifeq ($(strip $(VENV)),)
python := $(or $(PYTHON),python3)
runtime := interpreter
development := interpreter

.PHONY: interpreter
interpreter:
	@$(python) scripts/check_python.py $(needed)
else
python := $(VENV)/bin/python
runtime := $(VENV)/runtime-$(call sum,requirements.txt)
development := $(VENV)/development-$(call sum,requirements.txt requirements-dev.txt)

$(runtime):
	@$(make_venv) $(VENV) 12 $@ -r requirements.txt

$(development):
	@$(make_venv) $(VENV) 12 $@ -r requirements.txt -r requirements-dev.txt
endif

# PyPI's torch for Linux brings CUDA along (gigabytes); the CPU builds have an index of their own.
oracle := $(VENV_ORACLE)/oracle-$(call sum,requirements-oracle.txt)
torch := $(shell grep '^torch==' requirements-oracle.txt)
torch_index := $(if $(filter Linux,$(shell uname -s)),--extra-index-url https://download.pytorch.org/whl/cpu)

$(oracle):
	@$(make_venv) $(VENV_ORACLE) 11 $(VENV_ORACLE)/torch-cpu --no-deps $(torch_index) $(torch)
	@$(make_venv) $(VENV_ORACLE) 11 $@ -r requirements-oracle.txt

# NVIDIA's compilers, without the libraries that only a GPU needs (gigabytes).
aot := $(VENV_AOT)/aot-$(call sum,requirements-aot.txt)

$(aot):
	@$(make_venv) $(VENV_AOT) 12 $@ --no-deps -r requirements-aot.txt

help: ## this list
	@echo "make experiment NAME=fim_ablation   the main job"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
	    printf '  %-11s %s\n' "$$target" "$$text"; done

setup: $(runtime) ## create .venv from requirements.txt; every target does so when it has to
	@echo "$(python) is ready."

experiment: $(runtime) ## NAME=fim_ablation [SCALE=smoke|laptop|workstation|gpu|paper] [ARGS="..."]: run it, or finish it
	@$(if $(NAME),,$(error name an experiment: make experiment NAME=fim_ablation))
	@$(python) -m experiments.run $(NAME) --scale $(SCALE) $(ARGS)

corpus: $(runtime) ## ARGS="--source folder:DIR --output DIR ...": repositories to documents
	@$(python) -m beam_pipelines.corpus $(ARGS)

examples: $(runtime) ## ARGS="--documents DIR --tokenizer FILE --output DIR ...": documents to packed TFRecords
	@$(python) -m beam_pipelines.examples $(ARGS)

train: $(runtime) ## ARGS="--run DIR --examples DIR ...": train one model, or go on where it was cut
	@$(python) -m coder train $(ARGS)

report: $(runtime) ## NAME=fim_ablation [SCALE=laptop]: draw the report again from what the runs left
	@$(python) -m experiments.run $(NAME) --scale $(SCALE) --report-only $(ARGS)

check: $(development) ## formatting, lint and types
	@$(python) -m ruff format --check .
	@$(python) -m ruff check .
	@$(python) -m pyright

test: $(development) ## every test that needs neither a GPU nor the network
	@$(python) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-gpu: $(development) ## the tests that need a GPU
	@$(python) -m pytest -m gpu $(ARGS)

gpu-check: needed := jax flax optax
gpu-check: $(runtime) ## is a GPU seen, is it right and how fast; with VENV= on a host with a JAX of its own
	@$(python) -m benchmarks.gpu_check

bench: $(runtime) ## NAME=train_step|corpus|load|generate [ARGS="..."]: a benchmark, as ratios to the alternative
	@$(call choose,train_step corpus load generate)
	@$(MAKE) --no-print-directory $(oracle)
	@$(python) -m benchmarks.$(NAME) $(ARGS)

oracle: $(development) ## NAME=imports|languages|rules|transformers: compare with a tool that we did not write
	@$(call choose,imports languages rules transformers)
	@$(if $(filter imports transformers,$(NAME)),$(MAKE) --no-print-directory $(oracle))
	@$(python) -m benchmarks.oracle_$(NAME) $(ARGS)

torture: $(runtime) ## [N=100000]: hostile files for everything that reads strangers' files
	@$(python) -m benchmarks.torture $(N) $(ARGS)

aot: $(aot) ## [ARGS="--only sm90"]: every kernel compiled for A100 and H200, here, and its registers
	@$(VENV_AOT)/bin/python -m benchmarks.aot $(ARGS)

compile := uv pip compile --quiet --universal --custom-compile-command "make lock"
lock: ## requirements*.txt anew from requirements*.in (needs uv: https://docs.astral.sh/uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv tells how to install it"; exit 1; }
	$(compile) --python-version 3.12 requirements.in -o requirements.txt
	$(compile) --python-version 3.12 requirements-dev.in -o requirements-dev.txt
	$(compile) --python-version 3.12 --no-annotate requirements-gcp.in -o requirements-gcp.txt
	$(compile) --python-version 3.12 --no-annotate $(addprefix --no-emit-package nvidia-,nvvm cuda-runtime cuda-crt) \
	    requirements-aot.in -o requirements-aot.txt
	$(compile) --python-version 3.11 --no-annotate requirements-oracle.in | grep -v -E '^(nvidia|cuda|triton)' \
	    > requirements-oracle.txt.tmp && mv requirements-oracle.txt.tmp requirements-oracle.txt
