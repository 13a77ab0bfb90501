"""Results folders as the workflow leaves them, made by the stages themselves from real molecules in some seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rdkit import Chem
from rdkit.Chem import Crippen
from safetensors.numpy import load_file, save_file

from molecule_tables import SMILES, molecule_table
from roftmol.data import splits
from roftmol.encoders.checkpoints import convert
from roftmol.encoders.kinds import new_encoder
from roftmol.evaluation import provenance
from roftmol.features import featurize
from roftmol.methods import WITHOUT_ENCODER
from roftmol.sharing import merge
from roftmol.tables import schemas
from roftmol.training import jobs, joint, landscape, learners
from roftmol.training.fit import TrainSettings

MODEL, SPLIT, BUDGET = "tiny", "random", "30"
TRAINING = TrainSettings(epochs=2, batch_size=16)
#: Every kind of run: trained, swept, mixed by learnt coefficients, of a panel (of one dataset), and the references.
METHODS: dict[str, tuple[dict[str, Any], ...]] = {
    "full_ft": ({},),
    "l2_sp": ({"lam": 0.1}, {"lam": 0.001}),
    "wise_ft": ({"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0}),
    "dwise_ft": ({"start": 0.9},),  # of which one seed has a plane
    "joint_ft": ({"weighting": "equal"},),
    "fingerprint": ({"learner": "linear", "alpha": 1.0},),
    "constant": ({},),
}
#: Columns that say when something was made and how long it took.
TIMES = ("started", "wall_seconds", "cpu_seconds", "peak_memory_mb")


def make(
    results: Path,
    seeds: tuple[int, ...] = (0,),
    *,
    dataset: str = "own",
    methods: tuple[str, ...] = tuple(METHODS),
    training: TrainSettings = TRAINING,
) -> Path:
    """A results folder with the stages' files: no tables, figures or report yet."""
    data, split = results / "data" / dataset, results / f"splits/honest/{dataset}/{SPLIT}-{BUDGET}.parquet"
    smiles = SMILES[20:70]
    values = np.array([[Crippen.MolLogP(Chem.MolFromSmiles(text))] for text in smiles])
    table = molecule_table(smiles, values, dataset=dataset)
    data.mkdir(parents=True)
    pd.DataFrame({"smiles": smiles, "logP": values[:, 0]}).to_csv(data / "source", index=False)
    schemas.write("molecules", table, data / "molecules.parquet", source=data / "source")
    schemas.write("rejects", schemas.empty("rejects"), data / "rejects.parquet")
    task = {"dataset": dataset, "task": 0, "name": "logP", "kind": "regression", "labelled": len(smiles)}
    task |= {"positives": None, "mean": values.mean(), "std": values.std(), "lower_limits": 0, "upper_limits": 0}
    schemas.write("tasks", pd.DataFrame([task]), data / "tasks.parquet")
    features = data / "graphs" / "hu.safetensors"
    featurize.featurize(table, "hu", 1).save(features)
    about = splits.SplitSettings("honest", dataset, SPLIT, BUDGET, seeds, "regression")
    schemas.write("splits", splits.assign(table, about), split)
    checkpoint = results / "checkpoints" / f"{MODEL}.safetensors"
    write_checkpoint(checkpoint)
    known = {
        "pretraining": "self-supervised",
        "corpora": ["made"],
        "learnt": [],
        "checkable": ["made"],
        "suspected": [],
    }
    models = provenance.table(provenance.ProvenanceSettings({MODEL: known}, ()), checkpoint.parent)
    schemas.write("models", models, results / "provenance/models.parquet")
    hits = pd.DataFrame({"dataset": dataset, "corpus": "made", "molecule": range(0, len(smiles), 3)})
    schemas.write("hits", hits, results / f"overlaps/{dataset}/made.parquet")

    cell = {"protocol": "honest", "dataset": dataset, "split": SPLIT, "budget": BUDGET, "seeds": seeds}
    cell |= {"task": "regression", "metric": "rmse"}
    folder = results / f"runs/honest/{MODEL}/{dataset}/{SPLIT}-{BUDGET}"
    for name in methods:
        if name in WITHOUT_ENCODER:
            settings = learners.LearnerSettings(**cell, method=name, grid=METHODS[name])
            learners.run(settings, data, split, run_of(results, name, dataset))
            continue
        own = {"model": MODEL, "method": name, "grid": METHODS[name], "training": training, "device": "cpu"}
        told, source = jobs.RunSettings(**cell, **own), folder / "full_ft"
        if name in ("wise_ft", "dwise_ft"):
            jobs.interpolate(told, features, split, checkpoint, source, folder / name)
        elif name == "joint_ft":
            told = replace(told, panel="alone", together=(dataset,))
            fits = results / f"panels/honest/{MODEL}/alone/{SPLIT}-{BUDGET}/{name}"
            joint.train_panel(joint.JointSettings("hu", (told,)), results, checkpoint, fits)
            joint.share(told, split, fits, folder / name)
        else:
            jobs.finetune(told, features, split, checkpoint, folder / name)
    if "dwise_ft" in methods:
        asked = landscape.LandscapeSettings(**cell, model=MODEL, plane=True, device="cpu")
        out = results / f"landscapes/honest/{MODEL}/{dataset}/{SPLIT}-{BUDGET}"
        landscape.landscape(asked, features, split, checkpoint, folder, out)
    return results


def made(results: Path, seeds: tuple[int, ...] = (0,), **settings: Any) -> Path:
    """A results folder with everything in it that is read again: all but figures and report."""
    make(results, seeds, **settings)
    merge.tabulate(results, "validation")
    return results


def run_of(results: Path, method: str, dataset: str = "own") -> Path:
    """The folder of a method's runs."""
    return results / f"runs/honest/{WITHOUT_ENCODER.get(method, MODEL)}/{dataset}/{SPLIT}-{BUDGET}/{method}"


def write_checkpoint(path: Path) -> None:
    """The weights of a small untrained encoder."""
    architecture = {"kind": "gin", "layers": 2, "width": 16}
    torch.manual_seed(0)
    raw = path.with_suffix(".pth")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(new_encoder(architecture).state_dict(), raw)
    convert(raw, architecture, path, name=MODEL)
    raw.unlink()


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def edit(file: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change a table where it lies, as somebody would who knows its format."""
    marks = schemas.marks(file)
    name = marks["roftmol.table"]
    source = file.parent / "source" if "roftmol.source" in marks else None
    schemas.write(name, change(schemas.read(name, file)), file, source=source)


def set_value(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A change of one value of a table."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].tolist()
        values[row] = value
        return table.assign(**{column: values})

    return change


def edit_weights(file: Path) -> None:
    """Another value in a file of weights, its metadata lost."""
    tensors = load_file(file)
    name = next(iter(sorted(tensors)))
    tensors[name] = tensors[name] + 1
    save_file(tensors, file)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
