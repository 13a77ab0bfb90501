"""Compare heads, references and frozen encoders: the tables of the weights' cards and of docs/results.

    ROFTMOL_MIRROR=... PYTHONPATH=workflow python benchmarks/encoders.py out.csv NAME=results/checkpoints/X.safetensors

Every encoder's vectors (pooled and summed) are read by the heads `ridge` and `kernel`, and beside Morgan counts and
RDKit's descriptors by `hybrid`; `classical` and the forest `descriptors` read the latter two only. `fingerprint` is the
baseline as a bundle holds it, an ensemble of five with its grid. The sets are those of `SETS`, from the mirror, up to
`MOLECULES` molecules each, or five times the labels; `--labels` of them teach and the others test, drawn anew
`--resamplings` times, the same for all. A gain is a mean over a set's resamplings, its interval a bootstrap over sets.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rdkit import Chem, rdBase

from roftmol.core.seeds import generator
from roftmol.data.download import mirror
from roftmol.deploy.ensemble import EnsembleSettings, References
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import featurize
from roftmol.features.descriptors import descriptors
from roftmol.features.fingerprints import morgan_counts
from roftmol.features.inputs import Inputs
from roftmol.methods import METHODS
from roftmol.methods.fingerprint import GRID
from roftmol.scoring import metrics
from roftmol.tasks import TASKS
from roftmol.training.vectors import vectors

MOLECULES = 600
#: Sets with fewer molecules to test are left out.
TEST = 100
#: Classes with fewer training molecules than this are no test of a model; the resampling is left out.
FEWEST = 5


@dataclass(frozen=True)
class Set:
    """Where a set lies in the mirror, its columns, and whether labels are classes or logarithms are taken."""

    files: tuple[str, ...]
    smiles: str = "Drug"
    label: str = "Y"
    classes: bool = False
    logarithm: bool = False


def _tdc(name: str, *, classes: bool = False, logarithm: bool = False) -> Set:
    files = tuple(f"datasets/tdc_admet_official/{name}/{part}.csv" for part in ("train_val", "test"))
    return Set(files, classes=classes, logarithm=logarithm)


#: TDC's ADMET group, but its Lipophilicity and BBB, which are Lipo and nearly BBBP; and five of MoleculeNet.
SETS = {
    "esol": Set(("datasets/delaney-processed.csv",), "smiles", "measured log solubility in mols per litre"),
    "freesolv": Set(("datasets/SAMPL.csv",), "smiles", "expt"),
    "lipo": Set(("datasets/Lipophilicity.csv",), "smiles", "exp"),
    "bbbp": Set(("datasets/BBBP.csv",), "smiles", "p_np", classes=True),
    "bace": Set(("datasets/bace.csv.gz",), "mol", "Class", classes=True),
    **{name: _tdc(name) for name in ("caco2_wang", "ld50_zhu", "ppbr_az", "solubility_aqsoldb")},
    **{
        name: _tdc(name, logarithm=True)
        for name in ("clearance_hepatocyte_az", "clearance_microsome_az", "half_life_obach", "vdss_lombardo")
    },
    **{
        name: _tdc(name, classes=True)
        for name in (
            "ames",
            "bioavailability_ma",
            "cyp2c9_substrate_carbonmangels",
            "cyp2c9_veith",
            "cyp2d6_substrate_carbonmangels",
            "cyp2d6_veith",
            "cyp3a4_substrate_carbonmangels",
            "cyp3a4_veith",
            "dili",
            "herg",
            "hia_hou",
            "pgp_broccatelli",
        )
    },
}


def usable(smiles: str) -> str:
    """Return the canonical SMILES of a molecule that every model can read, or "" for one that some cannot."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    fits = molecule is not None and 1 < molecule.GetNumAtoms() <= 100 and molecule.GetNumBonds() > 0
    return Chem.MolToSmiles(molecule) if fits else ""


def read(name: str, folder: Path, molecules_at_most: int) -> tuple[list[str], np.ndarray]:
    """Return the SMILES and labels of so many different molecules of a set, drawn at random."""
    of = SETS[name]
    table = pd.concat([pd.read_csv(folder / file) for file in of.files])
    table = table[[of.smiles, of.label]].assign(canonical=[usable(text) for text in table[of.smiles]])
    table = table[table["canonical"] != ""].dropna(subset=[of.label]).drop_duplicates("canonical")
    table = table.iloc[generator("encoders", name).permutation(len(table))[:molecules_at_most]]
    y = table[of.label].to_numpy(float)
    return table["canonical"].tolist(), np.log10(np.maximum(y, 1e-3)) if of.logarithm else y


def vectors_of(checkpoint: Path, smiles: list[str]) -> np.ndarray:
    """Return molecules' vectors under a frozen encoder, pooled and summed."""
    encoder = load_encoder(checkpoint, 0.0)
    form = "minimol" if type(encoder).__name__ == "MiniMol" else "hu"
    graphs = featurize.from_smiles(smiles, np.zeros((len(smiles), 0), np.float32), name=form)
    return vectors(encoder, graphs, np.arange(len(smiles)))


