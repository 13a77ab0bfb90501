"""The configuration: every mistake is named, and stages get what their dataclasses accept."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from roftmol import stages
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.records import build
from roftmol.data.splits import SplitSettings
from roftmol.evaluation.provenance import ProvenanceSettings
from roftmol.experiment.config import experiment
from roftmol.experiment.cost import estimate
from roftmol.methods import ALL_METHODS, DEFAULT_METHODS, METHODS, SCRATCH, WITHOUT_ENCODER, WITHOUT_PRETRAINING
from roftmol.registry import catalog
from roftmol.training.jobs import RunSettings
from roftmol.training.landscape import LandscapeSettings
from roftmol.training.learners import LearnerSettings
from roftmol.training.pretraining import RECIPES, PretrainSettings
from stage_settings import settings_for

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


def test_the_file_holds_the_defaults_of_the_schema_but_for_what_makes_a_first_run_short():
    assert DEFAULT["training"]["patience"] < experiment({}).training.patience
    whole = {"grids": {}, "training": DEFAULT["training"] | {"patience": experiment({}).training.patience}}
    assert experiment({**DEFAULT, **whole}) == experiment({})
    for name, axes in DEFAULT["grids"].items():
        for key, values in axes.items():
            assert set(values) < {getattr(setting, key) for setting in METHODS[name].grid(5)}


def test_the_default_runs_the_methods_of_the_paper_and_the_reference_points():
    assert experiment({}).cells.methods == DEFAULT_METHODS
    alone = [name for name in DEFAULT_METHODS if name in METHODS]
    assert len(alone) == 15
    assert {*DEFAULT_METHODS} - {*alone} == {"full_ft+hybrid", "lp_ft+hybrid", "wise_ft+hybrid"}
    assert {*DEFAULT_METHODS} & {*WITHOUT_PRETRAINING} == {SCRATCH, *WITHOUT_ENCODER}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dataset": ["bbbp"]}, ["dataset: unknown key", "'datasets'"]),
        ({"datasets": ["bbpb"]}, ["datasets", "'bbpb'", "did you mean 'bbbp'"]),
        ({"models": ["gin-zinc-maskin"]}, ["models", "did you mean 'gin-zinc-masking'"]),
        ({"methods": ["l2sp"]}, ["methods", "'l2sp'", "did you mean 'l2_sp'", "dwise_ft"]),
        ({"methods": ["linear_probing+ridge"]}, ["linear_probing leaves the encoder as it is", "is called ridge"]),
        (
            {"data": "mine.csv", "methods": ["lp_ft+hybrid"]},
            ["lp_ft+hybrid is for experiments", "name lp_ft or a head"],
        ),
        ({"methods": ["fingerprint+kernel"]}, ["fingerprint has no encoder", "is called kernel"]),
        ({"methods": ["full_ft+l2_sp"]}, ["full_ft+l2_sp: l2_sp is no head", "ridge, kernel, hybrid"]),
        ({"methods": ["full_ft+hybird"]}, ["'full_ft+hybird' is not known", "did you mean 'full_ft'"]),
        ({"grids": {"l2_sp+ridge": {"lam": [1]}}}, ["grids: l2_sp+ridge has the grid of l2_sp"]),
        ({"protocols": ["honst"]}, ["protocols.0", "'honst'", "did you mean 'honest'"]),
        ({"splits": ["scafold"]}, ["splits.0", "did you mean 'scaffold'"]),
        ({"splits": ["column"]}, ["splits", "split_column", "esol"]),
        ({"splits": ["leaderboard"]}, ["splits: leaderboard is for the sets of a public leaderboard", "esol, bbbp"]),
        (
            {"splits": ["leaderboard"], "datasets": ["tdc_herg"], "validation": {"scheme": "crossfit"}},
            ["validation.scheme: crossfit", "brings its validation part for each seed", "say holdout"],
        ),
        ({"budgets": [-5]}, ["budgets.0", "-5", "or all"]),
        ({"budgets": ["fifty"]}, ["budgets.0", "'fifty'", "whole number"]),
        ({"budgets": []}, ["budgets"]),
        ({"seeds": [0, 0]}, ["seeds", "non-unique"]),
        ({"training": {"epoch": 5}}, ["training.epoch: unknown key", "did you mean 'epochs'"]),
        ({"training": {"epochs": "ten"}}, ["training.epochs", "'ten'", "integer"]),
        ({"validation": {"scheme": "cv"}}, ["validation.scheme", "'cv'", "holdout, crossfit"]),
        ({"selection": "best"}, ["selection", "'best'", "validation"]),
        ({"grids": {"l2_sp": {"lambda": [1]}}}, ["grids.l2_sp", "'lambda'", "lam"]),
        ({"grids": {"surgical_ft": {"block": [7]}}}, ["no block 7", "0 to 4"]),
        ({"grids": {"l2_sp": {"lam": ["one"]}}}, ["grids.l2_sp.lam", "'one'", "float"]),
        ({"grids": {"fingerprint": {"alpha": ["one"]}}}, ["grids.fingerprint.alpha", "'one'", "float"]),
        ({"grids": {"dwise_ft": {"granularity": ["blok"]}}}, ["grids.dwise_ft.granularity", "'blok'", "'block'"]),
        ({"grids": {"l2": {"lam": [1]}}}, ["grids", "'l2'"]),
        ({"grids": {"hybrid": {"descriptors": ["xtb"]}}}, ["grids.hybrid.descriptors", "'xtb'", "'gfn2'"]),
        ({"grids": {"lp_ft+hybrid": {"descriptors": ["gfn2"]}}}, ["its head that of hybrid"]),
        ({"own_datasets": {"../x": {}}}, ["own_datasets", "'../x'", "lower-case"]),
        ({"own_datasets": {"mine": {"path": "a.csv"}}}, ["own_datasets.mine", "missing labels, task"]),
        ({"splits": ["bom"]}, ["splits.0", "did you mean 'boom'"]),
        ({"max_test": 5}, ["max_test", "5"]),
        ({"files": {"bbbp": "nowhere.csv"}}, ["files.bbbp", "nowhere.csv"]),
        ({"max_rejected": 2}, ["max_rejected", "2"]),
        ({"leave_out_contaminated": ["label"]}, ["leave_out_contaminated.0", "did you mean 'labels'", "unknown"]),
        ({"leave_out_contaminated": ["none"]}, ["leave_out_contaminated.0", "structures, labels, unknown"]),
        ({"leave_out_contaminated": "labels"}, ["leave_out_contaminated", "array"]),
        ({"files": {"zinc250": "z.smi"}}, ["files", "did you mean 'zinc250k'"]),
        ({"auxiliary": {"forces": "natve"}}, ["auxiliary.forces", "did you mean 'native'"]),
        ({"auxiliary": {"forces": "native"}}, ["auxiliary.native", "extended XYZ"]),
        ({"auxiliary": {"forces": "native", "native": "nowhere.extxyz"}}, ["auxiliary.native", "nowhere.extxyz"]),
        ({"auxiliary": {"native": 5}}, ["auxiliary.native", "5"]),
        ({"models": ["minimol"], "methods": ["mft"]}, ["methods: mft", "minimol has no mask"]),
        ({"models": ["chemeleon"], "methods": ["mft"]}, ["methods: mft", "chemeleon has no mask"]),
        ({"models": ["minimol"], "methods": ["mft_wise"]}, ["methods: mft_wise", "minimol has no mask"]),
        ({"auxiliary": {"corpus": "zinc250"}}, ["auxiliary.corpus", "did you mean 'zinc250k'"]),
        ({"auxiliary": {"corpus": "so3lr-data"}}, ["auxiliary.corpus", "so3lr-data are not to be had", "`files`"]),
        ({"splits": ["boom"]}, ["splits: boom", "regression of one label", "bbbp, bace"]),
        ({"methods": ["joint_ft"]}, ["methods: joint_ft is for panels", "in none: esol, bbbp, bace", "see `panels`"]),
        (
            {"methods": ["joint_wise_ft+ridge"], "panels": {"two": ["esol", "bbbp"]}, "datasets": ["two", "bace"]},
            ["methods: joint_wise_ft+ridge is for panels", "in none: bace"],
        ),
        (
            {"methods": ["joint_then_single"], "panels": {"p": ["qm9-gap"]}, "datasets": ["p"], "models": ["so3lr"]},
            ["methods: joint_then_single is for models of molecular graphs, and so3lr reads geometries"],
        ),
        (
            {"data": "mine.csv", "methods": ["full_ft", "joint_dwise_ft"]},
            ["methods: joint_dwise_ft is for panels, and this recommendation is of one target"],
        ),
        ({"grids": {"joint_ft": {"weighting": ["fair"]}}}, ["grids.joint_ft.weighting: 'fair'", "'pooled', 'equal'"]),
        ({"grids": {"joint_ft": {"weighting": ["size"], "beta": ["x"]}}}, ["grids.joint_ft.beta: 'x'", "float"]),
        ({"grids": {"joint_ft": {"beta": [0.3]}}}, ["grids.joint_ft.beta: 0.3 is in no setting of this grid"]),
        ({"grids": {"joint_ft": {"descriptors": ["xtb"]}}}, ["grids.joint_ft.descriptors: 'xtb'", "'both', 'qw4'"]),
        ({"grids": {"hybrid": {"descriptors": ["qw4"]}}}, ["grids.hybrid.descriptors: 'qw4'", "'gfn2', 'both'"]),
        *(
            (
                {
                    "methods": [name],
                    "panels": {"two": ["esol", "bbbp"]},
                    "datasets": ["two"],
                    "grids": {"joint_ft": {"descriptors": ["none", "gfn2"]}},
                },
                [
                    f"grids.joint_ft.descriptors: {name.partition('+')[0]} goes on from joint_ft's head and reads no "
                    "descriptors, and gfn2 has its head read them; say none, or leave out "
                ],
            )
            for name in ("joint_then_single", "joint_dwise_ft", "joint_wise_ft+ridge")
        ),
    ],
)
def test_a_mistake_is_named(change: dict[str, Any], told: list[str]):
    with pytest.raises(UserError) as caught:
        experiment(change)
    for part in told:
        assert part in str(caught.value)


def test_a_method_reads_what_a_point_of_its_grid_names():
    """Of METHOD+HEAD it is the head's grid that says so."""
    default = experiment({})
    assert default.reads("hybrid") == default.reads("full_ft+hybrid") == {"counts", "descriptors", "vectors"}
    assert default.reads("full_ft") == frozenset()
    assert default.grid("wise_ft+hybrid", 5) == [{"descriptors": "rdkit"}]
    described = experiment(
        {"grids": {"hybrid": {"descriptors": ["none", "gfn2"]}, "classical": {"descriptors": ["both"]}}}
    )
    assert described.reads("hybrid") == described.reads("full_ft+hybrid") == {"counts", "gfn2", "vectors"}
    assert described.reads("classical") == {"counts", "descriptors", "gfn2"}
    assert described.reads("descriptors") == {"counts", "descriptors"}
    assert described.grid("full_ft+hybrid", 5) == [{"descriptors": "none"}, {"descriptors": "gfn2"}]


