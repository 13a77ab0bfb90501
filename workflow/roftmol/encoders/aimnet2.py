"""AIMNet2 (Anstine, Zubatyuk & Isayev, Chem. Sci. 16, 10228, 2025): atoms that pass messages, trained as a force field.

An atom has features a (16 channels c on 16 radial shells g) and a partial charge q. Three passes of a network each read
them together with what surrounds the atom within 5 Angstrom,

    s_icg = sum_j phi_g(r_ij) a_jcg,    v_ich = |sum_j sum_g phi_g(r_ij) W_cgh a_jcg u_ij|^2,

phi_g a Gaussian times a cosine cutoff and u_ij the direction to j, and with the same of q. The first two passes change
a and q, where a molecule's charges are kept at a sum of zero; what the third gives are the atoms' vectors, d = 256. All
three share W, which is therefore counted to the embedding.

The energy of its force field is a sum over atoms of a network's output and the element's shift, the electrostatics of
the charges at a distance, and D3(BJ) dispersion; forces are minus its gradient. Only multi-task fine-tuning trains
these heads. The tables of D3, the radial shells and both cutoffs are constants here. The published file has them as
parameters, and a gradient to the radii of D3 is NaN in every batch with padding: the root of the product of two radii,
zero for a padded atom, has no derivative.

The published file is a TorchScript archive, which holds code. None of it is run: the network is written anew here, and
:func:`read_published` takes the tensors alone. docs/aimnet2.md says how that was checked.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import torch
from torch import Tensor, nn

from roftmol.encoders.base import EncoderFile, Spatial, State, slots
from roftmol.encoders.ops import all_pairs, rows, sum_by
from roftmol.features.graphs import Batch

LAYERS = 3
WIDTH = 256
CHANNELS = 16
SHELLS = 16  #: radial ones
COMBINATIONS = 12  #: of shells, that vectors are summed over
ELEMENTS = 64  #: rows of the network's tables of elements
D3_ELEMENTS = 95  #: rows of D3's tables of elements
REFERENCES = 5  #: reference systems of D3, at most so many an element
CUTOFF = 5.0  #: Angstrom; neighbours are nearer
FIRST_SHELL = 0.8  #: Angstrom
SHORT_RANGE = 4.6  #: Angstrom; electrostatics are whole beyond it
#: How wide the layers of each pass are.
HIDDEN = ((512, 380), (512, 380), (512, 380, 380))
# Units as the model was trained with.
COULOMB = 2 * 7.1998226  #: Coulomb's constant, eV Angstrom / e^2
HARTREE = 2 * 13.605693012183622  #: eV
BOHR = 1.8897261258369282  #: an Angstrom, in Bohr
# D3(BJ) for wB97M.
S6 = 1.0  #: the scale of the sixth power's term
S8 = 0.3908  #: the scale of the eighth power's term
A1 = 0.566  #: of the damping
A2 = 3.128  #: of the damping
K1 = 16.0  #: the steepness of coordination numbers
K3 = 4.0  #: the steepness of references

#: Patterns of the names in the published file, and ours.
PUBLISHED_NAMES = (
    (re.compile(r"^afv\."), "embed.elements."),
    (re.compile(r"^aev\.rc_s$"), "embed.surroundings.cutoff"),
    (re.compile(r"^aev\.(eta|shifts)_s$"), r"embed.surroundings.\1"),
    (re.compile(r"^conv_([aq])\.agh$"), r"embed.surroundings.W_\1"),
    (re.compile(r"^mlps\.(\d+)\."), r"blocks.\1.layers."),
    (re.compile(r"^outputs\.energy_mlp\.mlp\."), "force_field.energy."),
    (re.compile(r"^outputs\.atomic_shift\."), "force_field."),
    (re.compile(r"^outputs\.lrcoulomb\.rc$"), "force_field.short_range"),
    (re.compile(r"^outputs\.d3bj\."), "force_field."),
)


class Around(NamedTuple):
    """Who surrounds whom in a batch of b molecules of up to N atoms, laid out densely."""

    kernel: Tensor  #: b x shells x 4N x N: of each atom, phi_g and the three entries of phi_g u_ij for every other
    slot: Tensor  #: n, which of the b * N is each atom


class Surroundings(nn.Module):
    """Sums over neighbours, by radial shell: of the features themselves, and the squared length of vectors."""

    cutoff: Tensor
    eta: Tensor
    shifts: Tensor

    def __init__(self) -> None:
        super().__init__()
        width = (CUTOFF - FIRST_SHELL) / SHELLS
        self.register_buffer("cutoff", torch.tensor(CUTOFF))
        self.register_buffer("eta", torch.tensor(width**-2))
        self.register_buffer("shifts", FIRST_SHELL + width * torch.arange(SHELLS))
        # Drawn as wide as the trained weights are; so are the elements' features.
        self.W_a = nn.Parameter(torch.randn(CHANNELS, SHELLS, COMBINATIONS) * 0.75)
        self.W_q = nn.Parameter(torch.randn(1, SHELLS, COMBINATIONS) * 0.75)

    def around(self, batch: Batch) -> Around:
        """Return what surrounds each atom of the batch, with gradient to the positions."""
        b = len(batch)
        sizes = batch.sizes.long()
        slot, largest = slots(batch)
        positions = _laid_out(batch.atoms[:, 1:], slot, b * largest).view(b, largest, 3)
        real = torch.arange(largest, device=sizes.device) < sizes.unsqueeze(1)
        itself = torch.eye(largest, dtype=torch.bool, device=sizes.device)
        near = real.unsqueeze(1) & real.unsqueeze(2) & ~itself
        r = positions.unsqueeze(1) - positions.unsqueeze(2)
        # Where there is no pair, a distance whose root has a gradient.
        length = torch.where(near, r.square().sum(-1), self.cutoff.square()).sqrt()
        phi = (torch.cos(math.pi * (length / self.cutoff).clamp(max=1)) * 0.5 + 0.5) * near
        phi = torch.exp(-self.eta * (length.unsqueeze(1) - self.shifts.view(-1, 1, 1)).square()) * phi.unsqueeze(1)
        u = torch.cat([torch.ones_like(length).unsqueeze(1), (r / length.unsqueeze(-1)).movedim(-1, 1)], 1)
        return Around((phi.unsqueeze(2) * u.unsqueeze(1)).flatten(2, 3), slot)

    def forward(self, x: Tensor, W: Tensor, around: Around) -> Tensor:
        """Return the sums: n x channels x shells (or x 1) -> n x (channels * shells + channels * combinations)."""
        b, shells, _, largest = around.kernel.shape
        dense = _laid_out(x, around.slot, b * largest).view(b, largest, *x.shape[1:]).permute(0, 3, 1, 2)
        summed = around.kernel @ dense.expand(-1, shells, -1, -1)
        summed = summed.view(b, shells, 4, largest, x.shape[1]).permute(0, 3, 2, 4, 1).flatten(0, 1)
        summed = rows(summed, around.slot)
        vectors = torch.einsum("nkcg,cgh->nkch", summed[:, 1:], W)
        return torch.cat([summed[:, 0].flatten(1), vectors.square().sum(1).flatten(1)], 1)


def _laid_out(x: Tensor, slot: Tensor, slots: int) -> Tensor:
    """Return the rows of x at their slots, zeros elsewhere."""
    return x.new_zeros(slots, *x.shape[1:]).index_copy(0, slot, x)


class Embed(nn.Module):
    """Elements -> the atoms' first features; and what all passes share, how surroundings are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = nn.Embedding(ELEMENTS, CHANNELS * SHELLS)
        nn.init.normal_(self.elements.weight, std=0.13)
        self.surroundings = Surroundings()

    def forward(self, batch: Batch) -> State:
        """Return the atoms' first features, n x (a, q), with charges of zero."""
        a = self.elements(batch.atoms[:, 0].long())
        return State(torch.cat([a, a.new_zeros(len(a), 1)], 1))


