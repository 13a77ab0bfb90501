"""Compare the estimators on datasets that no choice of this project was made on, and with a chemprop ensemble.

    ROFTMOL_MIRROR=... PYTHONPATH=workflow python benchmarks/unseen.py unseen.csv --moleculeace MoleculeACE.whl \
        --chemprop VENV/bin/python

The sets are MoleculeACE's, out of its package archive, and the tasks of SIDER, Tox21 and ToxCast in which the rarer
class has a tenth of the labels. `--labels` of the molecules teach, up to `TEST` others test. Every model is fitted as a
user fits it: `RoftMolRegressor` and `RoftMolClassifier` on SMILES, and chemprop by `chemprop_ensemble.py`, in the
interpreter of an environment of its own. A fit that is done stands in the table and is not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from encoders import gains, usable
from roftmol import RoftMolClassifier, RoftMolRegressor
from roftmol.core.files import atomic
from roftmol.core.seeds import generator
from roftmol.data.download import mirror
from roftmol.evaluation.diagnostics.calibration import brier, ece, ece_by_chance, reliability
from roftmol.tasks.classification import roc_auc
from roftmol.tasks.regression import rmse

TEST = 300
RAREST = 0.1
#: Tasks of each file of several tasks, the first that have enough labels of both classes.
TASKS_OF_A_FILE = 12
#: Each model's method and encoder.
MODELS = {
    "hybrid minimol": ("auto", "minimol"),
    "hybrid gin-distilled": ("auto", "gin-distilled"),
    "classical": ("classical", "auto"),
    "descriptors": ("descriptors", "auto"),
    "fingerprint": ("fingerprint", "auto"),
}


def sets(folder: Path, moleculeace: Path) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """Yield each set's name, its table of `smiles` and `y`, and whether labels are classes."""
    with zipfile.ZipFile(moleculeace) as archive:
        for name in sorted(archive.namelist()):
            if "/benchmark_data/CHEMBL" in name and name.endswith(".csv"):
                with archive.open(name) as file:
                    yield Path(name).stem, pd.read_csv(file)[["smiles", "y"]], False
    for file in ("sider.csv", "tox21.csv", "toxcast_data.csv.gz"):
        table = pd.read_csv(folder / "datasets" / file)
        tasks = 0
        for column in table.columns.drop(["smiles", "mol_id"], errors="ignore"):
            labels = table[["smiles", column]].dropna().set_axis(["smiles", "y"], axis=1)
            share = labels["y"].mean()
            if len(labels) < 1000 or not RAREST <= share <= 1 - RAREST:
                continue
            yield f"{file.split('.')[0].split('_')[0]} {column}", labels, True
            tasks += 1
            if tasks == TASKS_OF_A_FILE:
                break


def different(table: pd.DataFrame) -> pd.DataFrame:
    """Return the different molecules that all models can read."""
    table = table.assign(smiles=[usable(text) for text in table["smiles"]])
    return table[table["smiles"] != ""].drop_duplicates("smiles", ignore_index=True)


def chemprop(
    python: Path, train: pd.DataFrame, test: pd.DataFrame, classes: bool, seed: int
) -> tuple[np.ndarray, float]:
    """Return the mean prediction of five chemprop models of 30 epochs, and the CPU seconds of their training."""
    with TemporaryDirectory() as folder:
        train.to_csv(Path(folder, "train.csv"), index=False)
        test[["smiles"]].to_csv(Path(folder, "test.csv"), index=False)
        script = Path(__file__).with_name("chemprop_ensemble.py")
        command = [str(python), str(script), folder, "--seed", str(seed)]
        subprocess.run(command + ["--classes"] * classes, check=True, capture_output=True, text=True)
        table = pd.read_csv(Path(folder, "predicted.csv"))
    return table["prediction"].to_numpy(), float(table["seconds"][0])


