"""A user's own module in the workflow: trained, mixed, and run again where an edit touches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from own_models import EXAMPLE, GINE
from own_workspace import own_workspace
from roftmol.tables import schemas


def test_the_workflow_runs_it_and_runs_again_what_an_edit_touches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    workspace = own_workspace(tmp_path)
    workspace.configure(models=["my-gine"], own_models={"my-gine": GINE}, methods=["full_ft", "dwise_ft"])
    runs = "results/runs/honest/my-gine/mine/random-20"
    workspace.make(f"{runs}/dwise_ft/fits.parquet")
    fits = schemas.read("fits", workspace.folder / runs / "dwise_ft" / "fits.parquet")
    assert set(fits["status"]) == {"ok"}
    coefficients = schemas.read("coefficients", workspace.folder / runs / "dwise_ft" / "coefficients.parquet")
    assert set(coefficients["part"]) == {"embed", "blocks.0", "blocks.1", "blocks.2", "readout"}
    # What is left of a whole run: the audit of what the model has seen, and what follows it.
    audit = ("corpus", "overlap", "provenance")
    tables = ("aggregate", "diagnostics", "embeddings", "statistics")
    ends = dict.fromkeys((*audit, "landscape", *tables, "plot", "report"), 1)
    (workspace.folder / "my_model.py").touch()
    assert workspace.jobs() == ends
    code = EXAMPLE.read_text()
    (workspace.folder / "my_model.py").write_text(code.replace("nn.Dropout(0.2)", "nn.Dropout(0.3)"))
    assert workspace.jobs() == {"featurize": 1, "fetch_checkpoint": 1, "finetune": 1, "interpolate": 1, **ends}