class Block(nn.Module):
    """One pass; the first one knows no charges, the last one changes none."""

    def __init__(self, number: int):
        super().__init__()
        self.first = number == 0
        self.last = number == LAYERS - 1
        read = CHANNELS * (2 * SHELLS + COMBINATIONS) + (0 if self.first else 1 + SHELLS + COMBINATIONS)
        self.layers = _network(read, *HIDDEN[number], WIDTH + (0 if self.last else 2))
        if not self.first:  # as published
            self.layers.append(nn.GELU())

    def forward(self, state: State, batch: Batch, surroundings: Surroundings, around: Around) -> State:
        """Return the state after the pass: n x (a, q) -> n x (a, q), or n x d after the last one."""
        a = state.atoms[:, :WIDTH]
        q = state.atoms[:, WIDTH:]
        seen = [a, surroundings(a.view(len(a), CHANNELS, SHELLS), surroundings.W_a, around)]
        if not self.first:
            seen += [q, surroundings(q.unsqueeze(1), surroundings.W_q, around)]
        y = self.layers(torch.cat(seen, 1))
        if self.last:
            return State(y)
        q = q + y[:, :1]
        share = y[:, 1:2].square()
        surplus = sum_by(q, batch.graph, len(batch)) / (sum_by(share, batch.graph, len(batch)) + 1e-6)
        return State(torch.cat([a + y[:, 2:], q - share * rows(surplus, batch.graph)], 1))


