"""The estimate of a dry run, by hand."""

import math
from typing import Any

import pytest
import yaml

from roftmol.experiment.config import experiment
from roftmol.experiment.cost import COSTS, DESCENTS, NORM_MOLECULES, Estimate, estimate
from roftmol.methods import METHODS
from roftmol.registry.encoder_kinds import ENCODER_KINDS
from roftmol.training import batchnorm, mixing

ONE = {"models": ["gin-zinc-masking"], "datasets": ["esol"], "seeds": [0], "training": {"epochs": 10}}


def cost(name: str) -> float:
    return yaml.safe_load(COSTS.read_text())["gin"][name] / 1000


def test_costs_are_known_of_every_kind_and_method():
    """But those that no experiment runs by default; and of atoms in space the two that others follow from."""
    costs = yaml.safe_load(COSTS.read_text())
    assert costs.pop("descriptors").keys() == {"gfn2"}
    assert costs.keys() == ENCODER_KINDS.keys() - {"own"}
    trained = {name for name, method in METHODS.items() if method.kind == "train" and method.by_default}
    for kind, known in costs.items():
        assert known.keys() == {"predict"} | ({"full_ft", "linear_probing"} if kind in ("so3lr", "dpa") else trained), (
            kind
        )
        assert all(value > 0 for value in known.values())


def test_a_second_task_costs_as_much_again():
    full, mft, decay = (
        estimate(experiment({**ONE, "methods": [name], "grids": {"layerwise_decay": {"decay": [0.5]}}})).core_hours
        for name in ("full_ft", "mft", "layerwise_decay")
    )
    assert decay == full
    assert 1.9 * full < mft < 2.1 * full


def test_steps_count_in_place_of_epochs():
    found = estimate(experiment({**ONE, "methods": ["full_ft"], "budgets": [50], "training": {"steps": 20}}))
    epochs = estimate(experiment({**ONE, "methods": ["full_ft"], "budgets": [50], "training": {"epochs": 10}}))
    assert found == epochs  # 40 molecules in batches of 32: two steps an epoch


@pytest.mark.parametrize(("suffix", "record"), [("xyz", "2\ny=1\nH 0 0 0\nH 0 0 1\n"), ("sdf", "made\n$$$$\n")])
def test_structures_are_counted(tmp_path, suffix, record):
    path = tmp_path / f"mine.{suffix}"
    path.write_text(record * 1128)
    own = {"mine": {"path": str(path), "labels": ["y"], "task": "regression"}}
    settings = {**ONE, "methods": ["full_ft"], "budgets": [50]}
    found = estimate(experiment({**settings, "datasets": ["mine"], "own_datasets": own}))
    known = estimate(experiment(settings))
    assert (found.jobs, found.fits, found.core_hours) == (known.jobs, known.fits, known.core_hours)


def test_full_fine_tuning_by_hand():
    found = estimate(experiment({**ONE, "methods": ["full_ft"], "budgets": [50]}))
    test = 112.8  # a tenth of ESOL's 1,128 molecules
    seconds = 10 * (40 * cost("full_ft") + (10 + 40) * cost("predict")) + (10 + test) * cost("predict")
    assert (found.jobs, found.fits) == (1, 1)
    assert found.core_hours == pytest.approx(seconds / 3600)


def of(*methods: str, **changes: Any) -> Estimate:
    return estimate(experiment({**ONE, "budgets": [50], **changes, "methods": list(methods)}))


def test_a_path_costs_predictions_alone():
    found, full = of("full_ft", "wise_ft"), of("full_ft")
    assert (found.jobs - full.jobs, found.fits - full.fits) == (1, 11)
    assert found.core_hours - full.core_hours == pytest.approx(11 * (40 + 10 + 112.8) * cost("predict") / 3600)


def test_what_is_mixed_or_read_counts_whether_it_is_named_or_not():
    assert of("wise_ft") == of("wise_ft", "full_ft")
    assert of("lp_ft+hybrid") == of("lp_ft", "lp_ft+hybrid")
    assert of("dwise_ft+ridge") == of("full_ft", "dwise_ft", "dwise_ft+ridge")


def test_a_head_on_a_methods_encoder_costs_the_vectors_and_on_a_mixture_the_mixing_once_more():
    vectors = (40 + 10 + 112.8) * cost("predict") / 3600
    tuned, pair = of("l2_sp"), of("l2_sp", "l2_sp+kernel")
    assert (pair.jobs - tuned.jobs, pair.fits - tuned.fits) == (1, 1)  # of the five strengths one is read
    assert pair.core_hours - tuned.core_hours == pytest.approx(vectors)
    one = {"grids": {"dwise_ft": {"start": [0.5]}}}
    full, mixed, pair = of("full_ft"), of("full_ft", "dwise_ft", **one), of("full_ft", "dwise_ft+kernel", **one)
    assert pair.core_hours - mixed.core_hours == pytest.approx(vectors + mixed.core_hours - full.core_hours)


