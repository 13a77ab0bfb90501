"""What users may bring: the example of the documentation, and stacks of PyTorch Geometric's own layers.

Each comes with its lines of configuration.
"""

import re
from pathlib import Path
from typing import Any

import torch
import yaml
from rdkit import Chem
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GINEConv, GPSConv, PNAConv, global_add_pool

WIDTH, ATOM, BOND = 12, 7, 5
ELEMENTS = (6, 7, 8, 9, 17)
BONDS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)


def featurize(molecule):
    """Floats; of a molecule without bonds, the empty tensors that people write."""
    x = [[a.GetAtomicNum() == e for e in ELEMENTS] + [a.GetFormalCharge(), a.GetDegree()] for a in molecule.GetAtoms()]
    ends, bonds = [], []
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        ends += [(i, j), (j, i)]
        bonds += [[bond.GetBondType() == kind for kind in BONDS] + [bond.IsInRing()]] * 2
    return Data(
        x=torch.tensor(x, dtype=torch.float),
        edge_index=torch.tensor(ends).t(),
        edge_attr=torch.tensor(bonds, dtype=torch.float),
    )


def gat():
    """PyTorch Geometric's model, with layers that have a matrix under two names, and a norm that is no BatchNorm."""
    return GAT(ATOM, WIDTH, 3, jk="cat", v2=True, share_weights=True, heads=2, edge_dim=BOND, norm="GraphNorm")


class PNA(nn.Module):
    """It pools itself, and has a BatchNorm of molecules."""

    def __init__(self):
        super().__init__()
        self.atoms = nn.Linear(ATOM, WIDTH)
        about = {"edge_dim": BOND, "deg": torch.tensor([2, 30, 60, 40, 4]), "towers": 2, "divide_input": True}
        aggregators, scalers = ["mean", "min", "max", "std"], ["identity", "amplification", "attenuation"]
        self.layers = nn.ModuleList(
            nn.ModuleList([PNAConv(WIDTH, WIDTH, aggregators, scalers, **about), nn.BatchNorm1d(WIDTH)])
            for _ in range(2)
        )
        self.dropout = 0.1
        self.top = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.BatchNorm1d(2 * WIDTH), nn.ReLU())

    def forward(self, x, edge_index, edge_attr, batch):
        x = self.atoms(x)
        for convolution, norm in self.layers:
            x = norm(convolution(x, edge_index, edge_attr)).relu()
            x = nn.functional.dropout(x, self.dropout, self.training)
        return self.top(global_add_pool(x, batch))


class GPS(nn.Module):
    """Attention over whole molecules, a BatchNorm of bonds, a scale that is a parameter of the module itself."""

    def __init__(self):
        super().__init__()
        self.atoms = nn.Linear(ATOM, WIDTH)
        self.bonds = nn.Sequential(nn.Linear(BOND, WIDTH), nn.BatchNorm1d(WIDTH))
        self.scale = nn.Parameter(torch.ones(WIDTH))
        self.layers = nn.ModuleList(
            GPSConv(WIDTH, GINEConv(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())), heads=2, dropout=0.1)
            for _ in range(2)
        )

    def forward(self, x, edge_index, edge_attr, batch):
        x, bonds = self.atoms(x) * self.scale, self.bonds(edge_attr)
        for layer in self.layers:
            x = layer(x, edge_index, batch, edge_attr=bonds)
        return x


#: What config.yaml says of each stack, beside its files.
STACKS = {
    "gat": {
        "embed": [],
        "blocks": [[f"{kind}.{layer}" for kind in ("convs", "norms")] for layer in range(3)],
        "readout": ["lin"],
        "pooling": "sum",
    },
    "pna": {
        "embed": ["atoms"],
        "blocks": [["layers.0"], ["layers.1.0", "layers.1.1"]],
        "readout": ["top"],
        "pooling": "none",
    },
    "gps": {
        "embed": ["atoms", "bonds", "scale"],
        "blocks": [["layers.0"], ["layers.1"]],
        "readout": [],
        "pooling": "mean",
    },
}
pna, gps = PNA, GPS

DOCS = Path(__file__).parents[2] / "docs"
#: The code of the example: an encoder of GINE layers.
EXAMPLE = DOCS / "own_model" / "my_model.py"
#: The blocks of code of the page about them, by language.
FENCED = dict(re.findall(r"```(\w+)\n(.*?)```", (DOCS / "own-models.md").read_text(), re.DOTALL))
GINE = yaml.safe_load(FENCED["yaml"])["own_models"]["my-gine"]
#: The same of the example and the stacks.
PARTS = {"gine": {key: GINE[key] for key in STACKS["gat"]}, **STACKS}


def code_of(name: str, folder: Path) -> Path:
    """Write the file that a user would bring for the model `name`."""
    path = folder / f"{name}.py"
    path.write_text(EXAMPLE.read_text() if name == "gine" else f"from own_models import {name} as build, featurize\n")
    return path


def architecture(name: str, code: Path) -> dict[str, Any]:
    return {"kind": "own", "code": str(code), **PARTS[name]}