def runs(
    name: str, folder: Path, encoders: dict[str, Path], labels: int, resamplings: int
) -> Iterator[dict[str, object]]:
    """Yield a row a model and resampling of one set: its score is a test RMSE or ROC-AUC."""
    smiles, y = read(name, folder, max(MOLECULES, 5 * labels))
    if len(y) < labels + TEST:
        return
    task = TASKS["classification" if SETS[name].classes else "regression"]
    counts, described = morgan_counts(smiles), descriptors(smiles)
    models = {"classical": Inputs(len(y), counts, described), "descriptors": Inputs(len(y), counts, described)}
    for encoder, path in encoders.items():
        V = vectors_of(path, smiles)
        models |= {f"{head} {encoder}": Inputs(len(y), vectors=V) for head in ("ridge", "kernel")}
        models[f"hybrid {encoder}"] = Inputs(len(y), counts, described, V)
    # Molecules are different ones, so none has to stay with another.
    fingerprint = References(counts, y.astype(np.float32), np.arange(len(y)))
    grid = tuple(asdict(setting) for setting in GRID)
    for resampling in range(resamplings):
        order = generator("encoders", name, labels, resampling).permutation(len(y))
        train, test = order[:labels], order[labels:]
        if task.classes and np.bincount(y[train].astype(int), minlength=2).min() < FEWEST:
            continue
        predicted: dict[str, np.ndarray] = {}
        seconds: dict[str, float] = {}
        for model, inputs in models.items():
            start = time.process_time()
            head = METHODS[model.split()[0]].head
            assert head
            fitted = head().fit(inputs[train], y[train, None], task, resampling)
            seconds[model] = time.process_time() - start
            predicted[model] = fitted.predict(inputs[test]).mean[:, 0]
        start = time.process_time()
        settings = EnsembleSettings("fingerprint", grid, task.name, task.primary.name, seed=resampling)
        ensemble = fingerprint.fit(np.sort(train), settings)
        seconds["fingerprint"] = time.process_time() - start
        predicted["fingerprint"] = fingerprint.outputs(ensemble, test, settings).mean
        for model, p in predicted.items():
            score = metrics.primary(task.primary.name, y[test, None], p[:, None])
            row = {"set": name, "classes": task.classes, "resampling": resampling, "model": model}
            yield {**row, "score": score, "seconds": seconds[model]}


def gains(table: pd.DataFrame, model: str, reference: str) -> str:
    """Return a line of a Markdown table: what a model gains over a reference, in RMSE (%) and ROC-AUC."""
    wide = table.pivot(index=["classes", "set", "resampling"], columns="model", values="score")
    cells = []
    for classes in (False, True):
        pair = wide.loc[classes][[model, reference]]
        if classes:
            each = (pair[model] - pair[reference]).groupby("set").mean().to_numpy()
            better, show = each > 0, lambda value: f"{value:+.3f}"
        else:
            each = np.log(pair[model] / pair[reference]).groupby("set").mean().to_numpy()
            better, show = each < 0, lambda value: f"{100 * np.expm1(value):+.1f}%"
        rng = generator("encoders bootstrap", model, reference, classes)
        drawn = rng.choice(each, (10_000, len(each))).mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        cells += [f"{better.sum()} of {len(each)}", f"{show(each.mean())} ({show(low)} to {show(high)})"]
    return f"| {model} | {reference} | {' | '.join(cells)} |"


def main() -> None:
    """Run all sets, write every score, and print each model's gains over `classical` and over the first encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("encoders", nargs="+", help="NAME=results/checkpoints/NAME.safetensors")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--resamplings", type=int, default=10)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    given = parser.parse_args()
    folder = mirror()
    if folder is None:
        parser.error("set ROFTMOL_MIRROR to the folder of registered files")
    torch.set_num_threads(1)
    encoders = {name: Path(path) for name, _, path in (text.partition("=") for text in given.encoders)}
    rows = []
    for name in given.sets:
        rows += list(runs(name, folder, encoders, given.labels, given.resamplings))
        print(name, flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(given.out, index=False)
    print("| model | against | RMSE better | RMSE | ROC-AUC better | ROC-AUC |\n|---|---|---|---|---|---|")
    models = list(dict.fromkeys(table["model"]))
    for reference in ("fingerprint", "descriptors", "classical"):
        for model in models:
            if model != reference:
                print(gains(table, model, reference))
    first, *others = encoders
    for head, name in product(("ridge", "kernel", "hybrid"), others):
        print(gains(table, f"{head} {first}", f"{head} {name}"))
    print("\n| model | CPU seconds a fit |\n|---|---|")
    for model, median in table.groupby("model", sort=False)["seconds"].median().items():
        print(f"| {model} | {median:.3f} |")


if __name__ == "__main__":
    main()
