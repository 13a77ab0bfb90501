"""What the loop, the methods and the mixing know of an encoder: named parts, bottom up, and what flows between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from roftmol.encoders.ops import Linear, sum_by
from roftmol.features.graphs import Batch


class State(NamedTuple):
    """What flows from block to block: vectors of a batch's n atoms, m directed bonds and b molecules."""

    atoms: Tensor  #: n x d
    bonds: Tensor | None = None  #: m x e, where blocks read bonds that were embedded once
    molecules: Tensor | None = None  #: b x v, where molecules have a vector of their own, such as a virtual node's


class Encoder(nn.Module):
    """Molecules -> vectors, in parts that methods address: `embed`, `blocks.0` ... `blocks.{L-1}`, then pooling.

    A subclass has a module `embed` (batch -> state), a list of modules `blocks` (state, batch -> state), `pool`, the
    `width` of a pooled vector, and `fresh`.
    """

    width: int
    embed: nn.Module
    blocks: nn.ModuleList
    #: Whether the forward pass can start at a block, so that frozen blocks below are computed once.
    resumable = True
    #: What a head reads: "molecules", their pooled vectors, or "atoms", whose outputs it pools itself.
    reads: Literal["molecules", "atoms"] = "molecules"
    #: Whether atoms of one environment (`environments.py`) have one vector, so that it can be computed once.
    local = False
    #: Whether a pass in training mode gives what one in eval mode gives: no dropout, no statistics of the batch.
    steady = False
    #: Whether its table of elements has a row for hidden ones, so that masking of atoms can go on.
    masks_atoms = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The names by which methods address the encoder, bottom up."""
        return ("embed", *(f"blocks.{layer}" for layer in range(len(self.blocks))))

    def part_of(self, name: str) -> str:
        """Return the part that a parameter or buffer belongs to: "blocks.3.norm.weight" -> "blocks.3"."""
        return next(part for part in self.parts if name.startswith(f"{part}."))

    def modules_of(self, part: str) -> tuple[nn.Module, ...]:
        """Return the modules that make up a part."""
        return (self.get_submodule(part),)

    def state(self, batch: Batch, state: State | None = None, start: int = 0, stop: int | None = None) -> State:
        """Return the state after the blocks [start, stop), from `state`, which reaches block `start`.

        Without `state` the batch is embedded first.
        """
        if state is None:
            state = self.embed(batch)
        for block in self.blocks[start:stop]:
            state = block(state, batch)
        return state

    def merged(self, start: int = 0, stop: int | None = None) -> range:
        """Return those of the blocks [start, stop) in which atoms of one environment can share a row: all or none."""
        return range(len(self.blocks))[start:stop] if self.local else range(0)

    def nodes(self, batch: Batch) -> Tensor:
        """Return the atoms' vectors Z after the last block, n x d."""
        return self.state(batch).atoms

    def state_and_map(self, batch: Batch, state: State | None = None, start: int = 0) -> tuple[State, Tensor]:
        """Return the state after the last block, and Z, the atoms' vectors that feature-map keeps, n x d.

        Z is the last state's where an encoder has nothing better: vectors before the last norm and dropout.
        """
        state = self.state(batch, state, start)
        return state, state.atoms

    def pool(self, state: State, batch: Batch) -> Tensor:
        """Return molecules' vectors from the last state, b x width."""
        raise NotImplementedError

    def features(self, state: State, batch: Batch) -> Tensor:
        """Return what a head reads of the last state: b x width, or n x width where `reads` says atoms."""
        return state.atoms if self.reads == "atoms" else self.pool(state, batch)

    def read(self, batch: Batch) -> Tensor:
        """Return what a head reads of a batch, through all blocks."""
        return self.features(self.state(batch), batch)

    def new_head(self, tasks: int, _extensive: bool) -> nn.Module:
        """Return a head with weights drawn anew; called with features and batch, it gives b x tasks."""
        return Head(self.width, tasks)

    def fresh(self) -> Encoder:
        """Return the same network with weights drawn anew."""
        raise NotImplementedError

    def check_draw(self) -> None:
        """Raise `UserError` where :meth:`fresh` would always give the same weights; ours never do."""

    def forward(self, batch: Batch) -> Tensor:
        """Return molecules' vectors, b x width."""
        return self.pool(self.state(batch), batch)


