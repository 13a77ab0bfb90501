"""The networks of Hu et al. 2020 and MolCLR's GCN written the usual way in PyTorch Geometric, to compare the
encoders with.

Messages are built one by one, self-loops are added as edges, nothing is shared or cached.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MessagePassing, global_mean_pool
from torch_geometric.utils import add_self_loops, degree, softmax

from roftmol.features.graphs import Graphs


def as_pyg(graphs: Graphs, molecules) -> Batch:
    """The molecules as a PyG batch with self-loops of bond type 4."""
    items = []
    for m in molecules:
        first, last = graphs.offsets[m], graphs.offsets[m + 1]
        senders, receivers, bonds = [], [], []
        for atom in range(first, last):
            for bond in range(graphs.indptr[atom], graphs.indptr[atom + 1]):
                senders.append(int(graphs.neighbours[bond]))
                receivers.append(atom - first)
                bonds.append(graphs.bonds[bond].tolist())
        edges = torch.tensor([senders, receivers], dtype=torch.long).reshape(2, -1)
        edges, _ = add_self_loops(edges, num_nodes=int(last - first))
        attributes = torch.tensor([*bonds, *[[4, 0]] * int(last - first)])
        items.append(
            Data(x=torch.from_numpy(graphs.atoms[first:last].astype("int64")), edge_index=edges, edge_attr=attributes)
        )
    return Batch.from_data_list(items)


class Layer(MessagePassing):
    def __init__(self, kind, convolution):
        super().__init__(aggr="mean" if kind == "graphsage" else "add")
        self.kind = kind
        self.c = convolution

    def forward(self, x, edge_index, edge_attr):
        edges = self.c.bond_type(edge_attr[:, 0]) + self.c.bond_direction(edge_attr[:, 1])
        n = len(x)
        if self.kind == "gin":
            total = self.propagate(edge_index, x=x, e=edges, w=torch.ones(len(edges), 1))
            lower, upper = self.c.mlp["0"], self.c.mlp["2"]
            return F.linear(F.linear(total, lower.weight, lower.bias).relu(), upper.weight, upper.bias)
        if self.kind == "molclr_gcn":  # one number a bond, added to all of W x_j; the bias once, after the sum
            return self.propagate(edge_index, x=x @ self.c.weight, e=edges, w=torch.ones(len(edges), 1)) + self.c.bias
        x = F.linear(x, self.c.linear.weight, self.c.linear.bias)
        if self.kind == "gcn":
            d = degree(edge_index[0], n)
            w = (d[edge_index[0]] * d[edge_index[1]]).pow(-0.5).unsqueeze(1)
            return self.propagate(edge_index, x=x, e=edges, w=w)
        if self.kind == "graphsage":
            return F.normalize(self.propagate(edge_index, x=x, e=edges, w=torch.ones(len(edges), 1)), dim=-1)
        width = x.shape[1] // 2
        j = (x[edge_index[0]] + edges).view(-1, 2, width)
        i = x[edge_index[1]].view(-1, 2, width)
        score = F.leaky_relu((torch.cat([i, j], -1) * self.c.attention).sum(-1), 0.2)
        a = softmax(score, edge_index[0], num_nodes=n)
        out = torch.zeros(n, 2, width).index_add(0, edge_index[1], j * a.unsqueeze(-1))
        return out.mean(1) + self.c.bias

    def message(self, x_j, e, w):
        return w * (x_j + e)


class PlainEncoder(nn.Module):
    """Shares the parameters of one of our encoders, and none of its code."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.layers = [Layer(encoder.architecture.kind, block.convolution) for block in encoder.blocks]

    def forward(self, data):
        e = self.encoder
        x = e.embed.element(data.x[:, 0]) + e.embed.chirality(data.x[:, 1])
        for number, layer in enumerate(self.layers):
            x = e.blocks[number].norm(layer(x, data.edge_index, data.edge_attr))
            if number < len(self.layers) - 1:
                x = F.relu(x)
        return global_mean_pool(x, data.batch)