def test_joint_training_reads_the_descriptors_of_its_grid_and_another_head_on_its_encoder_can_follow():
    panel = {"panels": {"two": ["esol", "bbbp"]}, "datasets": ["two"], "methods": ["joint_ft", "joint_ft+ridge"]}
    assert experiment(panel).reads("joint_ft") == frozenset()
    read = {"rdkit": {"descriptors"}, "gfn2": {"gfn2"}, "both": {"descriptors", "gfn2"}, "qw4": {"descriptors", "gfn2"}}
    for name, files in read.items():
        described = experiment(panel | {"grids": {"joint_ft": {"descriptors": ["none", name]}}})
        assert described.reads("joint_ft") == files
        assert described.reads("joint_ft+ridge") == {"vectors"}
    alone = experiment(panel | {"methods": ["joint_then_single"], "grids": {"joint_ft": {"descriptors": ["none"]}}})
    assert alone.reads("joint_then_single") == frozenset()


def test_numbers_may_be_text_in_what_the_command_line_adds(tmp_path: Path):
    """Snakemake gives --config 'budgets=[50]' as a list of text."""
    told = {"budgets": ["50", "all"], "seeds": ["0", "3"], "training": {"epochs": "5", "learning_rate": "1e-3"}}
    grids = {"l2_sp": {"lam": ["0.01", "1"]}, "dwise_ft": {"granularity": ["block"]}}
    (tmp_path / "mine.csv").write_text("smiles,1\nC,2\n")
    own = {"mine": {"path": str(tmp_path / "mine.csv"), "smiles": "smiles", "labels": ["1"], "task": "regression"}}
    found = experiment({**told, "grids": grids, "own_datasets": own, "datasets": ["mine"]})
    assert found.cells.budgets == ("50", "all")
    assert found.seeds == (0, 3)
    assert found.training.epochs == 5
    assert found.training.learning_rate == 0.001
    assert found.grids["l2_sp"]["lam"] == [0.01, 1]
    assert found.datasets["mine"].labels == ("1",)


