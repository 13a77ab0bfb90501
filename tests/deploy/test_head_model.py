"""Heads as bundles: what is read back predicts the same, each molecule has its own interval, nothing else is stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem.Crippen import MolLogP
from safetensors import safe_open

from molecule_tables import SMILES
from roftmol.core.errors import UserError
from roftmol.deploy import bundle
from roftmol.deploy.ensemble import EnsembleSettings
from roftmol.deploy.fitted_models import Bundle
from roftmol.deploy.head_model import HeadModel, Labelled, Reader
from roftmol.deploy.new_molecules import NewMolecules
from roftmol.deploy.pretrained import Pretrained
from roftmol.deploy.refit import fit_bundle
from roftmol.encoders.checkpoints import architecture_of, convert
from roftmol.features.fingerprints import morgan_counts
from roftmol.features.inputs import Inputs
from roftmol.heads import forest, kernel_head, linear_head
from roftmol.methods import METHODS
from roftmol.registry import catalog
from roftmol.tasks import TASKS

#: What can be computed, and an error of measurement.
LOG_P = np.array([MolLogP(Chem.MolFromSmiles(text)) for text in SMILES]).astype(np.float32)
LOG_P += np.random.default_rng(0).normal(scale=0.4, size=len(LOG_P)).astype(np.float32)
TRAIN, TEST = SMILES[::2], SMILES[1::2]
HEADS = ("ridge", "kernel", "hybrid", "classical", "descriptors")
Make = Callable[[str, str], Bundle]


def labels(task: str) -> np.ndarray:
    values = LOG_P[::2]
    return (np.median(values) < values).astype(np.float32) if task == "classification" else values


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    entry = catalog.checkpoints()["gin-zinc-qm9-supervised"]
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    raw = catalog.REGISTRY.parents[1] / entry.sources[0].file
    convert(raw, entry.architecture, path, name=entry.name, vocabulary=entry.vocabulary, drop=entry.drop)
    assert architecture_of(path)["kind"] == "gin"
    return Pretrained(entry.name, path, entry.featurizer)


@pytest.fixture(scope="module")
def made(pretrained: Pretrained) -> Make:
    """Fits a head's bundle once, however many tests look at it."""

    @cache
    def make(method: str, task: str) -> Bundle:
        settings = EnsembleSettings(method, ({},), task, TASKS[task].primary.name)
        encoder = pretrained if METHODS[method].reads_encoder else None
        return fit_bundle(list(TRAIN), TRAIN, labels(task), settings, encoder, {"target": "logP"}, 0.9)

    return make


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("method", HEADS)
def test_every_head_is_bundled(tmp_path: Path, made: Make, method: str, task: str):
    fitted = made(method, task)
    bundle.write(fitted, tmp_path / "a.roftmol")
    again = bundle.read(tmp_path / "a.roftmol")
    column = again.columns[0]
    few = list(TEST[:30])
    new, old = again.predict(list(TEST) if task == "regression" else few), fitted.predict(few)
    assert new[column].to_numpy()[: len(few)] == pytest.approx(old[column].to_numpy(), rel=1e-9, abs=1e-12)
    assert new.columns.tolist() == old.columns.tolist()
    if task == "regression":
        error = np.abs(new[column] - LOG_P[1::2])
        assert np.sqrt((error**2).mean()) < 0.8 * LOG_P[1::2].std()
        assert (new["high"] - new["low"]).nunique() > len(TEST) / 2
        assert 0.75 < ((new["low"] <= LOG_P[1::2]) & (new["high"] >= LOG_P[1::2])).mean() <= 1
    text = again.describe()
    assert f"one, fitted on all {len(TRAIN)} labelled molecules" in text
    assert METHODS[method].title in text


def test_a_head_is_fitted_on_every_label(pretrained: Pretrained, made: Make):
    (model,) = made("hybrid", "regression").members
    assert isinstance(model, HeadModel)
    assert isinstance(model.head, kernel_head.KernelHead)
    (column,) = model.head.columns
    assert isinstance(column, kernel_head.Column)
    assert column.labels == pytest.approx(labels("regression"))
    assert model.head.train.substances is not None
    assert model.head.train.substances.tolist() == list(range(len(TRAIN)))
    reader = Reader(METHODS["hybrid"].reads, model.reader.encoder, pretrained.featurizer)
    predicted = model.head.predict(reader.inputs(TEST[:30]))
    found = model.predict(NewMolecules(TEST[:30]))
    assert found.mean == pytest.approx(predicted.mean[:, 0])
    assert found.spread == pytest.approx(predicted.deviation[:, 0])


