"""Models that are one are found by content, whatever they are called."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from roftmol.cli.main import main
from roftmol.core.weights_digest import content_digest
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.registry.catalog import Checkpoint, Source, checkpoints
from roftmol.registry.same_models import same_models
from roftmol.tables import schemas


def test_the_registry_holds_one_file_under_two_names():
    assert same_models(checkpoints().values()) == (("pretrain-gnns-gin-supervised-masking", "mole-bert"),)


def test_a_file_of_the_users_own_is_not_judged_by_the_registrys_checksums():
    known = checkpoints()
    own = Source(kind="path", file="mine.pth")
    mine = replace(known["mole-bert"], sources=(own, *known["mole-bert"].sources))
    assert not same_models([mine, known["graphcl"], known["pretrain-gnns-gin-supervised-masking"]])


def test_the_stage_finds_twins_by_their_weights_and_by_checksum(tmp_path):
    for name, seed in {"a": 0, "b": 1, "c": 0}.items():
        torch.manual_seed(seed)
        state = GNN(Architecture("gin", 2, 16)).state_dict()
        save_file(state, tmp_path / f"{name}.safetensors", metadata={"name": name})
    lists = {name: ["zinc250k"] for name in ("corpora", "learnt", "checkable", "suspected")}
    models = {name: {"pretraining": "both", **lists} for name in "abc"}
    settings = {"models": models, "same_files": [["b", "elsewhere"]]}
    out = tmp_path / "models.parquet"
    main(["provenance", "--settings", json.dumps(settings), "--checkpoints", str(tmp_path), "--out", str(out)])
    table = schemas.read("models", out).set_index("model")
    assert {name: list(others) for name, others in table["same_as"].items()} == {
        "a": ["c"],
        "b": ["elsewhere"],
        "c": ["a"],
    }
    assert table["content"]["a"] == table["content"]["c"] != table["content"]["b"]
    settings["same_files"] = [["b", "a"]]
    main(["provenance", "--settings", json.dumps(settings), "--checkpoints", str(tmp_path), "--out", str(out)])
    assert set(schemas.read("models", out).set_index("model")["same_as"]["c"]) == {"a", "b"}


def test_what_is_one_with_two_groups_joins_them():
    def model(name: str, *blobs: str) -> Checkpoint:
        sources = tuple(Source(kind="url", file=blob, git_blob=blob) for blob in blobs)
        return replace(checkpoints()["graphcl"], name=name, sources=sources)

    groups = same_models([model("a", "x"), model("b", "y"), model("c", "z"), model("d", "x", "z")])
    assert [set(group) for group in groups] == [{"a", "c", "d"}]


def test_the_digest_sees_weights_and_nothing_else(tmp_path):
    torch.manual_seed(0)
    state = GNN(Architecture("gin", 2, 16)).state_dict()
    counted = {name: tensor + 5 if name.endswith("num_batches_tracked") else tensor for name, tensor in state.items()}
    changed = {**state, "embed.element.weight": state["embed.element.weight"] + 1e-6}
    renamed = {name.replace("blocks.0", "blocks.9"): tensor for name, tensor in state.items()}
    digests = []
    for number, tensors in enumerate((state, counted, changed, renamed)):
        save_file(tensors, tmp_path / f"{number}.safetensors", metadata={"name": str(number)})
        digests.append(content_digest(tmp_path / f"{number}.safetensors"))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.skipif("ROFTMOL_MIRROR" not in os.environ, reason="ROFTMOL_MIRROR is not set")
def test_the_copies_that_the_mirrors_manifest_knows_are_found():
    manifest = json.loads((Path(os.environ["ROFTMOL_MIRROR"]) / "MANIFEST.json").read_text())
    published = {asset["url"]: f"{asset['repo']}:{asset['path']}" for asset in manifest["missing_checkpoints"]}
    places = {
        name: {published[source.file] for source in checkpoint.sources if source.file in published}
        for name, checkpoint in checkpoints().items()
    }
    copies = [set(files) for files in manifest["identical_blobs"].values()]
    shared = [{name for name, files in places.items() if files & group} for group in copies]
    assert {frozenset(names) for names in shared if len(names) > 1} == {
        frozenset(group) for group in same_models(checkpoints().values())
    }