def test_truth_values_and_null_may_be_text_too():
    """Snakemake gives --config landscape=false as text."""
    found = experiment({"landscape": "false", "tsne": "true", "max_test": "null"})
    assert (found.landscape, found.tsne, found.max_test) == (False, True, None)
    with pytest.raises(UserError, match="landscape: 'no' is not of type 'boolean'"):
        experiment({"landscape": "no"})


def test_every_mistake_of_form_is_named_at_once():
    with pytest.raises(UserError, match=r"(?s)training.epochs.*seeds|seeds.*training.epochs"):
        experiment({"training": {"epochs": 0}, "seeds": [-1]})


@pytest.fixture
def own(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "mine.csv"
    path.write_text("smiles,y\nCCO,1.5\n")
    return {"path": str(path), "smiles": "smiles", "labels": ["y"], "task": "regression"}


def test_an_own_file_is_a_dataset(own: dict[str, Any]):
    made = experiment({"datasets": ["mine"], "own_datasets": {"mine": own}})
    assert made.datasets["mine"].metric == "rmse"
    assert settings_for("fetch_data", made, "mine")["sources"][0]["file"] == own["path"]


def test_an_own_csv_needs_smiles_and_a_structure_file_does_not(own: dict[str, Any], tmp_path: Path):
    plain = {key: value for key, value in own.items() if key != "smiles"}
    with pytest.raises(UserError, match="dataset mine: missing smiles"):
        experiment({"own_datasets": {"mine": plain}})
    path = tmp_path / "mine.extxyz"
    path.write_text("1\ny=1.5\nHe 0 0 0\n")
    made = experiment({"datasets": ["mine"], "own_datasets": {"mine": plain | {"path": str(path)}}})
    for settings in (settings_for("molecules", made, "mine"), settings_for("conformers", made, "mine")):
        assert catalog.Dataset.from_dict(_through_json(settings["dataset"])).format == "xyz"
    with pytest.raises(UserError, match=r"geometry: .* is not the names of two columns"):
        experiment({"own_datasets": {"mine": own | {"geometry": ["elements"]}}})


def test_a_geometry_has_its_own_stage_and_is_read_as_before(own: dict[str, Any]):
    columns = {"geometry": ["elements", "positions"]}
    plain, given = (experiment({"datasets": ["mine"], "own_datasets": {"mine": own | more}}) for more in ({}, columns))
    assert not plain.datasets["mine"].has_geometry
    assert settings_for("molecules", given, "mine") == settings_for("molecules", plain, "mine")
    read = catalog.Dataset.from_dict(_through_json(settings_for("conformers", given, "mine")["dataset"]))
    assert read.geometry == ("elements", "positions")
    all_columns = experiment({"datasets": ["mine"], "own_datasets": {"mine": own | columns | {"labels": ["*"]}}})
    assert settings_for("molecules", all_columns, "mine")["dataset"]["geometry"] == columns["geometry"]


def test_own_force_labels_have_their_own_stage(tmp_path: Path):
    path = tmp_path / "mine.extxyz"
    path.touch()
    config = {"models": ["so3lr"], "datasets": ["qm9-gap"], "methods": ["full_ft", "mft"]}
    labelled, given = (
        experiment(config | {"auxiliary": more}) for more in ({}, {"forces": "native", "native": str(path)})
    )
    assert build(stages.native_labels.Settings, _through_json(settings_for("native_labels", given))).datasets == (
        "qm9-gap",
    )
    for method in config["methods"]:
        assert labelled.auxiliary_file("so3lr", method) == "results/forces/gfn2.parquet"
        assert given.auxiliary_file("so3lr", method) == "results/forces/native.parquet"
    cell = ("honest", "so3lr", "qm9-gap", "scaffold", "50")
    assert build(RunSettings, _through_json(settings_for("finetune", given, *cell, "mft"))).auxiliary == "native"
    assert settings_for("finetune", given, *cell, "full_ft") == settings_for("finetune", labelled, *cell, "full_ft")


@pytest.mark.parametrize("sign", "{}<>*?")
def test_the_path_of_own_force_labels_means_nothing_to_snakemake(tmp_path: Path, sign: str):
    path = tmp_path / f"a{sign}b.extxyz"
    path.touch()
    with pytest.raises(UserError, match=r"auxiliary.native.*rename the file"):
        experiment({"auxiliary": {"forces": "native", "native": str(path)}})


def test_a_limit_of_test_molecules_is_told_where_there_is_one():
    cell = ("honest", "esol", "scaffold", "50")
    plain, limited = (
        settings_for("split", experiment({}), *cell),
        settings_for("split", experiment({"max_test": 300}), *cell),
    )
    assert limited == plain | {"max_test": 300}
    assert build(SplitSettings, _through_json(limited)).max_test == 300


def test_a_potency_has_cliffs_and_is_read_as_before(own: dict[str, Any]):
    datasets = ["mine", "esol", "moleculeace_chembl234_ki"]
    plain = experiment({"datasets": datasets, "own_datasets": {"mine": own}})
    potency = experiment({"datasets": datasets, "own_datasets": {"mine": own | {"potency": True}}})
    assert settings_for("diagnostics", plain) == {"cliffs": ["moleculeace_chembl234_ki"]}
    assert settings_for("diagnostics", potency) == {"cliffs": ["mine", "moleculeace_chembl234_ki"]}
    assert settings_for("molecules", potency, "mine") == settings_for("molecules", plain, "mine")
    settings = _through_json(settings_for("cliffs", potency, "moleculeace_chembl234_ki"))
    assert catalog.Dataset.from_dict(settings["dataset"]).cliff_column == "cliff_mol"
    assert catalog.Dataset.from_dict(_through_json(settings_for("cliffs", potency, "mine"))["dataset"]).potency


def test_an_own_dataset_takes_no_registered_name(own: dict[str, Any]):
    with pytest.raises(UserError, match="'bbbp' is a registered dataset"):
        experiment({"own_datasets": {"bbbp": own}})


def test_a_file_at_hand_comes_first_and_changes_nothing_else(own: dict[str, Any]):
    plain, given = experiment({}), experiment({"files": {"bbbp": own["path"], "gin-zinc-masking": own["path"]}})
    assert given.datasets["bbbp"].sources[0].kind == "path"
    assert given.datasets["bbbp"].sources[1:] == plain.datasets["bbbp"].sources
    assert given.checkpoints["gin-zinc-masking"].sources[0].file == own["path"]
    assert settings_for("molecules", given, "bbbp") == settings_for("molecules", plain, "bbbp")


def test_an_own_file_is_a_corpus_that_can_be_compared(own: dict[str, Any]):
    models = ["gin-zinc-masking", "graphcl", "mole-bert", "gin-untrained"]
    plain, given = (experiment({"models": models, "files": files}) for files in ({}, {"zinc15": own["path"]}))
    assert [plain.checkable(model) for model in models] == [["zinc250k"], [], [], []]
    assert [given.checkable(model) for model in models] == [["zinc250k"], ["zinc15"], ["zinc15"], []]
    assert plain.overlaps() == [(dataset, "zinc250k") for dataset in plain.datasets]
    assert given.overlaps() == [(dataset, corpus) for dataset in plain.datasets for corpus in ("zinc250k", "zinc15")]
    assert [source.file for sources in given.corpora["zinc15"].files for source in sources] == [own["path"]]
    whole = experiment({"files": {"qm9": own["path"]}}).corpora["qm9"]
    assert [source.file for sources in whole.files for source in sources] == [own["path"]]


def test_the_audit_is_told_what_was_learnt_with_labels():
    made = experiment({"models": ["mole-bert", "pretrain-gnns-gin-supervised", "gin-untrained"]})
    models = build(ProvenanceSettings, _through_json(settings_for("provenance", made))).models
    assert [models[name]["corpora"] for name in made.checkpoints] == [["zinc15", "chembl"], ["chembl"], []]
    assert [models[name]["learnt"] for name in made.checkpoints] == [["chembl"], ["chembl"], []]


def test_what_is_said_of_a_models_pretraining_does_not_run_it_again(monkeypatch: pytest.MonkeyPatch):
    plain = experiment({})
    known = catalog.checkpoints()
    entry = replace(known["gin-zinc-masking"], corpora=("zinc250k", "qm9"), labelled=("qm9",), suspected=("esol",))
    monkeypatch.setattr(catalog, "checkpoints", lambda: {**known, "gin-zinc-masking": entry})
    changed = experiment({})
    assert settings_for("provenance", changed) != settings_for("provenance", plain)
    assert settings_for("fetch_checkpoint", changed, "gin-zinc-masking") == settings_for(
        "fetch_checkpoint", plain, "gin-zinc-masking"
    )
    cell = ("honest", "gin-zinc-masking", "bbbp", "scaffold", "50", "full_ft")
    assert settings_for("finetune", changed, *cell) == settings_for("finetune", plain, *cell)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"corpora": ("zinc",)}, "corpora: 'zinc' is not known"), ({"suspected": ("toks21",)}, "did you mean 'tox21'")],
)
def test_a_wrong_name_in_a_models_provenance_is_named(
    change: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
):
    known = catalog.checkpoints()
    wrong = {**known, "gin-zinc-masking": replace(known["gin-zinc-masking"], **change)}
    monkeypatch.setattr(catalog, "checkpoints", lambda: wrong)
    with pytest.raises(UserError, match=told):
        experiment({})