def test_jobs_and_fits_are_counted_over_the_grid():
    whole = {**ONE, "seeds": [0, 1], "budgets": [50, "all"], "splits": ["random", "scaffold"]}
    found = estimate(experiment({**whole, "methods": ["l2_sp", "fingerprint"], "grids": {"l2_sp": {"lam": [1, 2, 3]}}}))
    assert (found.jobs, found.fits) == (4, 24)
    folds = estimate(experiment({**whole, "methods": ["full_ft"], "validation": {"scheme": "crossfit", "folds": 4}}))
    assert (folds.jobs, folds.fits) == (4, 32)


def test_the_paper_protocol_holds_more_labels_for_validation():
    settings = {**ONE, "methods": ["full_ft"], "budgets": [50]}
    found = estimate(experiment({**settings, "protocols": ["paper"]})).core_hours
    tenth = 112.8  # validation and test, each; BatchNorm's statistics are not estimated
    seconds = 10 * (50 * cost("full_ft") + tenth * cost("predict")) + 2 * tenth * cost("predict")
    assert found == pytest.approx(seconds / 3600)


def test_an_own_file_is_counted_by_its_lines(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("SMILES,y\n" + "CCO,1\n" * 1128)
    own = {"mine": {"path": str(path), "smiles": "SMILES", "labels": ["y"], "task": "regression"}}
    given = estimate(experiment({**ONE, "own_datasets": own, "datasets": ["mine"], "methods": ["full_ft"]}))
    known = estimate(experiment({**ONE, "methods": ["full_ft"]}))
    assert given.core_hours == pytest.approx(known.core_hours)


def test_what_mixing_costs_is_counted_as_mixing_does():
    # The estimate keeps its own copies: importing the mixing would make every start of snakemake seconds slower.
    assert (NORM_MOLECULES, DESCENTS) == (batchnorm.SAMPLE, mixing.FOLDS + 1)


#: 578 and 475 molecules.
PANEL = {
    "panels": {"two": ["tdc_hia_hou", "tdc_dili"]},
    "datasets": ["two"],
    "budgets": ["all"],
    "methods": ["joint_ft"],
    "training": {"epochs": 10, "batch_size": 10},
}


def joint(**changes: Any) -> Estimate:
    return estimate(experiment({**ONE, **PANEL, **changes}))


def test_a_joint_fit_costs_all_molecules_of_its_datasets_and_what_its_batches_add():
    found = joint(splits=["leaderboard"])
    assert (found.jobs, found.fits) == (1, 1)
    train, valid, test = (share * (578 + 475) for share in (0.7, 0.1, 0.2))
    added = math.ceil(train / 10) * sum((1 - 0.7 * molecules / train) ** 10 for molecules in (578, 475))
    epoch = (train + added) * cost("full_ft") + (valid + 512) * cost("predict")
    assert found.core_hours == pytest.approx((10 * epoch + (valid + test) * cost("predict")) / 3600)
    assert joint(splits=["joint"]).core_hours > found.core_hours  # which trains on four fifths


def test_a_panel_of_one_dataset_costs_what_full_ft_does():
    one = {"panels": {"alone": ["tdc_dili"]}, "datasets": ["alone"]}
    for split in ("leaderboard", "scaffold"):
        alone, full = (joint(**one, splits=[split], methods=[name]) for name in ("joint_ft", "full_ft"))
        assert alone.core_hours == pytest.approx(full.core_hours)


def test_weightings_and_seeds_are_fits_of_one_job_and_what_goes_on_from_them_is_a_job_a_dataset():
    grids = {"joint_ft": {"weighting": ["equal", "learned"]}}
    found = joint(grids=grids, seeds=[1, 2])
    assert (found.jobs, found.fits) == (1, 4)
    single = joint(grids=grids, seeds=[1, 2], methods=["joint_then_single"])
    assert (single.jobs, single.fits) == (1 + 2, 4 + 4)


def test_gfn2_counts_each_molecule_where_a_grid_asks_for_it():
    grids = {"hybrid": {"descriptors": ["none", "both"]}}
    found = joint(methods=["joint_ft", "hybrid"], grids=grids)
    assert found.gfn2_hours == pytest.approx((578 + 475) * 0.127 / 3600)
    assert "GFN2-xTB's descriptors: 0.0371 core-hours at most." in str(found)
    assert found.core_hours == joint(methods=["joint_ft"]).core_hours
    assert "GFN2" not in str(joint(methods=["joint_ft", "hybrid"]))
    heads = joint(methods=["hybrid"], grids=grids)
    assert str(heads).endswith("not estimated. GFN2-xTB's descriptors: 0.0371 core-hours at most.")


def test_the_time_of_a_job_is_its_datasets_and_of_a_joint_job_its_panels():
    found = joint(methods=["full_ft", "joint_ft"])
    model = ONE["models"][0]
    jobs = {(model, "tdc_hia_hou", "full_ft"), (model, "tdc_dili", "full_ft"), (model, "two", "joint_ft")}
    assert set(found.seconds) == jobs
    assert sum(found.seconds.values()) / 3600 == pytest.approx(found.core_hours)
