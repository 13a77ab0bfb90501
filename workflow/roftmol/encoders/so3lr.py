"""SO3LR (Kabylda et al., J. Am. Chem. Soc. 2025): a transformer of atoms in space, pretrained as a force field.

An atom has invariant features x (d = 128) and Euclidean variables v (spherical harmonics' coefficients, degrees 1 to
4). A layer of So3krates (Frank et al., Nat. Commun. 15, 6539, 2024) attends over neighbours within 4.5 Angstrom:

    x_i += sum_j phi(r_ij) a_ij V x_j,    v_i += sum_j phi(r_ij) b_ij Y(r_ij),
    a_ij, b_ij = <Q x_i, w_ij * K x_j>,   w_ij = MLP(basis(r_ij)) + MLP(|v_i - v_j|^2 by degree)

then mixes x with the norms of v. The weights and the layers' parts are those of the package so3krates-torch; the
filters w_ij are equal for both directions of a pair and are computed once for it, a third to a half of a step.

The energy of its force field is a sum over atoms of a network's output, a screened nuclear repulsion, the
electrostatics of predicted charges and a dispersion term; forces are minus its gradient. The force field's heads lie
beside the parts that methods address: only multi-task fine-tuning trains them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from roftmol.core.errors import UserError
from roftmol.encoders.base import EncoderFile, Spatial, State
from roftmol.encoders.ops import all_pairs, rows, sum_by
from roftmol.features.featurizers.geometry import CUTOFF
from roftmol.features.graphs import Batch

LAYERS = 3
WIDTH = 128
#: The published model, in the names of so3krates-torch.
ARCHITECTURE: Mapping[str, Any] = {
    "r_max": CUTOFF,
    "num_radial_basis_fn": 32,
    "degrees": [1, 2, 3, 4],
    "num_features": WIDTH,
    "num_heads": 4,
    "num_layers": LAYERS,
    "avg_num_neighbors": 13.168995780096482,
    "energy_regression_dim": 128,
    "message_normalization": "avg_num_neighbors",
    "radial_basis_fn": "bernstein",
    "layer_normalization_1": True,
    "layer_normalization_2": True,
    "residual_mlp_1": True,
    "use_charge_embed": True,
    "use_spin_embed": True,
    "cutoff_fn": "phys",
    "energy_learn_atomic_type_shifts": True,
    "energy_learn_atomic_type_scales": True,
    "r_max_lr": None,
}
#: Patterns of the names in the package's state dict, and ours.
PUBLISHED_NAMES = (
    (re.compile(r"^(inv_feature_embedding|charge_embedding|spin_embedding|radial_embedding)\."), r"embed.\1."),
    (re.compile(r"^euclidean_transformers\.(\d+)\."), r"blocks.\1.transformer."),
    (re.compile(r"^(atomic_energy_|partial_charges_|hirshfeld_)output_block\."), r"force_field.\1output_block."),
    (re.compile(r"^zbl_repulsion\."), r"force_field.zbl_repulsion."),
)


def _package() -> ModuleType:
    try:
        from so3krates_torch.modules import models
    except ImportError as error:
        raise UserError(
            f"SO3LR needs so3krates-torch and what it imports ({error.name} is missing): "
            "pip install --no-deps --requirement requirements-atomistic.txt"
        ) from error
    return models


class Embed(nn.Module):
    """Elements and neighbours: the invariant features, and for each neighbour harmonics, cutoff and radial basis.

    Total charge and spin add nothing to neutral molecules in their singlet ground state, which alone are read here;
    their embeddings are kept, unused, so that the weights are whole.
    """

    def __init__(self, published: Any):
        super().__init__()
        self.inv_feature_embedding: Any = published.inv_feature_embedding
        self.charge_embedding = published.charge_embedding
        self.spin_embedding = published.spin_embedding
        self.radial_embedding: Any = published.radial_embedding
        self.harmonics: Any = published.spherical_harmonics
        self.cutoff: Any = published.cutoff_fn
        self.scale = float(published.embedding_scale)
        self.euclidean = sum(2 * degree + 1 for degree in ARCHITECTURE["degrees"])

    def forward(self, batch: Batch) -> State:
        """Return the state before the first layer: atoms n x (x, v), neighbours m x (harmonics, cutoff, basis)."""
        numbers = batch.atoms[:, 0].long()
        positions = batch.atoms[:, 1:]
        x = rows(self.inv_feature_embedding.embedding.weight.t(), numbers - 1) / self.scale
        v = x.new_zeros(len(x), self.euclidean)
        sender, receiver = batch.edges
        r = rows(positions, receiver) - rows(positions, sender)
        length = torch.linalg.vector_norm(r, dim=1, keepdim=True)
        bonds = torch.cat([self.harmonics(r), self.cutoff(length), self.radial_embedding(length)], 1)
        return State(torch.cat([x, v], 1), bonds)


class Block(nn.Module):
    """One layer of So3krates; the last one leaves the invariant features alone."""

    def __init__(self, transformer: Any, last: bool):
        super().__init__()
        self.transformer: Any = transformer
        self.last = last

    def forward(self, state: State, batch: Batch) -> State:
        """Return the state after the layer."""
        layer = self.transformer
        attention = layer.euclidean_attention_block
        assert state.bonds is not None
        x = state.atoms[:, :WIDTH]
        v = state.atoms[:, WIDTH:]
        harmonics = v.shape[1]
        y = state.bonds[:, :harmonics]
        phi = state.bonds[:, harmonics, None]
        basis = state.bonds[:, harmonics + 1 :]
        sender, receiver = batch.edges
        first, pair = pairs(batch.edges, len(x))
        difference = attention.so3_conv_invariants(rows(v, sender[first]) - rows(v, receiver[first]))
        nets = (layer.filter_net_inv, layer.filter_net_ev)
        w_x, w_v = (rows(net(rows(basis, first), difference), pair) for net in nets)
        heads = x.view(len(x), attention.inv_heads, -1)
        per_degree = x.view(len(x), attention.ev_heads, -1)
        q, k, value = (_by_head(heads, W) for W in (attention.W_q_inv, attention.W_k_inv, attention.W_v_inv))
        a = (rows(q, receiver) * rows(k, sender) * w_x.view(len(w_x), *heads.shape[1:])).sum(-1, keepdim=True)
        message = (phi / attention.att_norm_inv).unsqueeze(-1) * a * rows(value, sender)
        q, k = (_by_head(per_degree, W) for W in (attention.W_q_ev, attention.W_k_ev))
        b = (rows(q, receiver) * rows(k, sender) * w_v.view(len(w_v), *per_degree.shape[1:])).sum(-1)
        b = (b * (phi / attention.att_norm_ev)).repeat_interleave(attention.degree_repeats, 1, output_size=harmonics)
        x = layer.layer_norm_inv_1(x + sum_by(message.flatten(1), receiver, len(x)))
        x = x + layer.mlp_1(x)
        v = v + sum_by(b * y, receiver, len(v))
        change, scaled = layer.interaction_block(x, v)
        x = layer.layer_norm_inv_2(x + change)
        return State(x) if self.last else State(torch.cat([x, v + scaled], 1), state.bonds)


def _by_head(x: Tensor, W: Tensor) -> Tensor:
    """Return x W by head: n x h x d times h x d x e -> n x h x e."""
    return torch.einsum("nhd,hde->nhe", x, W)


def pairs(edges: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return which edges have sender < receiver, and of each edge the one of these that joins the same atoms.

    The m directed edges are sorted by receiver and sender.
    """
    sender, receiver = edges
    key = torch.maximum(sender, receiver) * n + torch.minimum(sender, receiver)
    first = torch.nonzero(sender < receiver)[:, 0]
    return first, torch.searchsorted(key[first], key)


