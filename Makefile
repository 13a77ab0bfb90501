# make install  install into .venv, run nothing
# make report   install, run the experiment of config.yaml, leave results/report.html
# make atomistic  the same for a model of atoms in space and config/atomistic.yaml
# make admet    TDC's 13 ADMET classifications as one panel (config/admet.yaml), at most 40 core-hours, into results/admet
# make test     install, lint, run the tests but those of make test-runs
# make test-runs  the tests that take a whole: the workflow from a file to the report, killed, changed and run again; the page in a browser
# make test-slow  the simulations behind docs/statistics.md and docs/recommend.md in full, which fail where a rate leaves its bound
# make test-slurm  the profile `slurm` on a real Slurm of one node, which takes root; installs Debian's where it is missing
# make lint     what `make test` checks before the tests
# make docs     write anew what is made from the code: references in docs/, the schema of config.yaml, README's table of methods
# make bench    time the engine beside the same work in plain PyTorch Geometric, leave results/tables/bench.parquet
# make clean    remove the results and what the tools left; .venv stays
#
# Another interpreter: make PYTHON=python3.12 report. Fewer cores: make CORES=4 report. A try: make BENCH=--quick bench.

PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= auto
BENCH ?=
# Python compiles a module when it is first imported; pip would compile all, which takes half of the installation.
COMPILE ?= --no-compile
# The pip that comes with Python 3.11 takes twice as long for the same packages.
PIP := pip==26.3
BENCH_DATA := results/checkpoints/gin-zinc-masking.safetensors $(foreach data,esol bbbp,\
  results/data/$(data)/graphs/hu.safetensors $(foreach budget,50 all,results/splits/honest/$(data)/scaffold-$(budget).parquet))

.PHONY: install report atomistic admet test test-runs test-slow test-slurm lint lint-types lint-style docs bench clean

install: $(VENV)/run.stamp

report: $(VENV)/run.stamp
	$(BIN)/snakemake --cores $(CORES) --rerun-incomplete --quiet reason

atomistic: $(VENV)/atomistic.stamp
	$(BIN)/snakemake --configfile config/atomistic.yaml --cores $(CORES) --rerun-incomplete --quiet reason

admet: $(VENV)/run.stamp
	$(BIN)/snakemake --configfile config/admet.yaml --directory results/admet --cores $(CORES) --rerun-incomplete \
	  --quiet reason

# A file's tests stay with one worker, so that what they share is made once.
test:
	$(MAKE) --no-print-directory --jobs 3 lint-types lint-style $(VENV)/compiled.stamp
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-runs: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder tests/runs

test-slow: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 PYTHONPATH=workflow $(BIN)/python benchmarks/null_simulation.py
	OMP_NUM_THREADS=1 PYTHONPATH=workflow $(BIN)/python benchmarks/null_recommendation.py

test-slurm: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/slurm

# Types take as long as all else.
lint: $(VENV)/dev.stamp
	$(MAKE) --no-print-directory --jobs 2 lint-types lint-style

lint-types: $(VENV)/dev.stamp
	$(BIN)/mypy --num-workers 2

lint-style: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYTHONPATH=workflow $(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

docs: $(VENV)/run.stamp
	set -e; for part in experiment tables.descriptions methods cli deploy; do \
	  PYTHONPATH=workflow $(BIN)/python -m roftmol.$$part.reference; done

bench: $(VENV)/run.stamp
	$(BIN)/snakemake $(BENCH_DATA) --cores $(CORES) --rerun-incomplete --quiet reason
	OMP_NUM_THREADS=1 PYTHONPATH=workflow $(BIN)/python benchmarks/bench.py $(BENCH)

clean:
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	rm -rf .snakemake .mypy_cache .ruff_cache .pytest_cache

# What the locks name and no more, each file with a known checksum; only connection_pool comes as source.
LOCKED := $(BIN)/pip install $(COMPILE) --require-hashes --no-deps --only-binary :all: --no-binary connection_pool --requirement

$(VENV)/run.stamp: requirements.txt requirements-torch.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) was found; try: make PYTHON=python3.11 report" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(COMPILE) $(PIP)
	$(LOCKED) requirements.txt
	$(BIN)/pip install $(COMPILE) --requirement requirements-torch.txt
	$(BIN)/pip install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/atomistic.stamp: requirements-atomistic.txt $(VENV)/run.stamp
	$(LOCKED) requirements-atomistic.txt
	@touch $@

# Compiled once, while pip installs the rest on another core: what each process of the tests would else compile itself.
$(VENV)/compiled.stamp: $(VENV)/run.stamp
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import torch_geometric.loader, torch_geometric.nn, sklearn.ensemble, sklearn.utils.estimator_checks, \
	  scipy.stats, matplotlib.pyplot, snakemake.api, rdkit.Chem.AllChem, pyarrow.parquet"
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/atomistic.stamp
	$(LOCKED) requirements-dev.txt
	@touch $@