def test_a_grid_replaces_its_axis_and_keeps_the_others():
    made = experiment({"grids": {"dwise_ft": {"granularity": ["global", "block"]}, "l2_sp": {"lam": [1, 0.1]}}})
    cell = ("honest", "gin-zinc-masking", "bbbp", "scaffold", "50")
    dwise = settings_for("finetune", made, *cell, "dwise_ft")["grid"]
    assert {(setting["granularity"], setting["start"]) for setting in dwise} == {
        (granularity, start) for granularity in ("global", "block") for start in (0.5, 0.9)
    }
    l2_sp = settings_for("finetune", made, *cell, "l2_sp")["grid"]
    assert [setting["lam"] for setting in l2_sp] == [1.0, 0.1]
    assert isinstance(l2_sp[0]["lam"], float)  # 1 and 1.0 are one setting
    assert settings_for("finetune", made, *cell, "bss") == settings_for("finetune", experiment({}), *cell, "bss")


def test_landscapes_can_be_left_out_and_need_full_fine_tuning():
    plain = experiment({})
    assert len(plain.landscapes(Path("results"))) == 2 * 3
    assert settings_for("landscape", plain, "honest", "gin-zinc-masking", "esol", "scaffold", "50")["plane"]
    for change in ({"landscape": False}, {"methods": ["linear_probing", "dwise_ft"]}):
        assert experiment(change).landscapes(Path("results")) == []
    without = experiment({"methods": ["full_ft"]})
    given = settings_for("landscape", without, "honest", "gin-zinc-masking", "esol", "scaffold", "50")
    assert not build(LandscapeSettings, _through_json(given)).plane
    assert settings_for("aggregate", experiment({"landscape": False})) != settings_for("aggregate", plain)
    with pytest.raises(UserError, match="landscape"):
        experiment({"landscape": "yes"})


