"""The graph encoders of Hu et al. 2020, "Strategies for Pre-training Graph Neural Networks" (arXiv 1905.12265).

Every layer sums messages x_j + e_ij from an atom's neighbours and from itself by a self-loop; e_ij is the sum of a
bond-type and a bond-direction embedding. Because bonds are categorical, the sum over e_ij is a small matrix of counts
times the two tables, and the sum over x_j gathers rows; no message is ever built.

    GIN        x_i' = MLP(sum_j x_j + e_ij)
    GCN        x_i' = sum_j (W x_j + e_ij) / sqrt(d_i d_j)
    MolCLRGCN  x_i' = b + sum_j W x_j + e_ij, with one number e_ij a bond
    GraphSAGE  x_i' = normalize(mean_j W x_j + e_ij)
    GAT        x_i' = mean over heads of sum_j a_ij (W x_j + e_ij) + bias,
               a_ij = softmax(leaky_relu(att [W x_i, W x_j + e_ij]))

with W x = linear map with bias. After each: BatchNorm, ReLU (not after the last layer), dropout. All but GCN and GAT
see an atom's neighbours alone, so that atoms of one environment can be computed once (`environments.py`); GCN weighs by
the neighbours' degrees, GAT by their neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol.core.records import build
from roftmol.encoders.base import Encoder, EncoderFile, Norm, State
from roftmol.encoders.ops import Linear, dropout, linear, max_by, neighbour_sum, relu_dropout, sum_by
from roftmol.features.graphs import Batch, Hop
from roftmol.features.vocabulary import BOND_DIRECTIONS, BOND_TYPES, CHIRALITIES, ELEMENTS, SELF_LOOP


@dataclass(frozen=True)
class Architecture:
    """Which encoder: `kind` is a key of `CONVOLUTIONS`."""

    kind: str = "gin"
    layers: int = 5
    width: int = 300


class AtomEmbedding(nn.Module):
    """Element plus chirality embedding: n x 2 indices -> n x d."""

    def __init__(self, width: int):
        super().__init__()
        self.element = nn.Embedding(ELEMENTS, width)
        self.chirality = nn.Embedding(CHIRALITIES, width)
        for table in (self.element, self.chirality):
            nn.init.xavier_uniform_(table.weight)

    def forward(self, batch: Batch) -> State:
        """Embed the atoms of a batch."""
        return State(self.element(batch.atoms[:, 0]) + self.chirality(batch.atoms[:, 1]))


class _Convolution(nn.Module):
    """What all convolutions share: the bond tables, and a map of rows below to rows above by the messages of `hop`."""

    #: Whether a row's new vector depends on the rows that it sums over and its bonds, and on nothing else.
    local = True

    def __init__(self, bond_width: int):
        super().__init__()
        self.bond_type = nn.Embedding(BOND_TYPES, bond_width)
        self.bond_direction = nn.Embedding(BOND_DIRECTIONS, bond_width)
        for table in (self.bond_type, self.bond_direction):
            nn.init.xavier_uniform_(table.weight)

    def bond_tables(self) -> Tensor:
        """Return both tables, one under the other: 9 x d, matching `Hop.bond_counts`."""
        return torch.cat([self.bond_type.weight, self.bond_direction.weight])


class GIN(_Convolution):
    """Graph isomorphism layer with bonds (Xu et al. 2019, arXiv 1810.00826; Hu et al. 2020)."""

    def __init__(self, width: int):
        super().__init__(width)
        lower = Linear(width, 2 * width)
        upper = Linear(2 * width, width)
        self.mlp = nn.ModuleDict({"0": lower, "2": upper})  # numbered as published, where a ReLU lies between them

    def forward(self, x: Tensor, hop: Hop, _batch: Batch) -> Tensor:
        """Return the rows above: n x d -> r x d."""
        total = neighbour_sum(x, hop).addmm_(hop.bond_counts, self.bond_tables())
        return self.mlp["2"](self.mlp["0"](total, relu=True))


class GCN(_Convolution):
    """Graph convolution with bonds (Kipf & Welling 2017, arXiv 1609.02907; Hu et al. 2020)."""

    def __init__(self, width: int):
        super().__init__(width)
        self.linear = Linear(width, width)

    local = False

    def forward(self, x: Tensor, hop: Hop, batch: Batch) -> Tensor:
        """Return the rows above: n x d -> n x d."""
        scale = hop.degree.rsqrt().unsqueeze(1)
        # The bonds' share is weighted by both ends' degrees, so the counts are weighted by the sender's.
        sender, receiver = batch.edges
        types = F.one_hot(batch.bonds[:, 0], BOND_TYPES)
        directions = F.one_hot(batch.bonds[:, 1], BOND_DIRECTIONS)
        kinds = torch.cat([types, directions], 1)
        counts = sum_by(kinds * scale[sender], receiver, len(x))
        counts[:, [SELF_LOOP, BOND_TYPES]] += scale
        return scale * neighbour_sum(scale * self.linear(x), hop).addmm_(counts, self.bond_tables())


class MolCLRGCN(_Convolution):
    """The GCN of MolCLR (Wang et al. 2022, arXiv 2102.10056), a plain sum with one number a bond.

    The published code computes the degrees' norm and then does not use it; the published weights were trained so, and
    so it stays. The weight is stored as published, input times output.
    """

    def __init__(self, width: int):
        super().__init__(1)
        self.weight = nn.Parameter(torch.empty(width, width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, hop: Hop, _batch: Batch) -> Tensor:
        """Return the rows above: n x d -> r x d."""
        total = linear(neighbour_sum(x, hop), self.weight.t(), self.bias)
        return total + hop.bond_counts @ self.bond_tables()


class GraphSAGE(_Convolution):
    """Mean aggregation with bonds (Hamilton et al. 2017, arXiv 1706.02216; Hu et al. 2020)."""

    def __init__(self, width: int):
        super().__init__(width)
        self.linear = Linear(width, width)

    def forward(self, x: Tensor, hop: Hop, _batch: Batch) -> Tensor:
        """Return the rows above, of length 1: n x d -> r x d."""
        total = neighbour_sum(self.linear(x), hop).addmm_(hop.bond_counts, self.bond_tables())
        return F.normalize(total / hop.degree.unsqueeze(1), dim=-1)


class GAT(_Convolution):
    """Attention over bonds with two heads (Velickovic et al. 2018, arXiv 1710.10903; Hu et al. 2020).

    The published code takes the softmax over the bonds that leave an atom, not over those that reach it; the published
    weights were trained so, and so it stays.
    """

    local = False
    heads = 2
    negative_slope = 0.2

    def __init__(self, width: int):
        super().__init__(self.heads * width)
        self.linear = Linear(width, self.heads * width)
        self.attention = nn.Parameter(torch.empty(1, self.heads, 2 * width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.attention)

    def forward(self, x: Tensor, _hop: Hop, batch: Batch) -> Tensor:
        """Return the rows above: n x d -> n x d."""
        n, width = x.shape
        itself = torch.arange(n, device=x.device)
        sender, receiver = torch.cat([batch.edges, itself.expand(2, n)], 1)
        loop = torch.tensor([[SELF_LOOP, 0]], device=x.device).expand(n, 2)
        kind, direction = torch.cat([batch.bonds, loop]).unbind(1)
        h = self.linear(x)
        message = (h[sender] + self.bond_type(kind) + self.bond_direction(direction)).view(-1, self.heads, width)
        pair = torch.cat([h[receiver].view(-1, self.heads, width), message], -1)
        score = F.leaky_relu((pair * self.attention).sum(-1), self.negative_slope)
        # The softmax is taken relative to each sender's largest score, which cancels and keeps exp() finite.
        weight = (score - max_by(score.detach(), sender, n)[sender]).exp()
        weight = weight / sum_by(weight, sender, n)[sender]
        return sum_by(message * weight.unsqueeze(-1), receiver, n).mean(1) + self.bias


CONVOLUTIONS = {"gin": GIN, "gcn": GCN, "graphsage": GraphSAGE, "gat": GAT, "molclr_gcn": MolCLRGCN}


class Block(nn.Module):
    """One layer: convolution, BatchNorm, ReLU unless it is the last, dropout."""

    def __init__(self, kind: str, width: int, layer: int, last: bool, dropout: float):
        super().__init__()
        self.convolution = CONVOLUTIONS[kind](width)
        self.norm = Norm(width)
        self.layer = layer
        self.last = last
        self.dropout = dropout

    def forward(self, state: State, batch: Batch) -> State:
        """Return the state after the layer: a vector for each atom, or for each of the batch's merged rows."""
        return self.finish(self.convolve(state, batch), batch)

    def convolve(self, state: State, batch: Batch) -> Tensor:
        """Return what the convolution gives: n x d, or a row for each of the batch's merged atoms."""
        return self.convolution(state.atoms, batch.hop_of(self.layer), batch)

    def finish(self, x: Tensor, batch: Batch) -> State:
        """Return the state after the layer from what the convolution gives."""
        hop = batch.hop_of(self.layer)
        x = self.norm(x, hop.counts)
        drops = self.training and self.dropout > 0
        if not self.last and not drops:
            x = F.relu(x, inplace=True)
        if hop.row_of is not None:
            x = x[hop.row_of]
        if drops:
            x = dropout(x, self.dropout) if self.last else relu_dropout(x, self.dropout)
        return State(x)