@dataclass(frozen=True)
class EncoderFile:
    """What the file of an encoder offers, under the name `ENCODER`: a network, and how its published weights are read.

    The registry's description of an architecture is a mapping: its `kind`, and the keys of this kind.
    """

    new: Callable[[Mapping[str, Any], float], Encoder]  #: (architecture, dropout) -> weights drawn at random
    published_names: tuple[tuple[re.Pattern[str], str], ...] = ()  #: patterns of published names, and ours
    prefix: str = ""  #: how our names begin where published ones do not
    #: (path, architecture) -> a state dict, or what holds one, of a published file that is more than that.
    read_published: Callable[[Path, Mapping[str, Any]], dict[str, Any]] | None = None
    #: (path, architecture) -> the architecture with what only the published file tells of it.
    described: Callable[[Path, Mapping[str, Any]], Mapping[str, Any]] | None = None

    def our_name(self, name: str) -> str:
        """Return the name here of a published parameter; ours stay as they are."""
        for pattern, replacement in self.published_names:
            name = pattern.sub(replacement, name)
        return self.prefix + name


class Spatial(Encoder):
    """An encoder of atoms in space, pretrained as a force field, whose heads, `force_field`, lie beside its parts.

    A subclass has `energies` beside what an encoder has. A molecule's vector is the mean over its atoms.
    """

    reads = "atoms"
    steady = True
    force_field: nn.Module

    def part_of(self, name: str) -> str:
        """Return the part that a parameter belongs to; `force_field` is none that methods address."""
        return "force_field" if name.startswith("force_field.") else super().part_of(name)

    def pool(self, state: State, batch: Batch) -> Tensor:
        """Return the mean over each molecule's atoms: n x d -> b x d."""
        return sum_by(state.atoms, batch.graph, len(batch)) / batch.sizes.unsqueeze(1)

    def new_head(self, tasks: int, extensive: bool) -> nn.Module:
        """Return a head of a network an atom, averaged over the molecule or, for extensive properties, summed."""
        return AtomHead(self.width, tasks, extensive)

    def energies(self, batch: Batch) -> Tensor:
        """Return the force field's energies in eV, b."""
        raise NotImplementedError

    def energies_and_forces(self, batch: Batch, *, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return energies (b, eV) and forces (n x 3, eV/Angstrom), which are minus the energies' gradient.

        `training` keeps what a gradient of the forces needs.
        """
        with torch.enable_grad():
            moved = batch.at(batch.atoms[:, 1:].detach().requires_grad_())
            energies = self.energies(moved)
            (gradient,) = torch.autograd.grad(energies.sum(), [moved.atoms], create_graph=training)
        return (energies if training else energies.detach()), -gradient[:, 1:]


def slots(batch: Batch) -> tuple[Tensor, int]:
    """Return the slot of each of n atoms, where b molecules lie side by side, and how many slots a molecule has.

    Each molecule has as many slots as the largest has atoms.
    """
    sizes = batch.sizes.long()
    largest = int(sizes.max())
    starts = sizes.cumsum(0) - sizes
    return torch.arange(len(batch.atoms), device=sizes.device) + largest * batch.graph - starts[batch.graph], largest


class Head(Linear):
    """A linear map of the molecules' vectors."""

    def forward(self, features: Tensor, _batch: object = None) -> Tensor:  # type: ignore[override]
        """Return the outputs: b x width -> b x tasks."""
        return super().forward(features)

    def widened(self, beside: int) -> Head:
        """Return the same map of vectors with so many numbers at their end, whose weights are 0."""
        wider = Head(self.in_features + beside, self.out_features)
        with torch.no_grad():
            wider.weight.copy_(functional.pad(self.weight, (0, beside)))
            wider.bias.copy_(self.bias)
        return wider


class AtomHead(nn.Module):
    """A network of three layers an atom, its outputs averaged over the molecule, or summed for extensive properties.

    It is that of the MFT paper (arXiv 2601.08486): 3 x 240.
    """

    WIDTH = 240

    def __init__(self, width: int, tasks: int, extensive: bool):
        super().__init__()
        self.extensive = extensive
        sizes = (width, self.WIDTH, self.WIDTH, self.WIDTH)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(self.WIDTH, tasks))

    def forward(self, features: Tensor, batch: Batch) -> Tensor:
        """Return the outputs: n x width -> b x tasks."""
        total = sum_by(self.layers(features), batch.graph, len(batch))
        return total if self.extensive else total / batch.sizes.unsqueeze(1)


