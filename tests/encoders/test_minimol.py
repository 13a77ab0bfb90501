"""MiniMol against the authors' package, and what must hold of its features and of the network.

golden_minimol.json holds, for 50 molecules, what minimol 1.3.5 with graphium 2.4.7 gave: norm and first entries of the
embedding, and of the features those columns that another implementation cannot reproduce to the bit: eigenvectors
(their signs are arbitrary) and return probabilities (float32 there), as float16, base64.
"""

import base64
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from every_method import check_parts
from published_encoders import fetched
from roftmol.encoders.checkpoints import load_encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.encoders.minimol import MiniMol
from roftmol.features.featurize import from_smiles
from roftmol.features.featurizers.minimol import _group_and_period, featurize
from roftmol.methods import METHODS
from roftmol.training.fit import Fold

GOLDEN = json.loads(Path(__file__).with_name("golden_minimol.json").read_text())["entries"]
SMILES = [entry["smiles"] for entry in GOLDEN]
ARCHITECTURE = {"kind": "minimol", "layers": 16, "width": 512}


@pytest.fixture(scope="module")
def network(pytestconfig, tmp_path_factory):
    """The published network, from the package index."""
    return load_encoder(fetched("minimol", pytestconfig, tmp_path_factory), 0.0).eval()


def collate(smiles):
    return from_smiles(list(smiles), np.zeros((len(smiles), 1), np.float32), name="minimol")


def embed(network, data):
    with torch.no_grad():
        return network(data.batch(range(len(data))))


def parsed(smiles):
    return featurize(Chem.MolFromSmiles(smiles))


def unpack(text, width):
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32).reshape(-1, width)


def differences(embedding):
    first = torch.tensor([entry["first"] for entry in GOLDEN])
    norm = torch.tensor([entry["norm"] for entry in GOLDEN])
    return (embedding[:, :8] - first).abs().amax(1), (embedding.norm(dim=1) - norm).abs() / norm


def test_equals_the_authors_on_their_features(network):
    data = collate(SMILES)
    data.atoms[:, :8] = np.concatenate([unpack(entry["eigenvectors"], 8) for entry in GOLDEN])
    data.atoms[:, 16:32] = np.concatenate([unpack(entry["walks"], 16) for entry in GOLDEN])
    first, norm = differences(embed(network, data))
    assert first.max() < 1e-5
    assert norm.max() < 2e-6


def test_equals_the_authors_up_to_eigenvectors(network):
    first, norm = differences(embed(network, collate(SMILES)))
    assert first.max() < 0.1
    assert norm.max() < 1e-2  # measured 5.6e-3


def test_our_features_are_theirs_up_to_eigenvectors():
    for entry in GOLDEN:
        atoms, *_ = parsed(entry["smiles"])
        walks = unpack(entry["walks"], 16)
        assert np.abs(atoms[:, 16:32] - walks).max() <= 2**-11  # a unit in the last place of float16 below 1
        vectors = unpack(entry["eigenvectors"], 8)
        assert np.allclose((vectors**2).sum(0) > 0, (atoms[:, :8] ** 2).sum(0) > 0)


def test_order_of_atoms_does_not_matter(network):
    draw = random.Random(0)
    shuffled = []
    for smiles in SMILES:
        molecule = Chem.MolFromSmiles(smiles)
        order = draw.sample(range(molecule.GetNumAtoms()), molecule.GetNumAtoms())
        shuffled.append(Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False))
    given = embed(network, collate(SMILES))
    assert ((embed(network, collate(shuffled)) - given).norm(dim=1) / given.norm(dim=1)).max() < 1e-5


def test_other_molecules_of_the_batch_do_not_matter(network):
    together = embed(network, collate(SMILES))
    for k in range(0, 50, 7):
        assert torch.allclose(embed(network, collate([SMILES[k]]))[0], together[k], atol=1e-4)


@pytest.mark.parametrize("smiles", ["[Na+]", "[Na+].[Cl-]", "C", "[U]", "*", "CC"])
def test_small_molecules(network, smiles):
    assert torch.isfinite(embed(network, collate([smiles]))).all()


@pytest.mark.parametrize(
    "smiles", ["CC", "CCCC", "c1ccccc1", "C12C3C4C1C5C2C3C45", "CC(C)(C)C", "[Na+].[Na+].[O-]S(=O)(=O)[O-]"]
)
def test_eigenvectors_solve_and_are_orthonormal(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    atoms, *_ = featurize(molecule)
    adjacency = Chem.GetAdjacencyMatrix(molecule).astype(float)
    laplacian = np.diag(adjacency.sum(1)) - adjacency
    assert np.allclose(laplacian @ atoms[:, :8], atoms[:, :8] * atoms[:, 8:16], atol=3e-3)
    for component in Chem.GetMolFrags(molecule):
        u = atoms[list(component), :8]
        kept = min(8, len(component))
        assert np.allclose(u.T @ u, np.diag([1.0] * kept + [0.0] * (8 - kept)), atol=3e-3)


def test_signs_are_the_rules():
    for smiles in SMILES:
        molecule = Chem.MolFromSmiles(smiles)
        atoms, *_ = featurize(molecule)
        for component in Chem.GetMolFrags(molecule):
            assert ((atoms[list(component), :8].astype(float) ** 3).sum(0) > -2e-3).all()


def test_groups_and_periods():
    known = {1: (1, 1), 2: (18, 1), 4: (2, 2), 5: (13, 2), 13: (13, 3), 17: (17, 3), 21: (3, 4), 26: (8, 4)}
    known |= {35: (17, 4), 39: (3, 5), 53: (17, 5), 57: (3, 6), 58: (19, 6), 71: (19, 6), 72: (4, 6), 78: (10, 6)}
    known |= {86: (18, 6)}
    known |= {89: (3, 7), 90: (19, 7), 103: (19, 7), 104: (4, 7), 118: (18, 7)}
    assert {number: _group_and_period(number) for number in known} == known


def test_every_parameter_has_a_part_and_a_gradient():
    torch.manual_seed(0)
    network = new_encoder(ARCHITECTURE).train()
    network(collate(SMILES).batch(range(50))).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert network.part_of(name) in network.parts
        assert parameter.grad.abs().sum() > 0, name


def test_training_draws_and_flips_only_when_asked():
    torch.manual_seed(0)
    still = MiniMol(dropout=0.0, encoding_dropout=0.0)
    batch = collate(SMILES[:10]).batch(range(10))
    with torch.no_grad():
        plain = still.eval()(batch)
        assert torch.equal(still.train()(batch), plain)
        still.embed.spectrum.flip = True
        assert torch.equal(still.eval()(batch), plain)
        assert not torch.equal(still.train()(batch), plain)


def test_it_can_be_entered_at_any_block():
    torch.manual_seed(0)
    network = new_encoder(ARCHITECTURE).eval()
    batch = collate(SMILES[:10]).batch(range(10))
    with torch.no_grad():
        whole = network.state(batch).atoms
        for start in (0, 1, 9, 15):
            assert torch.equal(network.state(batch, network.state(batch, stop=start), start=start).atoms, whole)


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.trains_encoder], ids=lambda method: method.name)
def test_every_method_works_on_it_block_by_block(method):
    torch.manual_seed(1)
    encoder, data = new_encoder(ARCHITECTURE), collate(SMILES[:12])
    data.labels[:, 0] = np.arange(12) % 5
    check_parts(encoder, data, Fold(np.arange(6), np.arange(6, 9), np.arange(9, 12)), method, method.grid(16)[-1])