def test_every_stage_accepts_its_settings():
    made = experiment({"protocols": ["paper", "honest"], "budgets": [50, "all"]})
    for protocol in made.cells.protocols:
        for dataset in made.datasets:
            for budget in made.cells.budgets:
                cell = {"protocol": protocol, "dataset": dataset, "split": "scaffold", "budget": budget}
                split = build(SplitSettings, _through_json(settings_for("split", made, **cell)))
                assert (split.budget, split.seeds) == (budget, (0, 1, 2))
                for name, method in METHODS.items():
                    if method.kind == "external":
                        given = settings_for("baseline", made, **cell, model=WITHOUT_ENCODER[name], method=name)
                        settings = build(LearnerSettings, _through_json(given))
                        assert [method.parse(setting) for setting in settings.grid] == list(method.grid(0))
                        continue
                    given = settings_for("finetune", made, **cell, model="gin-zinc-masking", method=name)
                    settings = build(RunSettings, _through_json(given))
                    assert [method.parse(setting) for setting in settings.grid] == list(method.grid(5))
                    assert asdict(settings.training) == made.training.model_dump()
    for dataset in made.datasets:
        read = catalog.Dataset.from_dict(_through_json(settings_for("molecules", made, dataset)["dataset"]))
        assert (read.smiles, read.labels) == (made.datasets[dataset].smiles, made.datasets[dataset].labels)
    assert build(stages.featurize.Settings, settings_for("featurize", made, "bbbp", "hu")).featurizer == "hu"
    given = settings_for("fetch_checkpoint", made, "gin-zinc-masking")
    unread = dict.fromkeys(("citation", "licence", "note", "overlaps"), "")
    without_text = replace(made.checkpoints["gin-zinc-masking"], corpora=(), **unread)
    assert catalog.Checkpoint.from_dict(_through_json(given)) == without_text