def test_parts_are_predicted_without_their_labels():
    """Labels that nothing can know are fitted well where they are given, and not at all where they are not."""
    noise = np.random.default_rng(0).normal(size=len(TRAIN)).astype(np.float32)
    kind, reader = METHODS["descriptors"].head, Reader(METHODS["descriptors"].reads)
    assert kind
    source = Labelled(kind(), reader, reader.inputs(TRAIN), noise, np.arange(len(TRAIN)))
    settings = EnsembleSettings("descriptors", ({},), "regression", "rmse")
    half = np.arange(len(TRAIN) // 2)
    fitted = source.fit(half, settings)
    assert np.corrcoef(source.outputs(fitted, half, settings).mean, noise[half])[0, 1] > 0.9
    others = np.arange(len(half), len(TRAIN))
    assert abs(np.corrcoef(source.outputs(fitted, others, settings).mean, noise[others])[0, 1]) < 0.4


def test_a_model_to_use_reads_rdkits_descriptors_alone():
    settings = EnsembleSettings("classical", ({"descriptors": "gfn2"},), "regression", "rmse")
    with pytest.raises(UserError, match="classical: a model to use reads RDKit's descriptors"):
        fit_bundle(list(TRAIN), TRAIN, labels("regression"), settings, None, {"target": "logP"}, 0.9)


def test_what_a_kernel_heads_file_holds(tmp_path: Path, made: Make):
    """docs/bundle.md says what can be read out of it."""
    bundle.write(made("classical", "regression"), tmp_path / "a.roftmol")
    with safe_open(tmp_path / "a.roftmol", "pt") as file:
        names = {name.removeprefix("shared.") for name in file.keys()}  # noqa: SIM118 (not a mapping)
        stored = {name.removeprefix("shared."): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert names == {
        *(f"head.{name}" for name in ("molecules", "rows", "labels", "weights", "noise", "descriptors")),
        *(f"head.counts.{name}" for name in ("data", "indices", "indptr", "bits")),
        "training_bits",
    }
    assert stored["head.labels"].numpy() == pytest.approx(labels("regression"))
    assert not any(text.encode() in (tmp_path / "a.roftmol").read_bytes() for text in TRAIN if len(text) > 8)
    bundle.write(made("ridge", "regression"), tmp_path / "b.roftmol")
    with safe_open(tmp_path / "b.roftmol", "pt") as file:
        assert not any("labels" in name for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("kind", [kernel_head, linear_head, forest], ids=lambda module: module.__name__.split(".")[-1])
def test_arrays_say_all_of_a_head(kind, task: str):
    """With a missing label, with labels that are all equal, and none of several columns."""
    rng = np.random.default_rng(0)
    inputs = Inputs(
        len(SMILES),
        morgan_counts(SMILES),
        LOG_P[:, None] + rng.normal(size=(len(SMILES), 3)),
        rng.normal(size=(len(SMILES), 4)),
    )
    y = (np.median(LOG_P) < LOG_P).astype(float) if task == "classification" else LOG_P.astype(float)
    y[:7] = np.nan
    for Y in (y[:, None], np.where(np.isnan(y), np.nan, 1.0)[:, None], np.full((len(y), 1), np.nan)):
        head = kind.fit(inputs, Y, TASKS[task], 0)
        again = kind.read(head.arrays())
        assert again.predict(inputs).mean == pytest.approx(head.predict(inputs).mean, rel=1e-9, abs=1e-12)
        assert again.predict(inputs).deviation == pytest.approx(head.predict(inputs).deviation, rel=1e-6, abs=1e-9)
    equal = np.ones((len(y), 2))
    with pytest.raises(ValueError, match="one label column, and this one has 2"):
        kind.fit(inputs, equal, TASKS[task], 0).arrays()


def test_a_molecule_that_the_head_is_unsure_of_is_outside(made: Make):
    fitted = made("hybrid", "regression")
    limit = fitted.card["domain"]["unsure"]
    assert limit > 0
    strange = ["O=S(=O)(F)C(F)(F)C(F)(F)S(=O)(=O)F"]
    assert fitted._outputs(NewMolecules(strange)).spread[0] > limit
    assert "the model is unsure: standard deviation" in fitted.predict(strange)["problem"][0]
    assert made("ridge", "regression").card["domain"]["unsure"] is None
