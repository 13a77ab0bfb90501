import torch
from rdkit import Chem
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GINEConv

ELEMENTS = [6, 7, 8, 9, 15, 16, 17, 35, 53]  # any other is row 9
BONDS = [Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC]


class GINE(nn.Module):
    def __init__(self, width=64, layers=3):
        super().__init__()
        self.atoms = nn.Embedding(len(ELEMENTS) + 1, width)
        self.bonds = nn.Embedding(len(BONDS), width)
        self.convs = nn.ModuleList(
            GINEConv(
                nn.Sequential(
                    nn.Linear(width, 2 * width), nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, width)
                )
            )
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers))
        self.dropout = nn.Dropout(0.2)
        self.projection = nn.Linear(width, width)

    def forward(self, x, edge_index, edge_attr, batch):
        x, bonds = self.atoms(x[:, 0]), self.bonds(edge_attr[:, 0])
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + self.dropout(norm(conv(x, edge_index, bonds)).relu())
        return self.projection(x)


def build():
    return GINE()


def featurize(molecule):
    x = [[ELEMENTS.index(a.GetAtomicNum()) if a.GetAtomicNum() in ELEMENTS else 9] for a in molecule.GetAtoms()]
    ends, kinds = [], []
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        ends += [(i, j), (j, i)]
        kinds += [[BONDS.index(bond.GetBondType())]] * 2
    edge_index = torch.tensor(ends, dtype=torch.long).reshape(-1, 2).T
    edge_attr = torch.tensor(kinds, dtype=torch.long).reshape(-1, 1)
    return Data(x=torch.tensor(x), edge_index=edge_index, edge_attr=edge_attr)
