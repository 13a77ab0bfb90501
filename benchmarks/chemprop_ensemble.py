"""Fit an ensemble of chemprop on a folder's train.csv and predict its test.csv: for `unseen.py`, which starts it.

    python chemprop_ensemble.py FOLDER [--classes] [--seed N]

It runs in an environment of its own, with chemprop 2.3.1. Five models of chemprop's defaults, which differ in their
seed, are trained for 30 epochs each; a tenth of the labels, another for each model, picks the epoch.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from chemprop import data, models, nn
from lightning import pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint

MEMBERS, EPOCHS, VALIDATED = 5, 30, 0.1


def member(train: list, classes: bool, seed: int, test: data.MoleculeDataset, folder: str) -> np.ndarray:
    """Return one model's predictions of the test molecules."""
    pl.seed_everything(seed)
    order = np.random.default_rng(seed).permutation(len(train))
    cut = round(VALIDATED * len(train))
    valid_set = data.MoleculeDataset([train[i] for i in order[:cut]])
    train_set = data.MoleculeDataset([train[i] for i in order[cut:]])
    if classes:
        head = nn.BinaryClassificationFFN()
    else:
        scaler = train_set.normalize_targets()
        valid_set.normalize_targets(scaler)
        head = nn.RegressionFFN(output_transform=nn.UnscaleTransform.from_standard_scaler(scaler))
    network = models.MPNN(nn.BondMessagePassing(), nn.NormAggregation(), head)
    best = ModelCheckpoint(folder, f"best-{seed}", monitor="val_loss", mode="min")
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        callbacks=[best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        devices=1,
    )
    loaders = [data.build_dataloader(part, shuffle=part is train_set) for part in (train_set, valid_set)]
    trainer.fit(network, *loaders)
    network = models.MPNN.load_from_checkpoint(best.best_model_path)
    batches = trainer.predict(network, data.build_dataloader(test, shuffle=False))
    return torch.cat(batches).numpy().ravel()


def main() -> None:
    """Fit the ensemble and write predicted.csv: the mean prediction, and the CPU seconds of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    table = pd.read_csv(given.folder / "train.csv")
    labelled = zip(table["smiles"], table["y"], strict=True)
    train = [data.MoleculeDatapoint.from_smi(smiles, [float(y)]) for smiles, y in labelled]
    smiles = pd.read_csv(given.folder / "test.csv")["smiles"]
    start = time.process_time()
    with TemporaryDirectory() as folder:
        seeds = [MEMBERS * given.seed + each for each in range(MEMBERS)]
        test = data.MoleculeDataset([data.MoleculeDatapoint.from_smi(text) for text in smiles])
        predictions = [member(train, given.classes, seed, test, folder) for seed in seeds]
    predicted = pd.DataFrame({"prediction": np.mean(predictions, 0), "seconds": time.process_time() - start})
    predicted.to_csv(given.folder / "predicted.csv", index=False)


if __name__ == "__main__":
    main()
