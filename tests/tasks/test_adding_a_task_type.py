"""A task type is one file and one line: the sketch of CONTRIBUTING.md, added so to a copy of the package, and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINE, END = "from roftmol.tasks.censored import TASK as _CENSORED\n", "# isort: on\n"
#: From a user's file to tables, in the folder `argv[1]`; that of the copy's code is first on the path.
FLOW = """
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_dataset import SMILES, labels_of_size

from roftmol.core.errors import UserError
from roftmol.data import molecules, splits
from roftmol.encoders.checkpoints import convert
from roftmol.encoders.kinds import new_encoder
from roftmol.evaluation.aggregate import aggregate
from roftmol.evaluation.diagnostics.stage import DiagnosticsSettings, diagnose
from roftmol.experiment.config import experiment
from roftmol.features import featurize
from roftmol.statistics import stage as statistics
from roftmol.tables import schemas
from roftmol.training import jobs, learners
from roftmol.training.fit import TrainSettings
from roftmol.training.model import task_loss

place = Path(sys.argv[1])
results, tables = place / "results", place / "tables"
data, cell = results / "data" / "sizes", "honest/{}/sizes/random-all"

# A file with bounds, which are right: logarithms of numbers of atoms below 1.5 and above 2.5 are told as such.
sizes = labels_of_size()[:, 0].astype(float)
texts = ["<1.5" if size < 1.5 else ">2.5" if size > 2.5 else f"{size:.4f}" for size in sizes]
assert {text[0] for text in texts} == {"<", ">", "1", "2"}
bound = np.array([text[0] in "<>" for text in texts])
pd.DataFrame({"smiles": SMILES, "size": texts}).to_csv(place / "sizes.csv", index=False)
own = {"path": str(place / "sizes.csv"), "smiles": "smiles", "labels": ["size"], "task": "censored"}
planned = experiment({"own_datasets": {"sizes": own}, "datasets": ["sizes"]})
dataset = planned.datasets["sizes"]
assert (dataset.task, dataset.metric) == ("censored", "censored_rmse")

# Molecules: each bound is a label, and no value.
kept, rejects, tasks = molecules.read(place / "sizes.csv", dataset, max_rejected=0.0)
assert tasks["labelled"].tolist() == [len(SMILES)]
assert tasks["mean"].item() == pytest.approx(np.round(sizes[~bound], 4).mean())
(place / "wrong.csv").write_text("smiles,size\\nC,5<\\n")
with pytest.raises(UserError, match="'5<' is not a number, or one behind < or >"):
    molecules.read(place / "wrong.csv", dataset, max_rejected=0.0)
for name, table in {"molecules": kept, "rejects": rejects, "tasks": tasks}.items():
    schemas.write(name, table, data / f"{name}.parquet")
data.joinpath("graphs").mkdir()
graphs = featurize.featurize(kept)
graphs.save(data / "graphs" / "hu.safetensors")

# The loss of the model: a prediction on the right side of a bound costs nothing, and has no gradient.
labels = torch.from_numpy(graphs.labels)
output = torch.full_like(labels, 3.0, requires_grad=True)
loss = task_loss(output, labels, "censored")
loss.backward()
gaps = np.where(np.array(texts) >= "<", np.where(sizes < 1.5, 1.5, 0.5), 3 - np.round(sizes, 4))
gaps[np.array([text[0] == ">" for text in texts])] = 0.0
assert loss.item() == pytest.approx(np.mean(gaps**2), rel=1e-3)
assert (output.grad[:, 0].numpy() == 0).tolist() == [text[0] == ">" for text in texts]

# Splits, fits, mixtures, references.
seeds = (0, 1)
asked = splits.SplitSettings("honest", "sizes", "random", "all", seeds, "censored")
file = results / "splits" / "honest" / "sizes" / "random-all.parquet"
schemas.write("splits", splits.assign(kept, asked), file, asked)
torch.manual_seed(0)
architecture = {"kind": "gin", "layers": 2, "width": 16}
torch.save(new_encoder(architecture).state_dict(), place / "raw.pth")
encoder = place / "encoder.safetensors"
convert(place / "raw.pth", architecture, encoder, name="tiny")
common = {
    **{"protocol": "honest", "dataset": "sizes", "split": "random", "budget": "all"},
    **{"seeds": seeds, "task": "censored", "metric": "censored_rmse"},
}
training = {"model": "tiny", "training": TrainSettings(epochs=3, batch_size=8), "device": "cpu"}
runs = {name: results / "runs" / cell.format("tiny") / name for name in ("full_ft", "dwise_ft")}
inputs = (data / "graphs" / "hu.safetensors", file, encoder)
jobs.finetune(jobs.RunSettings(**common, **training, method="full_ft", grid=({},)), *inputs, runs["full_ft"])
mixture = jobs.RunSettings(**common, **training, method="dwise_ft", grid=({"start": 0.5},))
jobs.interpolate(mixture, *inputs, runs["full_ft"], runs["dwise_ft"])
for name, model, grid in (("fingerprint", "morgan", {"learner": "linear"}), ("constant", "none", {})):
    runs[name] = results / "runs" / cell.format(model) / name
    learners.run(learners.LearnerSettings(**common, method=name, grid=(grid,)), data, file, runs[name])
for run in runs.values():
    assert set(schemas.read("fits", run / "fits.parquet")["status"]) == {"ok"}, run

# Tables: the score of the selected runs is that of their predictions, bounds and all.
aggregate(list(runs.values()), [data], "validation", tables)
diagnose(DiagnosticsSettings(), tables, results, tables)
statistics.build(tables, tables, 100)
predictions = schemas.read("predictions", tables / "predictions.parquet")
selected = schemas.read("selected", tables / "selected.parquet").set_index(["method", "seed"])["test_value"]
assert selected.notna().all()
tested = predictions[predictions["partition"] == "test"]
for key, rows in tested.groupby(["method", "seed"]):
    p, text = rows["prediction"].str[0].to_numpy(), np.array(texts)[rows["molecule"]]
    number = np.array([float(each.lstrip("<>")) for each in text])
    gap = p - number
    gap[(np.char.startswith(text, "<") & (gap < 0)) | (np.char.startswith(text, ">") & (gap > 0))] = 0.0
    assert selected[key] == pytest.approx(np.sqrt(np.mean(gap**2)), rel=1e-3), key
learnt = schemas.read("splits", file)
learnt = learnt[(learnt["seed"] == 0) & learnt["role"].isin(["train", "valid"])]["molecule"].to_numpy()
constant = tested[(tested["method"] == "constant") & (tested["seed"] == 0)]["prediction"].str[0]
assert constant.to_numpy() == pytest.approx(np.round(sizes, 4)[learnt[~bound[learnt]]].mean(), rel=1e-4)
comparisons = schemas.read("comparisons", tables / "comparisons.parquet")
assert set(comparisons["metric"]) == {"censored_rmse"}
assert set(comparisons["scale"]) == {"relative"}
"""


def test_censored_regression_runs_from_a_file_to_tables(tmp_path: Path):
    copy = tmp_path / "workflow"
    shutil.copytree(ROOT / "workflow", copy, ignore=shutil.ignore_patterns("__pycache__"))
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## A task type of another kind")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    folder = copy / "roftmol" / "tasks"
    (folder / "censored.py").write_text(code)
    table = folder / "__init__.py"
    assert table.read_text().count(END) == 1
    table.write_text(table.read_text().replace(END, LINE + END))
    path = os.pathsep.join(map(str, [copy, ROOT / "tests" / "helpers"]))
    (tmp_path / "flow").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", FLOW, str(tmp_path / "flow")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