def _network(*sizes: int) -> nn.Sequential:
    """Return linear layers of these sizes with GELU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class ForceField(nn.Module):
    """The heads that turn the atoms' vectors and charges into an energy."""

    short_range: Tensor
    c6ab: Tensor
    r4r2: Tensor
    rcov: Tensor
    cnmax: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.energy = _network(WIDTH, 128, 128, 1)
        self.shifts = nn.Embedding(ELEMENTS, 1)
        self.register_buffer("short_range", torch.tensor(SHORT_RANGE))
        # Of D3: coefficients with both atoms' coordination numbers, radii, and the largest such number of an element.
        self.register_buffer("c6ab", torch.zeros(D3_ELEMENTS, D3_ELEMENTS, REFERENCES, REFERENCES, 3))
        for name in ("r4r2", "rcov", "cnmax"):
            self.register_buffer(name, torch.zeros(D3_ELEMENTS))

    def forward(self, z: Tensor, charges: Tensor, batch: Batch) -> Tensor:
        """Return the molecules' energies in eV, b, from the atoms' vectors (n x d) and charges (n).

        They are in float64: the shifts of elements are tens of thousands of eV, beside which float32 loses what is
        learnt.
        """
        numbers = batch.atoms[:, 0].long()
        positions = batch.atoms[:, 1:]
        atoms = self.energy(z).double() + self.shifts(numbers).double()
        i, j = all_pairs(batch.sizes.long())
        length = torch.linalg.vector_norm(rows(positions, i) - rows(positions, j), dim=1)
        pairs = self._electrostatics(rows(charges, i) * rows(charges, j), length)
        pairs = pairs + self._dispersion(numbers, i, j, length * BOHR)
        # Every pair stands there twice.
        b = len(batch)
        return sum_by(atoms[:, 0], batch.graph, b) + sum_by(pairs / 2, rows(batch.graph, i), b)

    def _electrostatics(self, product: Tensor, length: Tensor) -> Tensor:
        """Return the Coulomb energy of pairs of charges, faded out at short range, where the network knows it."""
        inside = 1 - (length / self.short_range).clamp(max=1 - 1e-6).square()
        return (1 - torch.exp(1 - 1 / inside)) * (COULOMB * product / length).double()

    def _dispersion(self, numbers: Tensor, i: Tensor, j: Tensor, length: Tensor) -> Tensor:
        """Return the D3(BJ) energy of pairs of atoms, `length` in Bohr."""
        z_i = rows(numbers, i)
        z_j = rows(numbers, j)
        bonded = torch.sigmoid(K1 * ((self.rcov[z_i] + self.rcov[z_j]) / length - 1))
        coordination = torch.minimum(sum_by(bonded, i, len(numbers)), self.cnmax[numbers])
        c6, reference_i, reference_j = self.c6ab[z_i, z_j].flatten(1, 2).unbind(-1)
        off_i = rows(coordination, i).unsqueeze(1) - reference_i
        off_j = rows(coordination, j).unsqueeze(1) - reference_j
        weight = torch.exp(-K3 * (off_i.square() + off_j.square()))
        total = weight.sum(1)
        c6 = torch.where(total < 1e-5, 0.0, (c6 * weight).sum(1) / total.clamp(min=1e-5))
        ratio = 3 * self.r4r2[z_i] * self.r4r2[z_j]
        radius = A1 * ratio.sqrt() + A2
        sixth = S6 / (length**6 + radius**6)
        eighth = S8 * ratio / (length**8 + radius**8)
        return -HARTREE * (c6 * (sixth + eighth)).double()


