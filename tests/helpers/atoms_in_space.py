"""Molecules with their geometries, and fits of models that read them."""

from __future__ import annotations

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from roftmol.encoders.base import Spatial
from roftmol.features import featurize
from roftmol.features.graphs import Batch, Graphs
from roftmol.methods import METHODS
from roftmol.methods.protocols import PROTOCOLS
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.model import Model, new_model

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "FC(F)CN", "O", "CSCC(=O)O", "C#CC", "ClCCP"]
TASK = Task("regression", "rmse")
FOLD = Fold(np.arange(5), np.arange(5, 7), np.arange(7, 8))
HONEST = PROTOCOLS["honest"]


def geometry(smiles: str, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    assert rdDistGeom.EmbedMolecule(molecule, parameters) == 0
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    return numbers, np.array(molecule.GetConformer().GetPositions())


def conformers(smiles: list[str] = SMILES) -> tuple[list[np.ndarray], list[np.ndarray]]:
    numbers, positions = zip(*map(geometry, smiles), strict=True)
    return list(numbers), list(positions)


def molecules(smiles: list[str] = SMILES) -> Graphs:
    labels = np.linspace(-1, 1, len(smiles)).astype(np.float32)[:, None]
    return featurize.from_conformers(*conformers(smiles), labels)


def rotation(seed: int = 0) -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    return q * np.linalg.det(q)


def numerical_force(encoder: Spatial, batch: Batch, atom: int, axis: int, step: float) -> float:
    """Minus the slope of the energy as one atom is moved, by the central difference."""
    ends = []
    for sign in (1, -1):
        moved = batch.atoms[:, 1:].clone()
        moved[atom, axis] += sign * step
        with torch.no_grad():
            ends.append(float(encoder.energies(batch.at(moved))))
    return -(ends[0] - ends[1]) / (2 * step)


def fitted(encoder: Spatial, name: str, setting: dict, epochs: int = 2) -> Model:
    data, method = molecules(), METHODS[name]
    training = TrainSettings(epochs, batch_size=3)
    fit = Fit(method, method.parse(setting), data, FOLD, TASK, HONEST, training)
    model = new_model(encoder, fit)
    assert len(train(model, fit).curve) == epochs
    return model


def still_parts(encoder: Spatial, name: str, setting: dict) -> set[str]:
    """The parts that a method leaves as they were."""
    before = {key: theta.clone() for key, theta in encoder.named_parameters()}
    after = fitted(encoder, name, setting).encoder.named_parameters()
    moved = {encoder.part_of(key) for key, theta in after if not torch.equal(theta, before[key])}
    return {*encoder.parts, "force_field"} - moved