class Norm(nn.BatchNorm1d):
    """BatchNorm that can take its statistics from the first rows of a batch, with gradient through them.

    `reference` says, by the number of rows, how many of them the statistics are of, whatever the mode: rows are atoms,
    bonds or molecules. So mixed weights can be learned with the statistics that belong to them. Where rows are
    something else, or there would be fewer than two, the running statistics serve.
    """

    reference: Mapping[int, int] = {}

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        """Return the normalised rows: n x d -> n x d, or n x d x l.

        Where rows are merged, `counts` (n) says for how many of the atoms that give the statistics each row stands.
        """
        if counts is not None:
            of_batch = (self.training or self.reference) and counts.sum() >= 2
            return self._weighted(x, counts) if of_batch else self._plain(x)
        rows = self.reference.get(len(x), 0)
        if rows < 2:
            return self._plain(x)
        variance, mean = torch.var_mean(x[:rows], (0, *range(2, x.dim())), keepdim=True)
        y = (x - mean) * (variance + self.eps).rsqrt()
        if not self.affine:
            return y
        shape = (-1, *(1 for _ in range(2, x.dim())))
        return y * self.weight.view(shape) + self.bias.view(shape)

    def _plain(self, x: Tensor) -> Tensor:
        """Return BatchNorm as torch's, or by the running statistics where one row has none, as a batch of methane."""
        if self.training and x.numel() < 2 * x.shape[1]:
            mean, variance = self.running_mean, self.running_var
            return functional.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=self.eps)
        return super().forward(x)

    def _weighted(self, x: Tensor, counts: Tensor) -> Tensor:
        """Return BatchNorm of rows that stand for several atoms, as if each atom had its own."""
        n = counts.sum()
        mean = counts @ x / n
        centred = x - mean
        variance = counts @ centred.square() / n
        unbiased = variance * n / (n - 1)
        if self.training:
            with torch.no_grad():
                self._remember(mean, unbiased)
        else:  # as the running statistics that they stand in for
            variance = unbiased
        return centred * ((variance + self.eps).rsqrt() * self.weight) + self.bias

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics as `torch.nn.BatchNorm1d` does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def norms(module: nn.Module) -> list[Norm]:
    """Return every BatchNorm of a module."""
    return [child for child in module.modules() if isinstance(child, Norm)]


@contextmanager
def statistics_of_first(module: nn.Module, batch: Batch, molecules: int) -> Iterator[None]:
    """Let BatchNorm take its statistics from the first `molecules` of `batch`; 0 changes nothing."""
    layers = norms(module) if molecules else []
    atoms = int(batch.sizes[:molecules].sum())
    # Bonds are sorted by the atom that receives, so those of the first molecules come first.
    bonds = int((batch.edges[1] < atoms).sum())
    rows: dict[int, int] = {}
    for total, first in ((batch.edges.size(1), bonds), (len(batch.atoms), atoms), (len(batch), molecules)):
        # Where two kinds are as many, the fewer rows are of the first molecules whichever kind is meant.
        rows[total] = min(first, rows.get(total, first))
    for norm in layers:
        norm.reference = rows
    try:
        yield
    finally:
        for norm in layers:
            norm.reference = {}
