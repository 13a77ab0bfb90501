"""Folders in which `snakemake` is run as users run it, in a process of its own, on real molecules."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rdkit import Chem
from rdkit.Chem import Crippen

import forked_jobs
import planner
from planner import SNAKEMAKE
from roftmol.cli import progress
from roftmol.tables import schemas
from small_dataset import SMILES

ROOT = Path(__file__).parents[2]
SUBSTITUENTS = ("C", "N", "O", "F", "Cl", "Br")
OWN_DATASETS = {"mine": {"path": "mine.csv", "smiles": "SMILES", "labels": ["logP"], "task": "regression"}}
#: One cell a method: small enough to be run for real.
CONFIG: dict[str, Any] = {
    "models": ["gin-zinc-masking"],
    "datasets": ["mine"],
    "splits": ["random"],
    "budgets": [20],
    "methods": ["full_ft", "linear_probing", "wise_ft", "dwise_ft", "fingerprint"],
    "seeds": [0],
    "training": {"epochs": 2},
    "grids": {"wise_ft": {"alpha": [0, 0.25, 0.5, 0.75, 1]}, "dwise_ft": {"start": [0.5]}},
    "files": {"zinc250k": "corpus.smi"},
    "own_datasets": OWN_DATASETS,
}
RUNS = Path("results/runs/honest/gin-zinc-masking/mine/random-20")
#: The tables that hold no times.
EXACT = ("predictions", "scores", "selected", "alphas", "coefficients", "changes", "paths", "planes", "curves")


@dataclass(frozen=True)
class Workspace:
    """A folder with a configuration, where the workflow of `code` runs."""

    folder: Path
    code: Path = ROOT
    said: str = ""  # by the run that made it
    forked: bool = True  # Snakemake and its jobs, from processes that have imported what takes long

    def command(self, *arguments: str) -> list[str]:
        return [str(SNAKEMAKE), "--snakefile", str(self.code / "Snakefile"), "--configfile", "own.yaml", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `snakemake`; where the workspace is not `forked`, jobs are started as users start them."""
        environment = {name: value for name, value in os.environ.items() if name != "ROFTMOL_MIRROR"}
        command = self.command(*arguments)
        if planner.STARTS_NOTHING.intersection(arguments):
            return planner.run(command[1:], self.folder, environment)
        if self.forked:
            return planner.run(command[1:], self.folder, environment | forked_jobs.environment())
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def make(self, *targets: str) -> str:
        """Run to the end and return what was said."""
        done = self.run("--cores", "2", *targets)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    def configure(self, **changes: Any) -> None:
        (self.folder / "own.yaml").write_text(yaml.safe_dump(CONFIG | changes))

    def jobs(self) -> dict[str, int]:
        """How many jobs of each rule a run would start."""
        return job_counts(self.run("--dry-run", "--quiet", "rules"))

    def error(self) -> str:
        dry = self.run("--dry-run")
        assert dry.returncode != 0
        return dry.stdout + dry.stderr

    def tables(self) -> dict[str, pd.DataFrame]:
        return {name: schemas.read(name, self.folder / f"results/tables/{name}.parquet") for name in EXACT}

    def parts(self, method: str) -> dict[str, int]:
        """The finished fits of a method, with the times when they were written."""
        return {path.name: path.stat().st_mtime_ns for path in (self.folder / RUNS / method / "parts").glob("[!.]*")}


def recommend_in(
    folder: Path, *arguments: str, ready: Callable[[str], bool] | None = None
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run `roftmol recommend` in a folder; where a line of its messages is `ready`, Ctrl-C follows.

    Jobs are forked, but those that Ctrl-C is to end.
    """
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heeds}; from roftmol.cli.main import main; main()"
    environment = {
        **{name: value for name, value in os.environ.items() if name not in (progress.VARIABLE, "ROFTMOL_MIRROR")},
        **{"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1", "ROFTMOL_OFFLINE": "1"},
        **({} if ready else forked_jobs.environment()),
    }
    command = [sys.executable, "-c", program, "recommend", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stderr
        assert running.stdout
        lines = []
        for line in running.stderr:
            lines.append(line)
            if ready and ready(line):
                running.send_signal(signal.SIGINT)
        output = running.stdout.read()
    return subprocess.CompletedProcess(command, running.returncode, output, "".join(lines)), lines


#: The jobs that end every run, whatever came before them.
ENDS = {"aggregate": 1, "diagnostics": 1, "embeddings": 1, "statistics": 1, "plot": 1, "report": 1}
#: What is said of a file after `spoil`.
BAD_SMILES = (
    "error: results/data/mine/source: 9 of 45 records would be dropped (9 invalid_smiles), more than the limit "
    "`max_rejected` of 0.1 allows. First: line 2, 'CCO(': invalid_smiles not SMILES; line 7, "
    "'F/C=C/F(': invalid_smiles not SMILES; line 12, 'CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O(': invalid_smiles "
    "not SMILES. Mend the file or raise the limit."
)


def job_counts(dry: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many jobs of each rule a dry run plans, the target's left out."""
    assert dry.returncode == 0, dry.stdout + dry.stderr
    jobs = re.findall(r"^(\w+) +(\d+)$", dry.stdout + dry.stderr, re.MULTILINE)
    return {rule: int(count) for rule, count in jobs if rule not in ("all", "total")}


def write_molecules(path: Path) -> None:
    """Real molecules and their computed logP: the test set's, and benzenes with two substituents.

    Beside them a corpus of the same molecules, each written from its last atom.
    """
    smiles = [*SMILES, *(f"{a}c1ccc({b})cc1" for a in SUBSTITUENTS for b in SUBSTITUENTS if a <= b)]
    rows = [(text, Crippen.MolLogP(Chem.MolFromSmiles(text))) for text in smiles]
    pd.DataFrame(rows, columns=["SMILES", "logP"]).to_csv(path, index=False)
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    written = [Chem.MolToSmiles(molecule, rootedAtAtom=molecule.GetNumAtoms() - 1) for molecule in molecules]
    assert set(written) & {Chem.MolToSmiles(molecule) for molecule in molecules} != set(written)
    path.with_name("corpus.smi").write_text("\n".join(written))


def spoil(path: Path) -> None:
    """Open a branch behind every fifth SMILES: the plan looks at labels, but at molecules only a job does."""
    header, *lines = path.read_text().splitlines()
    lines[::5] = [line.replace(",", "(,") for line in lines[::5]]
    path.write_text("\n".join([header, *lines]))