def test_the_audit_is_told_which_models_are_one_file():
    twins = ["pretrain-gnns-gin-supervised-masking", "mole-bert"]
    for models in (["gin-zinc-masking", *twins], twins[:1]):
        assert settings_for("provenance", experiment({"models": models}))["same_files"] == [twins]
    assert settings_for("provenance", experiment({}))["same_files"] == []


def test_the_report_is_told_of_the_models_corpora():
    told = settings_for("report", experiment({"models": ["mole-bert", "gin-untrained"]}))
    assert list(told["corpora"]) == ["zinc15", "chembl"]
    assert told["corpora"]["chembl"]["title"].startswith("ChEMBL")
    assert "corpora" not in told["models"]["gin-untrained"]


def test_unknown_and_missing_settings_are_named():
    with pytest.raises(UserError, match=r"unknown keys \['epoch'\]"):
        build(PretrainSettings, {"epoch": 1})
    with pytest.raises(UserError, match=r"missing keys .*'seeds'"):
        build(SplitSettings, {"protocol": "honest"})


def test_a_wrong_call_ends_with_one_message_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["split", "--settings", '{"protocl": "honest"}', "--molecules", "m", "--out", str(tmp_path / "s")])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "protocl" in message
    assert "Traceback" not in message
    assert not list(tmp_path.iterdir())


