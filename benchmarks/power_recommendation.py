"""How often a recommendation says that labels cannot be predicted though its default predicts them.

    ROFTMOL_MIRROR=... OMP_NUM_THREADS=1 PYTHONPATH=workflow python benchmarks/power_recommendation.py

Labels are drawn out of larger sets of TDC, and the hybrid head on frozen gin-distilled is cross-validated on them as
`recommend` does it: in five parts, which are dealt anew up to five times. What is asked is whether `above_zero` finds
it better than the constant at 2.5%, the level of the default. The truth is what the head, fitted on all these labels,
does on the molecules that were not drawn: R2, or how far ROC-AUC is above one half.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from roftmol.core.seeds import generator
from roftmol.data.download import mirror
from roftmol.data.splits import stratified_folds
from roftmol.deploy.head_model import Reader
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features.inputs import Inputs
from roftmol.methods import HYBRID, METHODS
from roftmol.registry import catalog
from roftmol.registry.splits import TEST_SHARE
from roftmol.stages import fetch_checkpoint
from roftmol.statistics.resampled import above_zero
from roftmol.tasks import TASKS
from roftmol.tasks.classification import roc_auc
from roftmol.tasks.regression import rmse

ALPHA = 0.05
LABELS = (40, 80)
DRAWS = 10
FOLDS = 5
#: Parts after which is asked.
PARTS = (5, 10, 25)
#: Molecules of a set, from which labels are drawn.
POOL = 500
REGRESSIONS = (
    *("lipophilicity_astrazeneca", "caco2_wang", "ppbr_az", "vdss_lombardo", "half_life_obach"),
    *("clearance_hepatocyte_az", "clearance_microsome_az", "ld50_zhu", "solubility_aqsoldb"),
)
CLASSIFICATIONS = (
    *("herg", "bbb_martins", "dili", "bioavailability_ma", "hia_hou", "pgp_broccatelli"),
    *("cyp2d6_substrate_carbonmangels", "cyp3a4_substrate_carbonmangels", "ames"),
)
#: The classes of the truth, by their lower ends.
TRUTHS = (-np.inf, 0.0, 0.1, 0.2, 0.3, 0.5)

Array = NDArray[np.float64]


def main() -> None:
    """Print a table a kind of task: the share of draws in which labels are called predictable."""
    folder = mirror()
    if folder is None:
        raise SystemExit("error: ROFTMOL_MIRROR names no folder of the usual files.")
    encoder = _encoder()
    for task, names in (("regression", REGRESSIONS), ("classification", CLASSIFICATIONS)):
        rows = [
            {"labels": labels, **row}
            for name in names
            for labels in LABELS
            for row in draws(Path(folder) / f"datasets/tdc_admet_official/{name}/train_val.csv", task, labels, encoder)
        ]
        table = pd.DataFrame(rows)
        table["truth"] = pd.cut(table["truth"], [*TRUTHS, np.inf])
        found = table.groupby(["labels", "truth"], observed=True)
        print(f"\n{task}\n\n{found.mean().round(2).assign(draws=found.size()).to_markdown()}", flush=True)


def draws(path: Path, task: str, labels: int, encoder: Encoder) -> Iterator[dict[str, float]]:
    """Yield of each draw the truth, and whether so many parts find it."""
    frame = pd.read_csv(path).dropna(subset=["Y"]).drop_duplicates("Drug")
    frame = frame[[Chem.MolFromSmiles(smiles) is not None for smiles in frame["Drug"]]]
    frame = frame.sample(min(len(frame), POOL), random_state=1)
    head = METHODS[HYBRID]
    inputs = Reader(head.reads, encoder, "hu").inputs(frame["Drug"].tolist())
    y = frame["Y"].to_numpy(np.float32)
    rng = generator("power", path.parent.name, labels)
    for _ in range(DRAWS):
        order = rng.permutation(len(y))
        drawn, others = order[:labels], order[labels:]
        if TASKS[task].classes and min(np.bincount(y[drawn].astype(int), minlength=2)) < 10:
            continue  # is refused
        gains: list[float] = []
        found: dict[str, float] = {}
        while len(gains) < max(PARTS):
            part = stratified_folds(y[drawn, None], np.arange(labels), path.parent.name, FOLDS, task, rng)
            gains += [gain(task, *scores(inputs, y, task, drawn[part != k], drawn[part == k])) for k in range(FOLDS)]
            if len(gains) in PARTS:
                p = float(above_zero(pd.DataFrame({"default": gains}), TEST_SHARE)["default"])
                found[f"{len(gains)} parts"] = p < ALPHA / 2
        head, constant = scores(inputs, y, task, drawn, others)
        yield {"truth": head - constant if TASKS[task].classes else 1 - (head / constant) ** 2, **found}


def scores(inputs: Inputs, y: NDArray[np.float32], task: str, train: Array, test: Array) -> tuple[float, float]:
    """Return what the head and the constant, fitted on some molecules, score on others: ROC-AUC, or RMSE."""
    kind = METHODS[HYBRID].head
    assert kind
    predicted = kind().fit(inputs[train], y[train, None], TASKS[task], 0).predict(inputs[test]).mean[:, 0]
    if TASKS[task].classes:
        return roc_auc(y[test], predicted), 0.5
    return rmse(y[test], predicted), rmse(y[test], y[train].mean())


def gain(task: str, head: float, constant: float) -> float:
    """Return how much better the head's score is."""
    return head - constant if TASKS[task].classes else constant - head


def _encoder() -> Encoder:
    with TemporaryDirectory() as folder:
        weights = Path(folder) / "gin-distilled.safetensors"
        record = catalog.checkpoints()["gin-distilled"].to_dict()
        fetch_checkpoint.run(record, archives=Path(folder), out=weights)
        return load_encoder(weights, 0.0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with rdBase.BlockLogs():
        main()
