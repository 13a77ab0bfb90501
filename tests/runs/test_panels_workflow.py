"""The workflow on a panel of two datasets of one's own, by `snakemake`, to its report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from roftmol.registry import catalog
from roftmol.tables import schemas
from workspaces import ENDS, OWN_DATASETS, Workspace, write_molecules

pytestmark = pytest.mark.skipif(
    not (catalog.REGISTRY.parents[1] / catalog.checkpoints()["gin-zinc-masking"].sources[0].file).is_file(),
    reason="the embedded encoder's weights are not there",
)

#: The second dataset's labels are classes, and a few molecules of either are not in the other.
OWN = OWN_DATASETS | {
    "greasy": {"path": "greasy.csv", "smiles": "SMILES", "labels": ["logP"], "task": "classification"},
}
#: What trains them together, what goes on from that in each of the ways, and full FT beside it.
METHODS = ["full_ft", "joint_ft", "joint_then_single", "joint_wise_ft", "joint_ft+hybrid"]
PANEL = {
    "methods": METHODS,
    "own_datasets": OWN,
    "panels": {"oil": ["mine", "greasy"]},
    "datasets": ["oil"],
    "splits": ["random"],
    "grids": {"joint_ft": {"weighting": ["equal", "learned"]}, "joint_wise_ft": {"alpha": [0, 0.5, 1]}},
}
RUNS = Path("results/runs/honest/gin-zinc-masking")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("panel"))
    write_molecules(workspace.folder / "mine.csv")
    molecules = pd.read_csv(workspace.folder / "mine.csv")
    molecules["logP"] = (molecules["logP"] > molecules["logP"].median()).astype(int)
    molecules.iloc[5:].to_csv(workspace.folder / "greasy.csv", index=False)
    molecules = pd.read_csv(workspace.folder / "mine.csv")
    molecules.iloc[:-5].to_csv(workspace.folder / "mine.csv", index=False)
    workspace.configure(**PANEL)
    workspace.make()
    return workspace


def test_a_panel_becomes_a_report_in_which_its_methods_stand_beside_others(finished: Workspace):
    page = (finished.folder / "results/report.html").read_text()
    for title in ("Joint FT", "Joint, then single", "Joint WiSE-FT", "Joint FT + hybrid head"):
        assert title in page
    tables = finished.folder / "results/tables"
    summary = schemas.read("summary", tables / "summary.parquet")
    assert {(row.dataset, row.method) for row in summary.itertuples()} == {
        (dataset, method) for dataset in ("mine", "greasy") for method in METHODS
    }
    assert (summary["failed"] == 0).all()
    assert summary["vs_full_ft"].notna().all()
    # All methods are tested on the same molecules.
    tested = schemas.read("predictions", tables / "predictions.parquet").query("partition == 'test'")
    of_methods = tested.groupby(["dataset", "method"])["molecule"].agg(tuple)
    assert (of_methods.groupby("dataset").nunique() == 1).all()
    weights = schemas.read("loss_weights", tables / "loss_weights.parquet")
    assert weights.groupby(["dataset", "setting"])["epoch"].agg(list).map(tuple).nunique() == 1
    assert set(weights["panel"]) == {"oil"}
    assert (weights.groupby("setting")["weight"].nunique() > 1).tolist() == [False, True]
    # The whole of the line from the pretrained to the joint weights is that encoder with the joint head.
    ends = [
        schemas.read("predictions", finished.folder / RUNS / "mine/random-20" / name)
        for name in ("joint_ft/predictions.parquet", "joint_wise_ft/predictions.parquet")
    ]
    last = ends[1][ends[1]["setting"] == '{"alpha":1.0}']["prediction"].tolist()
    assert [row.tolist() for row in last] in [
        [row.tolist() for row in rows["prediction"]] for _, rows in ends[0].groupby("setting")
    ]


def test_a_second_run_does_nothing_nor_does_another_order_of_the_datasets(finished: Workspace):
    assert finished.jobs() == {}
    finished.configure(**PANEL | {"panels": {"oil": ["greasy", "mine"]}, "datasets": ["mine", "greasy"]})
    assert not finished.jobs().keys() & {"joint", "joint_member", "finetune", "interpolate", "tuned_head", "split"}


def test_another_weighting_is_one_fit_more_for_all_datasets(finished: Workspace):
    grids = PANEL["grids"] | {"joint_ft": {"weighting": ["equal", "learned", "size"]}}
    finished.configure(**PANEL | {"grids": grids})
    on_from_it = {"finetune": 2, "interpolate": 2, "tuned_head": 2}
    assert finished.jobs() == {"joint": 1, "joint_member": 2, **on_from_it, **ENDS}


def test_descriptors_are_computed_where_a_point_of_the_grid_has_a_head_read_them(finished: Workspace):
    for dataset in ("mine", "greasy"):
        (finished.folder / f"results/data/{dataset}/descriptors.safetensors").unlink()  # the hybrid head's
    read = {"none": {}, "rdkit": {"descriptors": 2}, "gfn2": {"gfn2": 2}, "qw4": {"descriptors": 2, "gfn2": 2}}
    for name, files in read.items():
        grid = {"descriptors": sorted({"none", name})}
        finished.configure(**PANEL | {"methods": ["joint_ft", "joint_ft+ridge"], "grids": {"joint_ft": grid}})
        jobs = finished.jobs()
        assert {stage: jobs[stage] for stage in ("descriptors", "gfn2") if stage in jobs} == files