def test_the_pretraining_recipes_are_complete():
    known = catalog.corpora()
    for name, recipe in catalog.recipes().items():
        assert name in catalog.checkpoints()
        assert all(known[corpus].files for corpus in recipe.corpora)
        assert set(recipe.computed) <= set(recipe.corpora)
        assert set(recipe.at_most) <= set(recipe.corpora)
        assert set(recipe.without) <= {*catalog.datasets(), *catalog.evaluated()}
        assert {recipe.start, recipe.teacher} <= {*catalog.checkpoints(), ""}
        assert bool(recipe.teacher) == (recipe.objective == "distillation")
        settings = _through_json(settings_for("pretraining_set", None, name))
        assert build(stages.pretraining_set.Settings, settings).labels.keys() == set(recipe.corpora)
        tasks = [task for some in (*settings["labels"].values(), *settings["computed"].values()) for task in some]
        assert set(recipe.per_atom) <= set(tasks)
        assert bool(tasks) == (recipe.objective == "supervised")
        sets = build(stages.evaluated.Settings, _through_json(settings_for("evaluated", None, name))).sets
        assert tuple(of["name"] for of in sets) == recipe.without
        stage = build(stages.pretrain.Settings, _through_json(settings_for("pretrain", None, name)))
        assert build(RECIPES[stage.objective], stage.objective_settings)
        assert build(PretrainSettings, stage.training)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_that_comes_along_is_an_experiment(path: Path):
    made = experiment(_merged(path))
    # References and heads on frozen encoders are not estimated.
    methods = [ALL_METHODS[name] for name in made.cells.methods]
    assert (estimate(made).core_hours > 0) == any(method.trains_encoder or method.encoder_of for method in methods)