def fit_and_predict(
    model: str, train: pd.DataFrame, test: pd.DataFrame, classes: bool, seed: int, python: Path | None
) -> dict[str, float]:
    """Return a model's score on the test molecules, its CPU seconds, and how well calibrated it is."""
    y = test["y"].to_numpy(float)
    score = roc_auc if classes else rmse
    if model == "chemprop":
        assert python
        p, seconds = chemprop(python, train, test, classes, seed)
        return {"score": score(y, p), "seconds": seconds}
    method, encoder = MODELS[model]
    start = time.process_time()
    if classes:
        classifier = RoftMolClassifier(method, encoder, random_state=seed).fit(train["smiles"], train["y"].astype(int))
        seconds = time.process_time() - start
        p = classifier.predict_proba(test["smiles"])[:, 1]
        curve = reliability(y, p, np.arange(len(y)))
        return {
            "score": score(y, p),
            "seconds": seconds,
            "brier": brier(y, p),
            "brier_of_share": brier(y, np.full(len(y), train["y"].mean())),
            "ece": ece(curve),
            "ece_by_chance": ece_by_chance(p, curve),
        }
    regressor = RoftMolRegressor(method, encoder, random_state=seed).fit(train["smiles"], train["y"])
    seconds = time.process_time() - start
    low, high = regressor.predict_interval(test["smiles"]).T
    widths = high - low
    return {
        "score": score(y, regressor.predict(test["smiles"])),
        "seconds": seconds,
        "held": float(np.mean((low <= y) & (y <= high))),
        "spread": float(np.quantile(widths, 0.9) / np.quantile(widths, 0.1)),
    }


def main() -> None:
    """Run what is missing in the table, and print each model's gains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--moleculeace", type=Path, required=True)
    parser.add_argument("--chemprop", type=Path, help="the interpreter of an environment with chemprop")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="one set in so many, for models that take their time")
    given = parser.parse_args()
    folder = mirror()
    if folder is None:
        parser.error("set ROFTMOL_MIRROR to the folder of registered files")
    torch.set_num_threads(1)
    models = [*MODELS, *(["chemprop"] if given.chemprop else [])]
    rows = pd.read_csv(given.out).to_dict("records") if given.out.exists() else []
    done = {(row["set"], row["resampling"], row["model"]) for row in rows}
    every = [(name, different(table), classes) for name, table, classes in sets(folder, given.moleculeace)]
    for draw in range(given.draws):
        for name, table, classes in every[:: given.every]:
            order = generator("unseen", name, given.labels, draw).permutation(len(table))
            train, test = (table.iloc[part] for part in (order[: given.labels], order[given.labels :][:TEST]))
            if classes and min(train["y"].sum(), (1 - train["y"]).sum()) < 5:
                continue
            for model in models:
                if (name, draw, model) in done:
                    continue
                row = {"set": name, "classes": classes, "resampling": draw, "model": model}
                rows.append(row | fit_and_predict(model, train, test, classes, draw, given.chemprop))
            with atomic(given.out) as path:
                pd.DataFrame(rows).to_csv(path, index=False)
            print(draw, name, flush=True)
    table = pd.DataFrame(rows)
    if given.chemprop:  # the sets that it was fitted on
        table = table[table["set"].isin(table.loc[table["model"] == "chemprop", "set"])]
    print("| model | against | RMSE better | RMSE | ROC-AUC better | ROC-AUC |\n|---|---|---|---|---|---|")
    for reference in ("fingerprint", "classical", "descriptors", *(["chemprop"] if given.chemprop else [])):
        for model in models:
            if model != reference:
                print(gains(table, model, reference))
    columns = ["seconds", "held", "spread", "brier", "brier_of_share", "ece", "ece_by_chance"]
    print(table.groupby("model")[columns].mean().round(3).to_string())
    print(table[table["held"].notna()].groupby(["model", "set"])["held"].mean().groupby("model").describe().round(3))


if __name__ == "__main__":
    main()