class GNN(Encoder):
    """An encoder of this family, pooled by the mean over a molecule's atoms."""

    masks_atoms = True

    def __init__(self, architecture: Architecture, dropout: float = 0.5):
        super().__init__()
        self.architecture = architecture
        self.width = architecture.width
        self.dropout = dropout
        self.local = CONVOLUTIONS[architecture.kind].local
        self.embed = AtomEmbedding(architecture.width)
        last = architecture.layers - 1
        self.blocks = nn.ModuleList(
            Block(architecture.kind, architecture.width, layer, layer == last, dropout)
            for layer in range(architecture.layers)
        )

    def state_and_map(self, batch: Batch, state: State | None = None, start: int = 0) -> tuple[State, Tensor]:
        """Return the state after the last block, and what its convolution gives for each atom, before BatchNorm."""
        *_, last = self.blocks
        assert isinstance(last, Block)
        x = last.convolve(self.state(batch, state, start, last.layer), batch)
        row_of = batch.hop_of(last.layer).row_of
        return last.finish(x, batch), x if row_of is None else x[row_of]

    def pool(self, state: State, batch: Batch) -> Tensor:
        """Return the mean over each molecule's atoms: n x d -> b x d."""
        return sum_by(state.atoms, batch.graph, len(batch)) / batch.sizes.unsqueeze(1)

    def fresh(self) -> GNN:
        """Return the same network with weights drawn anew."""
        return GNN(self.architecture, self.dropout)


#: Patterns of the names in Hu et al.'s state dicts, which Mole-BERT, GraphMAE and others share, and ours.
PUBLISHED_NAMES = (
    (re.compile(r"^gnn\."), ""),
    (re.compile(r"^x_embedding1\."), "embed.element."),
    (re.compile(r"^x_embedding2\."), "embed.chirality."),
    (re.compile(r"^batch_norms\.(\d+)\."), r"blocks.\1.norm."),
    (re.compile(r"^gnns\.(\d+)\.edge_embedding1\."), r"blocks.\1.convolution.bond_type."),
    (re.compile(r"^gnns\.(\d+)\.edge_embedding2\."), r"blocks.\1.convolution.bond_direction."),
    (re.compile(r"^gnns\.(\d+)\.weight_linear\."), r"blocks.\1.convolution.linear."),
    (re.compile(r"^gnns\.(\d+)\.att$"), r"blocks.\1.convolution.attention"),
    (re.compile(r"^gnns\.(\d+)\."), r"blocks.\1.convolution."),
)


ENCODER = EncoderFile(
    new=lambda architecture, dropout: GNN(build(Architecture, architecture), dropout),
    published_names=PUBLISHED_NAMES,
)
