"""How the workflow behaves at the size of the paper's grid: the scheduler, and everything after the fits.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow python benchmarks/scale.py scratch [--models 6] [--budgets 4] [--jobs]

The scheduler is the real one on config/paper.yaml: building the DAG and, with --jobs, running it, where each job's bash
makes the outputs empty in place of computing them. For the rest, run folders of made-up scores are written for so many
models (datasets of at most so many molecules and twelve tasks), and the real stages put them together. Each stage is a
process of its own, whose time and largest memory are printed as a row of Markdown. docs/scale.md has the last run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from roftmol.core.seeds import generator
from roftmol.evaluation import aggregate
from roftmol.experiment.config import Experiment, experiment
from roftmol.experiment.grids import grid
from roftmol.methods import METHODS, WITHOUT_ENCODER, setting_text
from roftmol.registry.catalog import Dataset
from roftmol.tables import schemas

ROOT = Path(__file__).resolve().parents[1]
PAPER = ROOT / "config" / "paper.yaml"
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
MOST_TASKS = 12
#: Real molecules; which is which does not matter here.
SMILES = ("CCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O", "CN1CCCC1c1cccnc1", "O=C(O)c1ccccc1", "CCN(CC)CC", "ClCCl")
#: In place of the python that rules/stage.sh starts by `command`: its outputs, empty. `--out` is a file or the folder
#: of the stage's tables.
FAKE = """
command() {
  [ "$1" = python ] || { builtin command "$@"; return; }
  local out="$*"; out="${out##*--out }"; out="${out%% *}"
  case "$4" in
    finetune|interpolate) for name in fits predictions curves changes coefficients; do : >"$out/$name.parquet"; done;;
    baseline) for name in fits predictions curves; do : >"$out/$name.parquet"; done;;
    aggregate) for name in TABLES; do : >"$out/$name.parquet"; done; : >"$out/summary.csv";;
    molecules) for name in molecules tasks rejects; do : >"$out/$name.parquet"; done;;
    *) : >"$out";;
  esac
}
"""


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    wall: float
    cpu: float
    memory_mb: float

    def row(self, *cells: object) -> str:
        """Return the row of the table."""
        return f"| {' | '.join(map(str, cells))} | {self.wall:.1f} | {self.cpu:.1f} | {self.memory_mb:.0f} |"


def measured(command: list[Any], **options: Any) -> Spent:
    """Run a process to its end; raises `SystemExit` with what it said if it fails."""
    start = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True, **options) as process:
        assert process.stderr
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said[-2000:])
    return Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def scheduler(scratch: Path, config: dict[str, Any], run: bool) -> None:
    """Measure the DAG of a configuration, and a run of it with jobs that only make their outputs."""
    folder = scratch / "scheduler"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "paper.yaml").write_text(yaml.safe_dump(config))
    (folder / "fake.sh").write_text(FAKE.replace("TABLES", " ".join(aggregate.TABLES)))
    command = [
        SNAKEMAKE,
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        folder,
        "--configfile",
        folder / "paper.yaml",
    ]
    cells = experiment(config).cells
    jobs = len(cells.runs(Path()))
    said = f"{len(config['models'])} models, {jobs:,} jobs that fit"
    print(measured([*command, "-n", "--quiet", "all"], stdout=subprocess.DEVNULL).row("DAG (`-n`)", said), flush=True)
    if not run:
        return
    targets = ["--until", "aggregate", "--quiet", "all"]
    environment = os.environ | {"BASH_ENV": str(folder / "fake.sh")}
    spent = measured([*command, "--cores", "2", *targets], stdout=subprocess.DEVNULL, env=environment)
    print(spent.row("run, jobs that do nothing", said), flush=True)
    again = measured([*command, "-n", *targets], stdout=subprocess.DEVNULL)
    print(again.row("DAG of the finished run", said), flush=True)
    files = sum(len(names) for _, _, names in os.walk(folder))
    print(f"| files afterwards, snakemake's own included | {said} | {files:,} | | |", flush=True)


def write_runs(asked: Experiment, results: Path, most: int) -> tuple[int, int]:
    """Run folders, data and splits with made-up scores; returns the runs (cell x seed x setting) and predictions."""
    rng = generator("scale")
    runs = rows = 0
    sizes = {name: min(most, _rows(dataset)) for name, dataset in asked.datasets.items()}
    tasks = {name: min(MOST_TASKS, max(1, len(dataset.labels))) for name, dataset in asked.datasets.items()}
    for name, dataset in asked.datasets.items():
        _write_data(results, name, dataset.task, sizes[name], tasks[name], rng)
        for file in asked.cells.split_files(results):
            if file.parent.name == name:
                _write_split(file, sizes[name], asked.seeds, rng)
    for folder in asked.cells.runs(results):
        protocol, model, dataset, where, method = folder.parts[-5:]
        split, _, budget = where.rpartition("-")
        cell = dict(zip(schemas.CELL, (protocol, model, dataset, split, budget, method), strict=True))
        settings = _settings(asked, model, method)
        added = _write_run(folder, cell, settings, asked.seeds, sizes[dataset], tasks[dataset], rng)
        runs, rows = runs + len(settings) * len(asked.seeds), rows + added
    return runs, rows


def _settings(asked: Experiment, model: str, method: str) -> list[str]:
    if method in WITHOUT_ENCODER:
        return ["{}"]
    known = METHODS[method]
    axes = asked.grids.get(method, {})
    return [setting_text(known.parse(s)) for s in grid(known, asked.checkpoints[model].layers, axes)]


def _rows(dataset: Dataset) -> int:
    return next((source.rows for source in dataset.sources if source.rows), 2000)


def _write_data(results: Path, name: str, kind: str, size: int, tasks: int, rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, (size, tasks)) if kind == "classification" else rng.normal(size=(size, tasks))
    smiles = [SMILES[row % len(SMILES)] for row in range(size)]
    folder = results / "data" / name
    molecules = {"dataset": name, "molecule": range(size), "row": range(size), "smiles": smiles, "canonical": smiles}
    about = {"scaffold": "", "atoms": 9, "parent": smiles, "group": "", "labels": list(labels.astype(np.float32))}
    schemas.write("molecules", pd.DataFrame(molecules | about), folder / "molecules.parquet")
    schemas.write("rejects", schemas.empty("rejects"), folder / "rejects.parquet")
    counted = {"labelled": size, "positives": pd.array([None] * tasks, "Int64"), "mean": 0.0, "std": 1.0}
    named = {"dataset": name, "task": range(tasks), "name": [f"task {task}" for task in range(tasks)], "kind": kind}
    schemas.write("tasks", pd.DataFrame(named | counted), folder / "tasks.parquet")


def _held(size: int) -> int:
    """Molecules to test, and as many to validate."""
    return max(10, size // 10)


def _write_split(file: Path, size: int, seeds: tuple[int, ...], rng: np.random.Generator) -> None:
    protocol, dataset, (split, _, budget) = file.parts[-3], file.parts[-2], file.stem.rpartition("-")
    held, train = _held(size), 50
    roles = np.repeat(["test", "valid", "train"], [held, held, train])
    frames = [
        pd.DataFrame({"seed": seed, "fold": 0, "molecule": np.arange(len(roles)), "role": roles}) for seed in seeds
    ]
    identity = {"protocol": protocol, "dataset": dataset, "split": split, "budget": budget}
    schemas.write("splits", pd.concat(frames).assign(**identity), file)


def _write_run(
    folder: Path,
    cell: dict[str, str],
    settings: list[str],
    seeds: tuple[int, ...],
    size: int,
    tasks: int,
    rng: np.random.Generator,
) -> int:
    folder.mkdir(parents=True)
    runs = [(setting, seed) for setting in settings for seed in seeds]
    held, count = _held(size), len(runs)
    fits = pd.DataFrame(runs, columns=["setting", "seed"]).assign(**cell)
    blank = {field.name: "" if pa.types.is_string(field.type) else 1 for field in schemas.schema("fits")}
    missing = {name: value for name, value in blank.items() if name not in fits}
    schemas.write("fits", fits.assign(**(missing | {"status": "ok", "fold": 0})), folder / "fits.parquet")
    rows = count * 2 * held
    columns: dict[str, Any] = {name: pa.array([value] * rows) for name, value in cell.items()}
    columns["setting"] = pa.array(np.repeat([setting for setting, _ in runs], 2 * held))
    columns["seed"] = pa.array(np.repeat([seed for _, seed in runs], 2 * held).astype(np.int32))
    columns["partition"] = pa.array(np.tile(np.repeat(["test", "valid"], held), count))
    columns["molecule"] = pa.array(np.tile(np.arange(2 * held), count).astype(np.int32))
    offsets = pa.array(np.arange(0, rows * tasks + 1, tasks).astype(np.int32))
    columns["prediction"] = pa.ListArray.from_arrays(offsets, pa.array(rng.random(rows * tasks, np.float32)))
    columns["spread"] = pa.nulls(rows, pa.list_(pa.float32()))
    schema = schemas.schema("predictions")
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    pq.write_table(table, folder / "predictions.parquet", compression="zstd")
    for name in ("curves", "changes", "coefficients"):
        schemas.write(name, schemas.empty(name), folder / f"{name}.parquet")
    return rows


#: The stages after the fits, as code for a process of its own: arguments are the results folder and the settings.
STAGES = {
    "aggregate": """
