"""MiniMol, a pretrained encoder of molecules (Klaser et al. 2024, arXiv 2404.14986).

Atoms carry three things: chemical properties, the low end of the Laplacian's spectrum, and the probabilities that a
random walk returns. Small networks turn them into one vector an atom; then 16 GINE layers (Hu et al. 2020, arXiv
1905.12265) exchange messages over bonds, and a virtual node, one vector v a molecule, between all atoms of a molecule:

    embed     h = P(s + w, c)     s = M sum_k D(lambda_k, u_k),   w = W(walks),   c = the properties
              e = Q(bond),  v = 0
    block l   x_i  = h_i + R v / 2                                            (l > 0)
              h_i' = dropout(gelu(LN(N(x_i + sum_j relu(x_j + E e_ij)))))
              h_i' = h_i + h_i'                                               (0 < l < 15)
              v'   = v + S(v + log(n) / n sum_i h_i')                         (l < 15)
    pool      max_i h_i

with P, Q, W, D, N two linear maps each, S one, M, R, E affine maps, and LN the LayerNorm. The 1/2 is what muP's readout
leaves of the width 336 over its base width 168. There is no BatchNorm. In the published network the virtual node is
read at the end of a block; here it is read when the next block begins, which is the same function and leaves `atoms`
free of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol.encoders.base import Encoder, EncoderFile, State
from roftmol.encoders.ops import Linear, max_by, sum_by
from roftmol.features.graphs import Batch

#: Columns of `batch.atoms`, in the order in which `featurizers.minimol` lays them out.
EIGENVECTORS = 8
EIGENVALUES = 8
WALKS = 16  #: return probabilities
PROPERTIES = 85
#: Columns of `batch.bonds`.
BOND_PROPERTIES = 13

BLOCKS = 16
WIDTH = 336  #: of the atoms between the blocks, and of the virtual node
BASE_WIDTH = 168  #: of the virtual node in muP's base network
ATOM_WIDTH = 128  #: of the atoms that `embed` returns
BOND_WIDTH = 168  #: of the bonds that `embed` returns
ENCODING = 32  #: width of the encoding of spectrum and walks


def _layer(
    inputs: int, outputs: int, activation: type[nn.Module] = nn.Identity, dropout: float = 0.0, norm: bool = True
) -> nn.Sequential:
    """Return a module of activation(dropout(LN(W x + b))): rows x inputs -> rows x outputs."""
    parts: list[tuple[str, nn.Module]] = [("linear", Linear(inputs, outputs))]
    if norm:
        parts.append(("norm", nn.LayerNorm(outputs)))
    parts += [("dropout", nn.Dropout(dropout)), ("activation", activation())]
    return nn.Sequential(OrderedDict(parts))


class Spectrum(nn.Module):
    """A set of eigenpairs as one vector an atom, s_i = M sum_k D(lambda_k, u_ki) (a DeepSet).

    Positions beyond a small component's atoms hold the pair (0, 0), which is summed like the others: the published
    network does not mask them.

    With `flip`, training turns the sign of random eigenvalues, a position at a time and the same in the whole batch.
    That is what the published network was trained with; the code means the eigenvectors and mixes up the two.
    """

    def __init__(self, dropout: float, flip: bool = False):
        super().__init__()
        hidden = 64
        self.lift = Linear(2, hidden)
        self.each = nn.Sequential(
            _layer(hidden, hidden, nn.ReLU, dropout, norm=False), _layer(hidden, hidden, norm=False)
        )
        self.merge = Linear(hidden, ENCODING)
        self.flip = flip

    def forward(self, vectors: Tensor, values: Tensor) -> Tensor:
        """Return the atoms' encodings: n x 8, n x 8 -> n x 32."""
        if self.flip and self.training:
            values = values * torch.randint(0, 2, (values.size(1),), device=values.device).mul(2).sub(1)
        pairs = torch.stack([values, vectors], 2)
        lifted = self.each(self.lift(pairs.flatten(0, 1)))
        return self.merge(lifted.unflatten(0, pairs.shape[:2]).sum(1))


class Embed(nn.Module):
    """Features -> atoms, bonds and the virtual node that reach the first block."""

    def __init__(self, dropout: float, encoding_dropout: float, flip: bool = False):
        super().__init__()
        self.spectrum = Spectrum(encoding_dropout, flip)
        self.walks = nn.Sequential(
            nn.LayerNorm(WALKS),
            _layer(WALKS, 64, nn.ReLU, encoding_dropout),
            _layer(64, ENCODING, nn.ReLU, encoding_dropout),
        )
        self.atoms = nn.Sequential(_layer(ENCODING + PROPERTIES, 256, nn.ReLU, dropout), _layer(256, ATOM_WIDTH))
        self.bonds = nn.Sequential(_layer(BOND_PROPERTIES, 128, nn.ReLU, dropout), _layer(128, BOND_WIDTH))

    def forward(self, batch: Batch) -> State:
        """Return the state before the first block: n x 117, m x 13 -> n x 128, m x 168 and zeros, b x 336."""
        vectors, values, walks, properties = batch.atoms.split([EIGENVECTORS, EIGENVALUES, WALKS, PROPERTIES], 1)
        encoding = self.spectrum(vectors, values) + self.walks(walks)
        return State(
            atoms=self.atoms(torch.cat([encoding, properties], 1)),
            bonds=self.bonds(batch.bonds),
            molecules=batch.atoms.new_zeros(len(batch), WIDTH),
        )


