"""The first verdict on a user's file: all heads and references fitted by one job, scored, and judged.

What is fitted lies where the cells' own stages would have written it, so that the evidence is made of the same fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from roftmol.core import parallel
from roftmol.deploy.verdict import VerdictSettings, decide
from roftmol.evaluation import aggregate
from roftmol.features import array_file
from roftmol.features.descriptors import MADE as DESCRIPTORS
from roftmol.features.descriptors import descriptors
from roftmol.features.inputs import VECTORS
from roftmol.methods import FINGERPRINT, METHODS
from roftmol.methods.cells import run_folder
from roftmol.tables import schemas
from roftmol.training import learners
from roftmol.training.learners import LearnerSettings


@dataclass(frozen=True)
class FirstSettings:
    """The cells that are fitted, each with the encoder that it reads, and how they are judged."""

    cells: tuple[LearnerSettings, ...]
    featurizers: dict[str, str]  #: by model
    rule: str  #: selects hyperparameters
    verdict: VerdictSettings


def first_verdict(
    settings: FirstSettings, data: Path, splits: Path, checkpoints: Path, runs: Path, out: Path, processes: int = 1
) -> None:
    """Fit the cells into `runs`, and write their tables, ranking and verdict to `out`.

    `checkpoints` is the folder of the encoders' weights. Raises `UserError` with what a cell's fit raises.
    """
    # The longest tasks first: the fingerprint's ensembles, then what has to read an encoder.
    tasks = sorted(_tasks(settings.cells), key=lambda cells: (cells[0].method != FINGERPRINT, not cells[0].model))
    fit = partial(_fit, featurizers=settings.featurizers, data=data, splits=splits, checkpoints=checkpoints, runs=runs)
    for _ in parallel.each(fit, tasks, processes):
        pass
    folders = [folder_of(cell, runs) for cell in settings.cells]
    aggregate.aggregate(folders, [data], settings.rule, out / "tables")
    decide(settings.verdict, out / "tables", out)


def folder_of(cell: LearnerSettings, runs: Path) -> Path:
    """Return the folder of a cell's fits."""
    return run_folder(runs, cell.protocol, cell.cell["model"], cell.dataset, cell.split, cell.budget, cell.method)


def _tasks(cells: Sequence[LearnerSettings]) -> list[list[LearnerSettings]]:
    """Return cells that share what is costly: those of one encoder together, any other by itself."""
    tasks: dict[str, list[LearnerSettings]] = {}
    for cell in cells:
        tasks.setdefault(cell.model or cell.method, []).append(cell)
    return list(tasks.values())


def _fit(
    cells: Sequence[LearnerSettings],
    featurizers: Mapping[str, str],
    data: Path,
    splits: Path,
    checkpoints: Path,
    runs: Path,
) -> None:
    """Fit cells that read the same encoder, or none."""
    smiles = schemas.read("molecules", data / "molecules.parquet")["smiles"].tolist()
    reads = frozenset[str]().union(*(METHODS[cell.method].reads for cell in cells))
    with TemporaryDirectory() as folder:
        described = vectors = None
        if "descriptors" in reads:
            described = Path(folder) / "descriptors.safetensors"
            array_file.save("descriptors", descriptors(smiles), DESCRIPTORS, described)
        if model := cells[0].model:
            from roftmol.deploy.head_model import Reader
            from roftmol.encoders.checkpoints import load_encoder

            encoder = load_encoder(checkpoints / f"{model}.safetensors", dropout=0.0)
            inputs = Reader(frozenset({"vectors"}), encoder, featurizers[model]).inputs(smiles)
            assert inputs.vectors is not None
            vectors = Path(folder) / "vectors.safetensors"
            array_file.save("vectors", inputs.vectors, VECTORS, vectors)
        for cell in cells:
            reads = METHODS[cell.method].reads
            learners.run(
                cell,
                data,
                splits,
                folder_of(cell, runs),
                described if "descriptors" in reads else None,
                vectors if "vectors" in reads else None,
            )