class Aimnet2(Spatial):
    """AIMNet2's descriptor, with its force field beside it."""

    embed: Embed

    def __init__(self) -> None:
        super().__init__()
        self.width = WIDTH
        self.embed = Embed()
        self.blocks = nn.ModuleList(Block(number) for number in range(LAYERS))
        self.force_field = ForceField()

    def state(self, batch: Batch, state: State | None = None, start: int = 0, stop: int | None = None) -> State:
        """Return the state after the blocks [start, stop), from `state`, which reaches block `start`."""
        if state is None:
            state = self.embed(batch)
        if blocks := list(self.blocks[start:stop]):
            surroundings = self.embed.surroundings
            around = surroundings.around(batch)
            for block in blocks:
                state = block(state, batch, surroundings, around)
        return state

    def fresh(self) -> Aimnet2:
        """Return the same network with weights drawn anew; constants stay."""
        other = Aimnet2()
        other.load_state_dict(dict(self.named_buffers()), strict=False)
        return other

    def charges(self, batch: Batch) -> Tensor:
        """Return the atoms' partial charges in e, n."""
        return self.state(batch, stop=LAYERS - 1).atoms[:, WIDTH]

    def energies(self, batch: Batch) -> Tensor:
        """Return the force field's energies in eV, b, in float64."""
        charged = self.state(batch, stop=LAYERS - 1)
        z = self.state(batch, charged, start=LAYERS - 1).atoms
        return self.force_field(z, charged.atoms[:, WIDTH], batch)


class _Module:
    """Whatever module an archive names: its attributes, and nothing that acts."""

    attributes: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state


class _Unpickler(pickle.Unpickler):
    """Reads modules and tensors of a TorchScript archive, and refuses whatever else its pickle asks for."""

    def __init__(self, archive: ZipFile, root: str):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive = archive
        self.root = root

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class of the archive; raise `UnpicklingError` for all but modules and tensors."""
        if module.startswith("__torch__."):
            return type(name, (_Module,), {})
        allowed = {
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch.FloatStorage": torch.float32,
            "collections.OrderedDict": OrderedDict,
        }
        if f"{module}.{name}" not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the numbers of a storage."""
        _, dtype, key, *_ = pid
        return torch.frombuffer(bytearray(self.archive.read(f"{self.root}/data/{key}")), dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    return storage.as_strided(size, stride, offset).clone()


def read_published(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript archive by their published names; the code in it is neither run nor read.

    Raises whatever its reader does if the file is none, or holds anything but modules of tensors.
    """
    with ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        return _tensors_of(_Unpickler(archive, root).load())


def _tensors_of(module: _Module) -> dict[str, Tensor]:
    tensors = {}
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, _Module):
            tensors |= {f"{name}.{inner}": tensor for inner, tensor in _tensors_of(value).items()}
    return tensors


ENCODER = EncoderFile(
    new=lambda _architecture, _dropout: Aimnet2(),
    published_names=PUBLISHED_NAMES,
    read_published=lambda path, _architecture: read_published(path),
)