class Block(nn.Module):
    """One layer: the virtual node is read, neighbours send messages, the virtual node is written."""

    def __init__(self, inputs: int, outputs: int, first: bool, last: bool, dropout: float):
        super().__init__()
        self.first = first
        self.last = last
        if not first:
            self.read = Linear(WIDTH, inputs)
        self.bond = Linear(BOND_WIDTH, inputs)
        self.mlp = nn.Sequential(_layer(inputs, inputs, nn.GELU), Linear(inputs, outputs))
        self.norm = nn.LayerNorm(outputs)
        self.dropout = nn.Dropout(dropout)
        if not last:
            self.write = _layer(WIDTH, WIDTH, nn.GELU, dropout)

    def forward(self, state: State, batch: Batch) -> State:
        """Return the state after the layer: atoms n x inputs -> n x outputs; bonds and molecules keep their shapes."""
        h, bonds, v = state
        assert bonds is not None
        assert v is not None
        x = h if self.first else h + self.read(v * (BASE_WIDTH / WIDTH))[batch.graph]
        sender, receiver = batch.edges
        message = F.relu(x[sender] + self.bond(bonds))
        new = self.norm(self.mlp(x + sum_by(message, receiver, len(x))))
        new = self.dropout(F.gelu(new))
        if self.last:
            return State(new, bonds, v)
        if not self.first:
            new = h + new
        scale = (batch.sizes.log() / batch.sizes).unsqueeze(1)
        logsum = scale * sum_by(new, batch.graph, len(batch))
        return State(new, bonds, v + self.write(v + logsum))


class MiniMol(Encoder):
    """The encoder, pooled by the largest value over a molecule's atoms.

    `dropout` is the rate in the networks P, Q, in S and after the blocks, `encoding_dropout` that in the encoders of
    spectrum and walks, as published; `flip` see :class:`Spectrum`.
    """

    width = 512

    def __init__(self, dropout: float = 0.02, encoding_dropout: float = 0.1, flip: bool = False):
        super().__init__()
        self.embed = Embed(dropout, encoding_dropout, flip)
        self.blocks = nn.ModuleList()
        for layer in range(BLOCKS):
            first = layer == 0
            last = layer == BLOCKS - 1
            inputs = ATOM_WIDTH if first else WIDTH
            outputs = self.width if last else WIDTH
            self.blocks.append(Block(inputs, outputs, first=first, last=last, dropout=dropout))

    def pool(self, state: State, batch: Batch) -> Tensor:
        """Return the largest value over each molecule's atoms: n x 512 -> b x 512."""
        return max_by(state.atoms, batch.graph, len(batch))

    def fresh(self) -> MiniMol:
        """Return the same network with weights drawn anew."""
        return MiniMol()


_ENCODERS = r"^model\.encoder_manager\.pe_encoders\."
_LAYER = r"^model\.gnn\.layers\.(\d+)\."
#: Patterns of the published state dict's names, and ours.
PUBLISHED_NAMES = (
    (re.compile(r"\.(normalization|norm_layer)\."), ".norm."),
    (re.compile(rf"{_ENCODERS}la_pos\.linear_in\.linear\."), "embed.spectrum.lift."),
    (re.compile(rf"{_ENCODERS}la_pos\.pe_encoder\.fully_connected\."), "embed.spectrum.each."),
    (re.compile(rf"{_ENCODERS}la_pos\.post_mlp\.fully_connected\.0\.linear\."), "embed.spectrum.merge."),
    (re.compile(rf"{_ENCODERS}rw_pos\.pe_encoder\.first_normalization\."), "embed.walks.0."),
    (re.compile(rf"{_ENCODERS}rw_pos\.pe_encoder\.fully_connected\.0\."), "embed.walks.1."),
    (re.compile(rf"{_ENCODERS}rw_pos\.pe_encoder\.fully_connected\.1\."), "embed.walks.2."),
    (re.compile(r"^model\.pre_nn\.layers\."), "embed.atoms."),
    (re.compile(r"^model\.pre_nn_edges\.layers\."), "embed.bonds."),
    (re.compile(rf"{_LAYER}model\.lin\."), r"blocks.\1.bond."),
    (re.compile(rf"{_LAYER}model\.nn\.fully_connected\.0\."), r"blocks.\1.mlp.0."),
    (re.compile(rf"{_LAYER}model\.nn\.fully_connected\.1\.linear\."), r"blocks.\1.mlp.1."),
    (re.compile(_LAYER), r"blocks.\1."),
    (re.compile(r"^model\.gnn\.virtual_node_layers\.(\d+)\.fc_layer\."), r"blocks.\1.write."),
    # What a virtual node's layer says to the atoms, the next block reads.
    *(
        (re.compile(rf"^model\.gnn\.virtual_node_layers\.{layer}\.node_projection\."), f"blocks.{layer + 1}.read.")
        for layer in range(BLOCKS - 1)
    ),
)


ENCODER = EncoderFile(
    new=lambda _architecture, _dropout: MiniMol(),  # with the published dropout
    published_names=PUBLISHED_NAMES,
)
