"""Compare frozen encoders by what they add to a head in closed form: the tables of the weights' cards.

    ROFTMOL_MIRROR=... PYTHONPATH=workflow python benchmarks/encoders.py out.csv NAME=results/checkpoints/X.safetensors

Every encoder's vectors (pooled and summed) are read by the kernel head alone (`kernel`), and beside Morgan counts and
RDKit's descriptors (`hybrid`); `classical` reads the latter two only. The sets are those of `SETS`, from the mirror, up
to `MOLECULES` molecules each; `--labels` of them teach and the others test, drawn anew `--resamplings` times, the same
for all. A gain is a mean over a set's resamplings, its interval a bootstrap over sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rdkit import Chem, rdBase

from roftmol.core.seeds import generator
from roftmol.data.download import mirror
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import featurize
from roftmol.features.descriptors import descriptors
from roftmol.features.fingerprints import morgan_counts
from roftmol.features.inputs import Inputs
from roftmol.heads import kernel_head
from roftmol.tasks.classification import roc_auc
from roftmol.training.vectors import vectors

MOLECULES = 600
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


def read(name: str, folder: Path) -> tuple[list[str], np.ndarray]:
    """Return the SMILES and labels of up to `MOLECULES` different molecules of a set, drawn at random."""
    of = SETS[name]
    table = pd.concat([pd.read_csv(folder / file) for file in of.files])
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(text) for text in table[of.smiles]]
    usable = [bool(one) and 1 < one.GetNumAtoms() <= 100 and one.GetNumBonds() > 0 for one in molecules]
    canonical = [Chem.MolToSmiles(one) if one else "" for one in molecules]
    table = table[[of.smiles, of.label]].assign(canonical=canonical)[usable]
    table = table.dropna(subset=[of.label]).drop_duplicates("canonical")
    table = table.iloc[generator("encoders", name).permutation(len(table))[:MOLECULES]]
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
    smiles, y = read(name, folder)
    classes = SETS[name].classes
    classical = Inputs(len(y), morgan_counts(smiles), descriptors(smiles))
    models = {"classical": classical}
    for encoder, path in encoders.items():
        V = vectors_of(path, smiles)
        models[f"kernel {encoder}"] = Inputs(len(y), vectors=V)
        models[f"hybrid {encoder}"] = Inputs(len(y), classical.counts, classical.descriptors, V)
    for resampling in range(resamplings):
        order = generator("encoders", name, labels, resampling).permutation(len(y))
        train, test = order[:labels], order[labels:]
        if classes and np.bincount(y[train].astype(int), minlength=2).min() < FEWEST:
            continue
        for model, inputs in models.items():
            head = kernel_head.fit(inputs[train], y[train, None], classes=classes, unknown=0.5, seed=resampling)
            p = head.predict(inputs[test]).mean[:, 0]
            score = roc_auc(y[test], p) if classes else float(np.sqrt(np.mean((p - y[test]) ** 2)))
            yield {"set": name, "classes": classes, "resampling": resampling, "model": model, "score": score}


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
    first, *others = encoders
    print("| model | against | RMSE better | RMSE | ROC-AUC better | ROC-AUC |\n|---|---|---|---|---|---|")
    for head in ("kernel", "hybrid"):
        for name in encoders:
            print(gains(table, f"{head} {name}", "classical"))
        for name in others:
            print(gains(table, f"{head} {first}", f"{head} {name}"))


if __name__ == "__main__":
    main()
