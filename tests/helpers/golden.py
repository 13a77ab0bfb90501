"""Write golden.json: vectors of real molecules under the shipped encoder, by the plain implementation in float64.

PYTHONPATH=workflow:tests/helpers python tests/helpers/golden.py
"""

import json
from pathlib import Path

import numpy as np
import torch

from plain_pyg import PlainEncoder, as_pyg
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import read_state
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.features import featurize, graphs
from roftmol.registry import catalog

FILE = Path(__file__).with_name("golden.json")
MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "C[C@H](N)C(=O)O",
    "F/C=C\\F",
    "[Na+].[Cl-]",
]


def shipped() -> Encoder:
    """The encoder that comes with the repository, in eval mode."""
    source = catalog.checkpoints()["gin-zinc-masking"].sources[0]
    encoder = GNN(Architecture(), dropout=0.0)
    encoder.load_state_dict(read_state(catalog.REGISTRY.parents[1] / source.file))
    return encoder.eval()


def molecules() -> graphs.Graphs:
    return featurize.from_smiles(MOLECULES, np.zeros((len(MOLECULES), 1), np.float32))


if __name__ == "__main__":
    with torch.no_grad():
        vectors = PlainEncoder(shipped().double())(as_pyg(molecules(), range(len(MOLECULES))))
    content = [
        {"smiles": smiles, "length": vector.norm().item(), "first": vector[:6].tolist()}
        for smiles, vector in zip(MOLECULES, vectors, strict=True)
    ]
    FILE.write_text(json.dumps(content, indent=1) + "\n")
