import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from plain_pyg import as_pyg
from roftmol.core.errors import UserError
from roftmol.data import molecules
from roftmol.features import featurize, graphs
from roftmol.features.featurizers import hu
from roftmol.features.vocabulary import SELF_LOOP
from roftmol.registry import catalog
from small_dataset import SMILES, corpus


def test_flat_arrays_hold_what_rdkit_says():
    data = corpus()
    for number, smiles in enumerate(SMILES):
        molecule = Chem.MolFromSmiles(smiles)
        batch = data.batch([number])
        assert batch.atoms[:, 0].tolist() == [atom.GetAtomicNum() - 1 for atom in molecule.GetAtoms()]
        assert batch.edges.size(1) == 2 * molecule.GetNumBonds()
        for sender, receiver, (kind, _) in zip(*batch.edges.tolist(), batch.bonds.tolist(), strict=True):
            bond = molecule.GetBondBetweenAtoms(sender, receiver)
            assert kind == hu.BOND_TYPE[bond.GetBondType()]


@pytest.mark.skipif("ROFTMOL_MIRROR" not in os.environ, reason="ROFTMOL_MIRROR names no mirror")
def test_the_graphs_of_esol_are_those_of_the_released_code():
    """Its arrays' sums, and the digest of its atoms, which are 64-bit integers."""
    dataset = catalog.datasets()["esol"]
    source = next(source for source in dataset.sources if source.kind == "mirror")
    table = molecules.read(Path(os.environ["ROFTMOL_MIRROR"]) / source.file, dataset, max_rejected=0.0)[0]
    data = featurize.featurize(table, "hu", 1)
    assert (data.atoms.shape, data.bonds.shape) == ((14991, 2), (30856, 2))
    assert (data.atoms.sum(0).tolist(), data.bonds.sum(0).tolist()) == ([91855, 0], [38592, 42])
    atoms = hashlib.sha256(data.atoms.astype(np.int64).tobytes()).hexdigest()
    assert atoms == "2795c533cb91905e3d2453eb76b7e314853148fd87f92a990e00e56c5559752c"


def test_mirror_images_and_double_bond_isomers_differ():
    data = corpus()
    left, right = data.batch([3]), data.batch([4])
    assert not torch.equal(left.atoms, right.atoms)
    cis, trans = data.batch([6]), data.batch([5])
    assert not torch.equal(cis.bonds, trans.bonds)


def test_molecules_without_bonds_have_only_their_self_loops():
    batch = corpus().batch([8, 9])
    assert batch.edges.size(1) == 0
    assert batch.hop.bond_counts.tolist() == [[0, 0, 0, 0, 1, 0, 1, 0, 0]] * 3
    assert batch.sizes.tolist() == [2, 1]


def test_batch_is_the_same_as_pyg_collation_in_any_order():
    data = corpus()
    order = np.random.default_rng(0).permutation(len(data))
    batch, plain = data.batch(order), as_pyg(data, order)
    assert torch.equal(batch.atoms, plain.x)
    assert torch.equal(batch.graph, plain.batch)
    loops = plain.edge_attr[:, 0] == SELF_LOOP
    assert sorted(map(tuple, plain.edge_index[:, ~loops].T.tolist())) == sorted(map(tuple, batch.edges.T.tolist()))
    counts = torch.zeros(len(batch.atoms), 9)
    for receiver, (kind, direction) in zip(plain.edge_index[1].tolist(), plain.edge_attr.tolist(), strict=True):
        counts[receiver, kind] += 1
        counts[receiver, 6 + direction] += 1
    assert torch.equal(batch.hop.bond_counts, counts)
    assert torch.equal(batch.hop.degree, counts[:, :6].sum(1))


def test_batches_are_even_and_complete():
    data = corpus()
    parts = list(data.batches(range(23), 10))
    assert [len(part) for part in parts] == [8, 8, 7]
    assert np.concatenate([part.molecules for part in parts]).tolist() == list(range(23))


def test_saved_and_loaded(tmp_path):
    data = corpus(2)
    data.save(tmp_path / "g.safetensors")
    again = graphs.load(tmp_path / "g.safetensors")
    for name in data.__dataclass_fields__:
        assert np.array_equal(getattr(data, name), getattr(again, name))
    (tmp_path / "half").write_bytes((tmp_path / "g.safetensors").read_bytes()[:100])
    with pytest.raises(UserError, match="half"):
        graphs.load(tmp_path / "half")


def test_several_processes_give_the_same():
    smiles = SMILES * 100
    labels = np.zeros((len(smiles), 1), np.float32)
    one, two = featurize.from_smiles(smiles, labels, 1), featurize.from_smiles(smiles, labels, 2)
    for name in one.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(two, name))