class ForceField(nn.Module):
    """The heads that turn the last layer's features into an energy."""

    def __init__(self, published: Any):
        super().__init__()
        self.atomic_energy_output_block: Any = published.atomic_energy_output_block
        self.partial_charges_output_block: Any = published.partial_charges_output_block
        self.hirshfeld_output_block: Any = published.hirshfeld_output_block
        self.zbl_repulsion: Any = published.zbl_repulsion
        self.electrostatics: Any = published.electrostatic_potential
        self.dispersion: Any = published.dispersion_potential
        self.scales = published.electrostatic_energy_scale, published.dispersion_energy_scale
        self.cutoff: Any = published.cutoff_fn

    def forward(self, x: Tensor, batch: Batch, positions: Tensor) -> Tensor:
        """Return the molecules' energies in eV, b, from the features x (n x d) and positions (n x 3, Angstrom)."""
        numbers = batch.atoms[:, 0].long()
        n = len(x)
        b = len(batch)
        elements = torch.nn.functional.one_hot(numbers - 1, 118).to(x.dtype)
        energy = self.atomic_energy_output_block(x, {"node_attrs": elements})
        sender, receiver = batch.edges
        length = torch.linalg.vector_norm(positions[receiver] - positions[sender], dim=1, keepdim=True)
        energy = energy + self.zbl_repulsion(numbers, self.cutoff(length), sender, receiver, length, n)
        charges = self.partial_charges_output_block(x, numbers, x.new_zeros(b), batch.graph, b)
        ratios = self.hirshfeld_output_block(x, numbers)
        # All pairs of a molecule's atoms: the long-range terms have no cutoff here.
        i, j = all_pairs(batch.sizes.long())
        far = torch.linalg.vector_norm(positions[i] - positions[j], dim=1)
        energy = energy + self.electrostatics(charges, j, i, far, n, None, self.scales[0])
        energy = energy + self.dispersion(ratios, numbers, j, i, far, n, None, None, self.scales[1])
        return sum_by(energy, batch.graph, b)[:, 0]


