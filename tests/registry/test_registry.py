"""The registry: complete, checked, strict about what users write."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from roftmol.core.errors import UserError
from roftmol.registry.catalog import PART, Checkpoint, Dataset, checkpoints, corpora, datasets, evaluated

OWN = {"name": "mine", "path": "mine.csv", "smiles": "SMILES", "labels": "y", "task": "regression"}
#: TDC's sets with its metrics, as its leaderboard has them.
TDC = {
    "caco2_wang": "mae",
    "hia_hou": "roc_auc",
    "pgp_broccatelli": "roc_auc",
    "bioavailability_ma": "roc_auc",
    "lipophilicity_astrazeneca": "mae",
    "solubility_aqsoldb": "mae",
    "bbb_martins": "roc_auc",
    "ppbr_az": "mae",
    "vdss_lombardo": "spearman",
    "cyp2c9_veith": "pr_auc",
    "cyp2d6_veith": "pr_auc",
    "cyp3a4_veith": "pr_auc",
    "cyp2c9_substrate_carbonmangels": "pr_auc",
    "cyp2d6_substrate_carbonmangels": "pr_auc",
    "cyp3a4_substrate_carbonmangels": "roc_auc",
    "half_life_obach": "spearman",
    "clearance_hepatocyte_az": "spearman",
    "clearance_microsome_az": "spearman",
    "ld50_zhu": "mae",
    "herg": "roc_auc",
    "ames": "roc_auc",
    "dili": "roc_auc",
}
ENCODER = {
    "name": "mine",
    "path": "mine.pth",
    "architecture": {"kind": "gin", "layers": 3, "width": 64},
    "pretraining": "supervised",
}


def test_the_promised_data_sets_are_registered() -> None:
    promised = "bbbp bace clintox sider tox21 toxcast hiv muv esol freesolv lipo malaria cep moleculeace_chembl234_ki"
    boom = [f"qm9-{name}" for name in ("homo", "lumo", "gap", "zpve", "r2", "alpha", "mu", "cv")]
    assert list(datasets()) == [*promised.split(), *boom, *(f"tdc_{name}" for name in TDC)]


def test_the_sets_of_tdc_are_its_files_under_its_metrics() -> None:
    """The parts that another entry names too, in the order in which they are laid together."""
    files = {source.file: source for sources in evaluated()["tdc-admet"].files for source in sources}
    official = {name: dataset for name, dataset in datasets().items() if dataset.leaderboard_metric}
    assert {name: dataset.leaderboard_metric for name, dataset in official.items()} == {
        f"tdc_{name}": metric for name, metric in TDC.items()
    }
    assert Counter(dataset.task for dataset in official.values()) == {"classification": 13, "regression": 9}
    assert len(files) == sum(len(source.all_files) for dataset in official.values() for source in dataset.sources)
    for name, dataset in official.items():
        assert [source.kind for source in dataset.sources] == ["mirror", "url"]
        for source in dataset.sources:
            assert set(source.all_files) <= files.keys()
            ends = [f"/{name.removeprefix('tdc_')}/{part}.csv" for part in ("train_val", "test")]
            assert all(file.endswith(end) for file, end in zip(source.all_files, ends, strict=True))
            assert source.part_names == ("train", "test")
        assert len({source.sha256 for source in dataset.sources}) == 1
        assert (dataset.split_column, dataset.duplicates) == (PART, "keep")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"leaderboard_metric": "f1", "split_column": "part"},
            "leaderboard_metric is 'f1'; give one of 'rmse'",
        ),
        ({"leaderboard_metric": "mae"}, "leaderboard_metric is for a set whose split_column tells"),
        ({"parts": ["b.csv"], "part_names": ["train"]}, "part_names has 1 words for 2 files"),
        ({"parts": ["b.csv"], "unpack": "gzip"}, "parts are files as they are; leave them out, or `unpack`"),
    ],
)
def test_what_a_leaderboard_lacks_is_named(change: dict[str, object], message: str) -> None:
    of_source = {key: value for key, value in change.items() if key not in ("leaderboard_metric", "split_column")}
    own = {key: value for key, value in {**OWN, **change}.items() if key not in of_source and key != "path"}
    with pytest.raises(UserError, match=re.escape(message)):
        Dataset.from_dict({**own, "sources": [{"kind": "path", "file": "a.csv", **of_source}]})


def test_the_tasks_of_boom_are_the_labels_of_one_file() -> None:
    entries = [entry for name, entry in datasets().items() if name.startswith("qm9-")]
    corpus = corpora()["qm9"]
    assert sorted(label for entry in entries for label in entry.labels) == sorted(corpus.labels)
    assert all(entry.sources == entries[0].sources for entry in entries)
    (source,) = entries[0].sources
    assert [source.file, *source.parts] == [part.file for (part,) in corpus.files]
    assert source.archive == corpus.files[0][0].archive
    assert source.rows == corpus.molecules
    assert all(entry.has_geometry for entry in entries)
    assert len({entry.note for entry in entries}) == len(entries)


def test_the_promised_checkpoints_are_registered() -> None:
    names = set(checkpoints())
    assert {"gin-zinc-masking", "mole-bert", "graphmae", "graphcl", "simgrace", "rgcl", "graphlog", "mgssl"} <= names
    assert {"molclr-gcn", "molclr-gin", "minimol", "chemeleon"} <= names
    assert len([name for name in names if name.startswith("pretrain-gnns-gin-")]) == 9
    assert len([name for name in names if re.match("pretrain-gnns-(gcn|graphsage|gat)-", name)]) == 9


@pytest.mark.parametrize("entry", [*datasets().values(), *checkpoints().values()], ids=lambda entry: entry.name)
def test_every_entry_survives_json_and_names_its_origin(entry: Dataset | Checkpoint) -> None:
    assert type(entry).from_dict(json.loads(json.dumps(entry.to_dict()))) == entry
    assert entry.citation
    assert entry.licence


@pytest.mark.parametrize("dataset", datasets().values(), ids=lambda dataset: dataset.name)
def test_every_source_of_data_has_checksum_and_rows(dataset: Dataset) -> None:
    assert dataset.sources
    for source in dataset.sources:
        assert re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.rows
        assert set(source.columns) <= {dataset.smiles, *dataset.labels}


def test_every_checkpoint_says_what_is_known_of_overlaps() -> None:
    assert all(checkpoint.overlaps for checkpoint in checkpoints().values())


@pytest.mark.parametrize("checkpoint", checkpoints().values(), ids=lambda checkpoint: checkpoint.name)
def test_every_checkpoint_names_its_corpora(checkpoint: Checkpoint) -> None:
    assert bool(checkpoint.corpora) == (checkpoint.pretraining != "none")
    assert set(checkpoint.corpora) <= set(corpora())
    assert set(checkpoint.suspected) <= set(datasets())
    assert bool(checkpoint.learnt) == (checkpoint.pretraining in ("supervised", "both"))
    assert set(checkpoint.learnt) <= set(checkpoint.corpora)
    # where all was learnt with labels, or nothing was, `pretraining` says so already
    assert not checkpoint.labelled or set(checkpoint.labelled) < set(checkpoint.corpora)
    assert checkpoint.labelled or checkpoint.pretraining != "both"


def test_every_corpus_is_to_be_had_or_says_why_not() -> None:
    for corpus in corpora().values():
        assert corpus.title
        assert corpus.files or corpus.note


def test_a_corpus_of_structures_is_the_dataset_without_its_labels() -> None:
    for name in ("muv", "hiv"):
        corpus, dataset = corpora()[f"{name}-structures"], datasets()[name]
        (sources,) = corpus.files
        assert {(one.kind, one.file, one.sha256) for one in sources} <= {
            (one.kind, one.file, one.sha256) for one in dataset.sources
        }
        assert (corpus.smiles, corpus.labels) == (dataset.smiles, ())
        assert corpus.molecules == dataset.sources[0].rows


def test_sets_that_are_evaluated_elsewhere_are_checked() -> None:
    files = [sources for entry in evaluated().values() for sources in entry.files]
    assert len(files) == 2 * 22 + 30
    assert all(re.fullmatch("[0-9a-f]{64}", source.sha256) for sources in files for source in sources)
    assert all(len({source.sha256 for source in sources}) == 1 for sources in files)
    (of_dataset,) = datasets()["moleculeace_chembl234_ki"].sources
    assert (of_dataset.archive, of_dataset.file, of_dataset.sha256) in {
        (source.archive, source.file, source.sha256) for sources in files for source in sources
    }


def test_published_weights_are_checked() -> None:
    for checkpoint in checkpoints().values():
        for source in checkpoint.sources:
            assert re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", source.sha256 or source.git_blob)


@pytest.mark.parametrize("name", ["bbbp", "bace", "esol", "lipo", "freesolv"])
def test_the_package_index_alone_suffices(name: str) -> None:
    assert any(source.kind == "package" for source in datasets()[name].sources)


def test_mole_bert_is_listed_as_what_its_bytes_say() -> None:
    known = checkpoints()
    twin = known["pretrain-gnns-gin-supervised-masking"]
    assert {source.git_blob for source in known["mole-bert"].sources} == {source.git_blob for source in twin.sources}
    assert known["mole-bert"].pretraining == twin.pretraining == "both"


def test_an_own_csv_needs_few_words() -> None:
    dataset = Dataset.from_dict(OWN)
    assert dataset.labels == ("y",)
    assert dataset.metric == "rmse"
    assert dataset.duplicates == "drop"
    assert [(source.kind, source.file, source.sha256) for source in dataset.sources] == [("path", "mine.csv", "")]


@pytest.mark.parametrize(
    ("path", "form"),
    [("mine.xyz", "xyz"), ("mine.v2.EXTXYZ", "xyz"), ("mine.sdf", "sdf"), ("mine.csv", "csv"), ("xyz", "csv")],
)
def test_the_ending_of_an_own_file_says_its_format(path: str, form: str) -> None:
    dataset = Dataset.from_dict({**OWN, "path": path})
    assert dataset.format == form
    assert dataset.has_geometry == (form != "csv")
    assert Dataset.from_dict(json.loads(json.dumps(dataset.to_dict()))) == dataset


def test_structures_need_no_smiles_and_columns_can_hold_a_geometry() -> None:
    plain = {key: value for key, value in OWN.items() if key != "smiles"}
    assert Dataset.from_dict({**plain, "path": "mine.sdf"}).smiles == ""
    dataset = Dataset.from_dict({**OWN, "geometry": ["elements", "positions"]})
    assert dataset.has_geometry
    assert Dataset.from_dict(json.loads(json.dumps(dataset.to_dict()))) == dataset


def test_what_an_entry_does_not_use_is_not_in_its_json() -> None:
    """So that what was made before these keys were known is not made again."""
    for entry in (datasets()["esol"], checkpoints()["gin-zinc-masking"], corpora()["zinc250k"]):
        text = json.dumps(entry.to_dict())
        assert not any(f'"{key}"' in text for key in ("parts", "geometry", "format"))


def test_an_own_copy_of_a_registered_set_comes_first() -> None:
    dataset = Dataset.from_dict({**datasets()["bbbp"].to_dict(), "path": "by-hand.csv"})
    assert dataset.sources[0].file == "by-hand.csv"
    assert dataset.sources[1:] == datasets()["bbbp"].sources


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smile": "x"}, "unknown key 'smile'. Did you mean 'smiles'"),
        ({"task": "ranking"}, "task is 'ranking'"),
        ({"metric": "roc_auc"}, "metric is 'roc_auc'"),
        ({"duplicates": "first"}, "duplicates is 'first'"),
        ({"labels": []}, "at least one label column"),
        ({"labels": [5]}, "list of column names"),
        ({"name": "../mine"}, "a name names a folder"),
        ({"values": {True: 1}}, "quote words"),
        ({"sources": [{"kind": "ftp", "file": "x"}]}, "source 2: kind is 'ftp'"),
        ({"sources": [{"kind": "package", "file": "x"}]}, "needs `archive`"),
        ({"sources": [{"kind": "url", "file": "x", "parts": ["y"], "unpack": "gzip"}]}, "parts are files as they are"),
        ({"geometry": ["elements"]}, "geometry is ['elements']; name the columns"),
        ({"path": "mine.xyz", "geometry": ["elements", "positions"]}, "geometry is for a CSV, and the format is 'xyz'"),
        ({"path": "mine.sdf", "cliff_column": "cliff"}, "cliff_column is for a CSV, and the format is 'sdf'"),
        ({"format": "mol2"}, "format is 'mol2'"),
        ({"smiles": ""}, "missing smiles, the column of SMILES; only structure files (.xyz, .extxyz, .sdf) do without"),
    ],
)
def test_a_mistake_in_a_data_set_is_named(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Dataset.from_dict({**OWN, **change})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(UserError, match="mine: missing smiles"):
        Dataset.from_dict({key: value for key, value in OWN.items() if key != "smiles"})
    with pytest.raises(UserError, match="give the file as `path`"):
        Dataset.from_dict({key: value for key, value in OWN.items() if key != "path"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": {"kind": "gin"}}, "kind, layers and width"),
        ({"architecture": {"kind": "mpnn", "layers": 5, "width": 300}}, "architecture kind is 'mpnn'"),
        ({"architecture": {"kind": "gin", "layers": 0, "width": 300}}, "positive whole number"),
        ({"architecture": {"kind": "dmpnn", "depth": "six", "width": 300}}, "architecture depth is 'six'"),
        ({"pretraining": "yes"}, "pretraining is 'yes'"),
        ({"vocabulary": "ogb"}, "vocabulary is 'ogb'"),
        ({"drop": [""]}, "beginnings of weights' names"),
        ({"corpora": [5]}, "list of names"),
    ],
)
def test_a_mistake_in_a_checkpoint_is_named(change: dict, message: str) -> None:
    assert Checkpoint.from_dict(ENCODER).sources[0].file == "mine.pth"
    with pytest.raises(UserError, match=re.escape(message)):
        Checkpoint.from_dict({**ENCODER, **change})


@pytest.mark.skipif("ROFTMOL_MIRROR" not in os.environ, reason="ROFTMOL_MIRROR is not set")
def test_the_registry_agrees_with_the_mirrors_manifest() -> None:
    manifest = json.loads((Path(os.environ["ROFTMOL_MIRROR"]) / "MANIFEST.json").read_text())
    assets = {asset["file"]: asset for asset in manifest["assets"]}
    published = {asset["url"]: asset["git_oid"] for asset in manifest["missing_checkpoints"]}
    sources = [source for entry in [*datasets().values(), *checkpoints().values()] for source in entry.sources]
    in_mirror = [source for source in sources if source.file in assets]
    elsewhere = [source for source in sources if source.file in published]
    assert in_mirror
    assert elsewhere
    for source in in_mirror:
        assert source.sha256 == assets[source.file]["content_sha256"]
        assert source.rows == assets[source.file].get("rows")
    for source in elsewhere:
        assert source.git_blob == published[source.file]