def test_the_tables_are_told_of_the_datasets_leaderboards():
    made = experiment({"datasets": ["esol", "tdc_herg", "tdc_vdss_lombardo"]})
    told = settings_for("aggregate", made)["leaderboards"]
    assert told == {"tdc_herg": "roc_auc", "tdc_vdss_lombardo": "spearman"}


def test_the_papers_comparison_is_whole():
    made = experiment(_merged(ROOT / "config" / "paper.yaml"))
    cells = made.cells
    assert [len(part) for part in (cells.datasets, cells.splits, cells.budgets, made.seeds)] == [12, 3, 4, 5]
    assert estimate(made).jobs == 10 * 12 * 3 * 4 * len(cells.models)
    assert set(cells.methods) == {
        name for name in DEFAULT_METHODS if name in METHODS and name not in ("hybrid", "classical", "descriptors")
    }
    kinds = {made.checkpoints[model].pretraining for model in cells.models}
    assert {"self-supervised", "supervised"} <= kinds
    for name, method in METHODS.items():
        if method.kind != "external":
            settings = settings_for("finetune", made, "paper", cells.models[0], "bbbp", "random", "50", name)["grid"]
            assert [method.parse(setting) for setting in settings] == list(method.grid(5)), name


def _merged(path: Path) -> dict[str, Any]:
    """What snakemake makes of config.yaml and a file over it: mappings are merged, lists replaced."""

    def merge(below: Any, above: Any) -> Any:
        if not isinstance(below, dict) or not isinstance(above, dict):
            return above
        return below | {key: merge(below.get(key, {}), value) for key, value in above.items()}

    return merge(DEFAULT, yaml.safe_load(path.read_text()))


def _through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_the_default_grids_fit_encoders_of_any_depth(tmp_path: Path):
    (tmp_path / "model.py").touch()
    (tmp_path / "weights.pt").touch()
    own = {
        "code": str(tmp_path / "model.py"),
        "weights": str(tmp_path / "weights.pt"),
        "blocks": ["one", "two"],
        "pooling": "mean",
        "pretraining": "supervised",
    }
    made = experiment({**DEFAULT, "models": ["shallow", "minimol", "chemeleon"], "own_models": {"shallow": own}})
    cell = {"protocol": "honest", "dataset": "bbbp", "split": "scaffold", "budget": "50", "method": "surgical_ft"}
    for model, blocks in (("shallow", 2), ("minimol", 16), ("chemeleon", 2)):
        assert [s["block"] for s in settings_for("finetune", made, **cell, model=model)["grid"]] == list(range(blocks))