class So3lr(Spatial):
    """SO3LR's descriptor, with its force field beside it."""

    def __init__(self) -> None:
        super().__init__()
        published = _package().SO3LR(**ARCHITECTURE)
        self.width = WIDTH
        self.embed = Embed(published)
        blocks = published.euclidean_transformers
        self.blocks = nn.ModuleList(Block(block, number == LAYERS - 1) for number, block in enumerate(blocks))
        self.force_field = ForceField(published)

    def fresh(self) -> So3lr:
        """Return the same network with weights drawn anew."""
        return So3lr()

    def energies(self, batch: Batch) -> Tensor:
        """Return the force field's energies in eV, b."""
        return self.force_field(self.nodes(batch), batch, batch.atoms[:, 1:])


def read_published(path: Path) -> dict[str, Tensor]:
    """Return the state dict of the package's own file, a pickled module of which only allowed classes are built.

    Raises whatever torch does if the file holds anything else.
    """
    _package()
    from so3krates_torch.blocks import (
        embedding,
        euclidean_transformer,
        output_block,
        physical_potentials,
        radial_basis,
        so3_conv_invariants,
    )
    from so3krates_torch.modules import cutoff, models, spherical_harmonics

    allowed = [
        models.SO3LR,
        spherical_harmonics.RealSphericalHarmonics,
        cutoff.PhysNetCutoff,
        radial_basis.ComputeRBF,
        radial_basis.BernsteinBasis,
        so3_conv_invariants.L0Contraction,
        *(getattr(embedding, name) for name in ("InvariantEmbedding", "EuclideanEmbedding", "ChargeSpinEmbedding")),
        *(
            getattr(euclidean_transformer, name)
            for name in ("EuclideanTransformer", "EuclideanAttentionBlock", "InteractionBlock", "FilterNet")
        ),
        *(
            getattr(output_block, f"{name}Head")
            for name in ("AtomicEnergyOutput", "PartialChargesOutput", "DipoleVecOutput", "HirshfeldOutput")
        ),
        *(
            getattr(physical_potentials, name)
            for name in ("ZBLRepulsion", "ElectrostaticInteraction", "DispersionInteraction")
        ),
        *(nn.Sequential, nn.Linear, nn.SiLU, nn.LayerNorm, nn.ModuleList, nn.Embedding, nn.Identity, set),
    ]
    with torch.serialization.safe_globals(allowed):
        return dict(torch.load(path, weights_only=True, map_location="cpu").state_dict())


ENCODER = EncoderFile(
    new=lambda _architecture, _dropout: So3lr(),
    published_names=PUBLISHED_NAMES,
    read_published=lambda path, _architecture: read_published(path),
)
