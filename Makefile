# Thin on purpose: every line is a command you could type.
PYTHON ?= python3
BIN := .venv/bin

SHELL := /bin/bash
.PHONY: quickstart test test-experiments test-devices test-cluster test-interop lint drills compile gpu bench notebooks clean

# The environment: made once, again when what it must hold changes.
.venv/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("error: found Python %d.%d, wanted 3.11 or newer (make PYTHON=python3.12 ...)" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (about two minutes, 4 GB with TensorFlow, which seqio brings)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

# A small experiment: does rewording help a model to answer questions?
quickstart: .venv/.ready
	$(BIN)/python -m physics_lm.launch experiments/knowledge_extraction.py --scale=quickstart
	$(BIN)/python -m physics_lm.report experiments/knowledge_extraction.py --scale=quickstart --out=runs/reports

# A process a core; the tests of a file share what they compile, so one process
# runs them all.
PARALLEL := -n logical --maxprocesses=8 --dist=loadfile
# A worker a core: threads of NumPy's linear algebra beside them only wait for
# one another (ten times slower).
test test-experiments test-devices test-interop drills: export OPENBLAS_NUM_THREADS = 1
# Containers often forbid it: without compiled files each of the many processes
# that tests start compiles the package again.
test test-experiments test-devices test-cluster test-interop drills: export PYTHONDONTWRITEBYTECODE =

# Every test but those that take long, which have the targets below.
test: .venv/.ready
	$(BIN)/python -m pytest $(PARALLEL)

# Every experiment at smoke scale to its report, committed records to their
# tables, and the notebooks: nearly all in one file, so by test.
test-experiments: .venv/.ready
	$(BIN)/python -m pytest -m experiment $(PARALLEL) --dist=load

# Slow failure drills: random kill -9, of one process and of two. -rP: what
# each printed, its seed first.
drills: .venv/.ready
	$(BIN)/python -m pytest -m drill $(PARALLEL) --dist=load -rP

# The same computation on many devices, and in populations of runs.
test-devices: .venv/.ready
	$(BIN)/python -m pytest -m devices $(PARALLEL)

# Jobs of two processes, and on a real Slurm of one node, installed and started
# here (root, Debian).
test-cluster: .venv/.ready
	bash tests/cluster/start.sh
	$(BIN)/python -m pytest -m cluster; status=$$?; bash tests/cluster/start.sh stop; exit $$status

# With the optional libraries: Hugging Face, tokenizers, seqio, trackers, and
# the stories in docs/. This torch has a build for CPUs where pip looks here.
TORCH ?= torch==2.13.0
.venv/.interop: .venv/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check '$(TORCH)' -e '.[interop]'
	@touch $@

test-interop: .venv/.interop
	$(BIN)/python -m pytest -m interop $(PARALLEL)

# Programs compiled for TPU topologies by libtpu, which needs no TPU: do they
# fit, and do they multiply and communicate what they should?
.venv/.tpu: .venv/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[tpu]'
	@touch $@

# A fifth of the compiler's usual time: memory comes out alike.
compile: export JAX_EXEC_TIME_OPTIMIZATION_EFFORT = -1
compile: .venv/.tpu
	$(BIN)/python -m pytest -m tpu -s

lint: .venv/.ready
	$(BIN)/ruff check .

# Tokens/s of loader and step, start-up, checkpoints, beside the matmul peak; the
# loop in turn with its bare step, on one core; then the step in turn with
# PyTorch's, where that is installed ('.[bench]').
bench: .venv/.ready
	$(BIN)/python bench/bench.py
	taskset -c 0 $(BIN)/python bench/loop.py
	$(BIN)/python bench/peers.py

# On a machine with a CUDA GPU: its speed, then the gpu scales of three
# experiments, until HOURS have passed.
.venv/.cuda: .venv/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cuda]'
	@touch $@

gpu: export HOURS ?= 8
gpu: .venv/.cuda
	bash bench/gpu.sh

# Notebooks show committed results; this executes them again.
notebooks: .venv/.ready
	$(BIN)/jupytext --to ipynb --execute notebooks/*.py

clean:
	rm -rf .venv runs build *.egg-info