from roftmol.evaluation import aggregate
from roftmol.experiment.config import experiment
import yaml
asked = experiment(yaml.safe_load(open(results / "config.yaml")))
aggregate.aggregate(asked.cells.runs(results), asked.cells.data(results), "validation", results / "tables")
""",
    "diagnostics": """
from roftmol.evaluation.diagnostics import stage
stage.diagnose(stage.DiagnosticsSettings(cliffs=()), results / "tables", results, results / "tables")
""",
    "embeddings": """
from roftmol.evaluation import atom_embeddings
atom_embeddings.embed([], results / "tables", results / "tables")
""",
    "statistics": """
from roftmol.statistics import stage
stage.build(results / "tables", results / "tables")
""",
    "plot": """
from roftmol import figures
figures.draw(results / "tables", results / "figures")
""",
    "report": """
from roftmol import report
report.build(results / "tables", results / "figures", {}, results / "report.html")
""",
}


def stages(scratch: Path, config: dict[str, Any], most: int) -> None:
    """Measure the stages after the fits, over run folders of made-up scores."""
    results = scratch / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    (results / "config.yaml").write_text(yaml.safe_dump(config))
    runs, rows = write_runs(experiment(config), results, most)
    said = f"{len(config['models'])} models, {runs:,} runs, {rows / 1e6:.3g} million predictions"
    for name, code in STAGES.items():
        start = f"import sys\nfrom pathlib import Path\nresults = Path({str(results)!r})\n"
        print(measured([sys.executable, "-c", start + code]).row(name, said), flush=True)
    for name in ("tables/predictions.parquet", "report.html"):
        print(f"| size of {name} | {said} | {(results / name).stat().st_size / 1e6:.1f} MB | | |", flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path, help="a folder for what is made up; its subfolders are emptied")
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--budgets", type=int, default=4, help="how many of the four budgets")
    parser.add_argument("--molecules", type=int, default=2000, help="of a dataset, at most")
    parser.add_argument("--jobs", action="store_true", help="run the scheduler too, not only its plan")
    parser.add_argument("--only", choices=("scheduler", "stages"))
    options = parser.parse_args()
    scratch = options.scratch.resolve()
    config = yaml.safe_load(PAPER.read_text())
    config |= {"models": config["models"][: options.models], "budgets": config["budgets"][: options.budgets]}
    print("| what | size | seconds | CPU seconds | peak MB |\n|---|---|---|---|---|", flush=True)
    if options.only != "stages":
        scheduler(scratch, config, options.jobs)
    if options.only != "scheduler":
        stages(scratch, config, options.molecules)


if __name__ == "__main__":
    main()
