"""A task type is one file and one line: the sketch of CONTRIBUTING.md, added so to a copy of the package, and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINE, END = "from roftmol.tasks.counts import TASK as _COUNTS\n", "# isort: on\n"
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

# A file of counts: the heavy atoms of each molecule.
sizes = np.round(np.exp(labels_of_size()[:, 0].astype(float)))
pd.DataFrame({"smiles": SMILES, "size": sizes.astype(int)}).to_csv(place / "sizes.csv", index=False)
own = {"path": str(place / "sizes.csv"), "smiles": "smiles", "labels": ["size"], "task": "counts"}
planned = experiment({"own_datasets": {"sizes": own}, "datasets": ["sizes"]})
dataset = planned.datasets["sizes"]
assert (dataset.task, dataset.metric) == ("counts", "poisson_deviance")

kept, rejects, tasks = molecules.read(place / "sizes.csv", dataset, max_rejected=0.0)
assert tasks["mean"].item() == pytest.approx(sizes.mean())
(place / "wrong.csv").write_text("smiles,size\\nC,1.5\\n")
with pytest.raises(UserError, match="'1.5' is not a whole number from 0 on"):
    molecules.read(place / "wrong.csv", dataset, max_rejected=0.0)
for name, table in {"molecules": kept, "rejects": rejects, "tasks": tasks}.items():
    schemas.write(name, table, data / f"{name}.parquet")
data.joinpath("graphs").mkdir()
graphs = featurize.featurize(kept)
graphs.save(data / "graphs" / "hu.safetensors")

# The loss of the model: it is least where the output is the logarithm of the count.
labels = torch.from_numpy(graphs.labels)
output = labels.log().requires_grad_()
loss = task_loss(output, labels, "counts")
loss.backward()
assert output.grad.abs().max() < 1e-6
assert loss.item() == pytest.approx(np.mean(sizes - sizes * np.log(sizes)), rel=1e-5)

# Splits, fits, mixtures, references.
seeds = (0, 1)
asked = splits.SplitSettings("honest", "sizes", "random", "all", seeds, "counts")
file = results / "splits" / "honest" / "sizes" / "random-all.parquet"
schemas.write("splits", splits.assign(kept, asked), file, asked)
torch.manual_seed(0)
architecture = {"kind": "gin", "layers": 2, "width": 16}
torch.save(new_encoder(architecture).state_dict(), place / "raw.pth")
encoder = place / "encoder.safetensors"
convert(place / "raw.pth", architecture, encoder, name="tiny")
common = {
    **{"protocol": "honest", "dataset": "sizes", "split": "random", "budget": "all"},
    **{"seeds": seeds, "task": "counts", "metric": "poisson_deviance"},
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

# Tables: the score of the selected runs is that of their predictions.
aggregate(list(runs.values()), [data], "validation", tables)
diagnose(DiagnosticsSettings(), tables, results, tables)
statistics.build(tables, tables, 100)
predictions = schemas.read("predictions", tables / "predictions.parquet")
selected = schemas.read("selected", tables / "selected.parquet").set_index(["method", "seed"])["test_value"]
assert selected.notna().all()
tested = predictions[predictions["partition"] == "test"]
for key, rows in tested.groupby(["method", "seed"]):
    p, y = rows["prediction"].str[0].to_numpy(np.float64), sizes[rows["molecule"]]
    p = np.maximum(p, 1e-3)
    assert selected[key] == pytest.approx(2 * np.mean(y * np.log(y / p) - y + p), rel=1e-3), key
comparisons = schemas.read("comparisons", tables / "comparisons.parquet")
assert set(comparisons["metric"]) == {"poisson_deviance"}
assert set(comparisons["scale"]) == {"relative"}
"""


def test_counts_run_from_a_file_to_tables(tmp_path: Path):
    copy = tmp_path / "workflow"
    shutil.copytree(ROOT / "workflow", copy, ignore=shutil.ignore_patterns("__pycache__"))
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## A task type of another kind")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    folder = copy / "roftmol" / "tasks"
    (folder / "counts.py").write_text(code)
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
