"""Heads on fine-tuned encoders, by which molecules teach them, for the table of docs/methods.md.

    PYTHONPATH=workflow python benchmarks/seen_vectors.py results gin-zinc-qm9-supervised esol random-100 full_ft

The results folder holds a cell of METHOD in `honest`, whose weights were kept, and the dataset's descriptors: an
experiment with METHOD+hybrid leaves them. An encoder has seen the labels of its training molecules.
The test is predicted by the mean over the folds of heads that learn from

- frozen: all labels, on the pretrained encoder's vectors
- all: all labels, on the vectors of the fold's encoder
- seen, unseen: the fold's training, or its validation molecules alone
- out of fold, where cross-fitted: all labels, each molecule's vector by the encoder that has not seen it
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.encoders.checkpoints import architecture_of
from roftmol.features import array_file
from roftmol.features.descriptors import MADE
from roftmol.features.fingerprints import morgan_counts
from roftmol.features.inputs import Inputs
from roftmol.methods import METHODS
from roftmol.registry.encoder_kinds import encoder_kind
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.tasks import TASKS
from roftmol.training.cell import RunSettings, folds
from roftmol.training.jobs import Cell, saved_model
from roftmol.training.vectors import vectors

HEADS = [name for name, method in METHODS.items() if method.reads_encoder]


def compared(results: Path, model: str, dataset: str, condition: str, method: str) -> pd.DataFrame:
    """Return the test score of every head, seed and kind of teaching; columns head, teaching, seed, value."""
    run = results / f"runs/honest/{model}/{dataset}/{condition}/{method}"
    data, checkpoint = results / "data" / dataset, results / f"checkpoints/{model}.safetensors"
    fits = schemas.read("fits", run / "fits.parquet").set_index(["seed", "fold"])
    kind = schemas.read("tasks", data / "tasks.parquet")["kind"].iloc[0]
    split, _, budget = condition.rpartition("-")
    seeds = tuple(dict.fromkeys(fits.index.get_level_values("seed").tolist()))
    identity = ("honest", model, dataset, split, budget, method, kind, TASKS[kind].primary.name)
    settings = RunSettings(*identity, seeds=seeds, grid=({},))
    featurizer = encoder_kind(architecture_of(checkpoint)["kind"]).featurizer
    cell = Cell(settings, data / f"graphs/{featurizer}.safetensors", checkpoint, None)
    assert fits.index.is_unique, "a method with one point in its grid"
    assigned = schemas.read("splits", results / f"splits/honest/{dataset}/{condition}.parquet")
    molecules = schemas.read("molecules", data / "molecules.parquet")
    labels = np.array(molecules["labels"].tolist(), np.float64)
    counts = morgan_counts(molecules["smiles"].tolist())
    descriptors = array_file.load("descriptors", MADE, data / "descriptors.safetensors")
    task = TASKS[settings.task]

    def vectors_of(part: str, asked: NDArray[np.int64]) -> NDArray[np.float32]:
        encoder = saved_model(cell, run / "parts" / part).encoder if part else cell.encoder
        seen = vectors(encoder, cell.molecules, asked)
        rows = np.full((len(molecules), seen.shape[1]), np.nan, np.float32)
        rows[asked] = seen
        return rows

    table = []
    for seed in settings.seeds:
        parts = dict(folds(assigned, seed))
        labelled, test = np.concatenate([parts[0].train, parts[0].valid]), parts[0].test
        asked = np.concatenate([labelled, test])
        of_fold = {number: vectors_of(fits.loc[(seed, number), "part"], asked) for number in parts}
        frozen = vectors_of("", asked)
        out_of_fold = np.full_like(frozen, np.nan)
        for number, fold in parts.items():
            out_of_fold[fold.valid] = of_fold[number][fold.valid]
        for name in HEADS:
            head, reads = METHODS[name].head, METHODS[name].reads
            assert head is not None
            how = head()

            def predicted(
                teach: NDArray[np.float32], taught: NDArray[np.int64], tested: NDArray[np.float32]
            ) -> NDArray[np.float64]:
                given = [
                    Inputs(
                        len(molecules),
                        counts if "counts" in reads else None,  # noqa: B023 (called within the turn)
                        descriptors if "descriptors" in reads else None,  # noqa: B023
                        rows,
                    )
                    for rows in (teach, tested)
                ]
                fitted = how.fit(given[0][taught], labels[taught], task, 0)  # noqa: B023
                return fitted.predict(given[1][test]).mean  # noqa: B023

            outputs = {
                "frozen": [predicted(frozen, labelled, frozen)],
                "all": [predicted(rows, labelled, rows) for rows in of_fold.values()],
                "seen": [predicted(rows, parts[number].train, rows) for number, rows in of_fold.items()],
                "unseen": [predicted(rows, parts[number].valid, rows) for number, rows in of_fold.items()],
            }
            if len(parts) > 1:
                outputs["out of fold"] = [predicted(out_of_fold, labelled, rows) for rows in of_fold.values()]
            for teaching, several in outputs.items():
                value = metrics.primary(settings.metric, labels[test], np.mean(several, 0))
                table.append((name, teaching, seed, value))
    return pd.DataFrame(table, columns=["head", "teaching", "seed", "value"])


def main() -> None:
    """Print the mean and the standard deviation over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    for name in ("model", "dataset", "condition", "method"):
        parser.add_argument(name)
    told = parser.parse_args()
    table = compared(told.results, told.model, told.dataset, told.condition, told.method)
    print(table.groupby(["head", "teaching"], sort=False)["value"].agg(["mean", "std"]).round(3).to_string())


if __name__ == "__main__":
    main()
